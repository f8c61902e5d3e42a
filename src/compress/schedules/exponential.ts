// Exponential schedule: the same share of what is left goes at every step. HALP (arXiv 2110.10811), section 3.
import type { Schedule } from '../contracts.ts'

/** keep(t) = final^t */
export const exponential: Schedule = {
  name: 'exponential',
  paper: 'https://arxiv.org/abs/2110.10811',
  keepAt: (progress, finalKeep) => finalKeep ** Math.min(1, Math.max(0, progress)),
}
