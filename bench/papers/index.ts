// All papers whose claims are checked, in the order of their specifications.
import { admmPaper } from './admm.ts'
import { admmSystematic } from './admm-systematic.ts'
import { blkRew } from './blk-rew.ts'
import { darb } from './darb.ts'
import { epi } from './epi.ts'
import { gradientFlow } from './gradient-flow.ts'
import { halp } from './halp.ts'
import type { Paper } from './paper.ts'
import { patdnn } from './patdnn.ts'
import { patternLibraryPaper } from './pattern-library.ts'
import { ssAuto } from './ss-auto.ts'
import { yolobile } from './yolobile.ts'

/** One file per paper adds one line. */
export const papers: readonly Paper[] = [
  patdnn,
  patternLibraryPaper,
  darb,
  blkRew,
  ssAuto,
  epi,
  gradientFlow,
  halp,
  admmPaper,
  admmSystematic,
  yolobile,
]
