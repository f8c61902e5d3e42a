// Harmonic schedule: much goes early, and 1 ÷ keep rises by equal steps. Lubana and Dick 2021
// (arXiv 2009.11839): round i of R takes P ÷ (i P + R (1 − P)) of what is left, P in all.
import type { Schedule } from '../contracts.ts'

/** 1 ÷ keep(t) = 1 + t (1 ÷ final − 1) */
export const harmonic: Schedule = {
  name: 'harmonic',
  paper: 'https://arxiv.org/abs/2009.11839',
  keepAt: (progress, finalKeep) => {
    const t = Math.min(1, Math.max(0, progress))
    return finalKeep / (finalKeep + t * (1 - finalKeep))
  },
}
