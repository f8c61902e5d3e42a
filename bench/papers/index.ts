// All papers whose claims are checked, in the order of their specifications.
import type { Paper } from './paper.ts'

/** One file per paper adds one line. */
export const papers: readonly Paper[] = []
