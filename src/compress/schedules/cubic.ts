// Cubic schedule: much is removed early, little at the end. Zhu and Gupta 2017 (arXiv 1710.01878), eq. 1.
import type { Schedule } from '../contracts.ts'

/** keep(t) = final + (1 − final)(1 − t)³ */
export const cubic: Schedule = {
  name: 'cubic',
  paper: 'https://arxiv.org/abs/1710.01878',
  keepAt: (progress, finalKeep) => finalKeep + (1 - finalKeep) * (1 - clamp(progress)) ** 3,
}

function clamp(progress: number): number {
  return Math.min(1, Math.max(0, progress))
}
