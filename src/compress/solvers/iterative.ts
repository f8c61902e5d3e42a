// Iterative: rounds of pruning a constant share of what is left, each followed by training from rewound
// weights, or only from a rewound learning rate. Frankle et al. 2019 (arXiv 1903.01611), Renda et al. 2020.
import { OptionError } from '../../util/errors.ts'
import { projectAll } from './project.ts'
import type { Solver } from './solver.ts'

/** Settings of `iterative`. */
export interface IterativeOptions {
  /** Prunings; each takes the same share of what is left. */
  readonly rounds?: number
  /** What goes back after each: weights (to those of `rewindTo`) and rate, the rate alone, or nothing. */
  readonly rewind?: 'weights' | 'rate' | 'none'
  /** Where weights go back to, as a part of the first round; 0 is the weights as given. */
  readonly rewindTo?: number
}

/** Returns the solver. Rounds are equally long; the last masks are decided before the last one. */
export function iterative(options: IterativeOptions = {}): Solver<{ readonly round: number }> {
  const { rounds = 4, rewind = 'rate', rewindTo = 0 } = options
  if (!(Number.isInteger(rounds) && rounds >= 1))
    throw new OptionError(`rounds must be a whole number of at least 1, found ${rounds}`)
  if (!(rewindTo >= 0 && rewindTo < 1))
    throw new OptionError(`rewindTo must be at least 0 and below 1, found ${rewindTo}`)
  // Pruning follows rounds 1…n; the round after the last trains what is left.
  const endOf = (round: number, steps: number) => Math.round((round * steps) / rounds)
  const remember = (weights: Readonly<Record<string, Float32Array>>) =>
    Object.fromEntries(Object.entries(weights).map(([name, data]) => [name, data.slice()]))
  return {
    name: 'iterative',
    paper: 'https://arxiv.org/abs/2003.02389',
    settings: { rounds, rewind, rewindTo },
    share: rounds / (rounds + 1),
    init: ({ weights }) => ({
      data: { round: 0 },
      tensors: rewind === 'weights' ? remember(weights) : {},
    }),
    act(run, { data, tensors }) {
      const { step, steps, weights, targets, score } = run
      if (rewind === 'weights' && step === Math.round(rewindTo * endOf(1, steps)))
        Object.assign(tensors, remember(weights))
      const round = data.round + 1
      if (step !== endOf(round, steps)) return undefined
      const masks = projectAll(targets, score, ({ keep }) => keep ** (round / rounds))
      if (rewind !== 'weights') return { data: { round }, masks }
      run.forget()
      for (const [name, values] of Object.entries(tensors)) weights[name]!.set(values)
      return { data: { round }, masks, changed: Object.keys(tensors) }
    },
    restarts: (steps) =>
      rewind === 'none' ? [] : Array.from({ length: rounds }, (_, i) => endOf(i + 1, steps)),
  }
}
