// Gradual: masks grow along a schedule while the network trains, chosen anew each time. Zhu and Gupta 2017
// (arXiv 1710.01878); with weights behind the masks going on to learn, Lin et al. 2020 (arXiv 2006.07253).

import { OptionError } from '../../util/errors.ts'
import type { Schedule } from '../contracts.ts'
import { cubic } from '../schedules/cubic.ts'
import { projectAll } from './project.ts'
import type { Solver } from './solver.ts'

/** Settings of `gradual`. */
export interface GradualOptions {
  /** Default cubic. */
  readonly schedule?: Schedule
  /** How often masks are chosen. Default 40. */
  readonly updates?: number
  /** Part of the training over which they grow, 0…1. Default 0.5. */
  readonly share?: number
  /** True lets pruned weights go on behind the masks and come back where they grow. Default false. */
  readonly regrow?: boolean
}

/** Returns the solver. */
export function gradual(options: GradualOptions = {}): Solver<null> {
  const { schedule = cubic, updates = 40, share = 0.5, regrow = false } = options
  if (!(updates >= 1)) throw new OptionError(`updates must be at least 1, found ${updates}`)
  return {
    name: 'gradual',
    paper: schedule.paper,
    settings: { schedule: schedule.name, updates, share, regrow },
    share,
    init: () => ({ data: null, tensors: {} }),
    act({ step, steps, targets, score }) {
      const update = Math.floor((step * updates) / steps)
      if (update === Math.floor(((step - 1) * updates) / steps)) return undefined
      const masks = projectAll(targets, score, ({ keep }) =>
        schedule.keepAt(update / updates, keep),
      )
      return regrow ? { seen: masks } : { masks }
    },
  }
}
