// Learning-rate schedules: functions of training progress, so that they stretch to any length.
import { OptionError } from '../util/errors.ts'

/** Learning rate at a step. */
export interface RateSchedule {
  readonly name: string
  /** `step` counts from 0 to `steps − 1`. */
  rateAt(step: number, steps: number): number
  /** Settings, for the fingerprint of a checkpoint. */
  readonly settings: Readonly<Record<string, number | string | readonly number[]>>
}

/** The same rate throughout. */
export function constantRate(rate: number): RateSchedule {
  return { name: 'constant', settings: { rate: positive(rate) }, rateAt: () => rate }
}

/** From `rate` down half a cosine to `final` (default 0). @see Loshchilov and Hutter 2017 (SGDR) */
export function cosine(rate: number, { final = 0 }: { final?: number } = {}): RateSchedule {
  return {
    name: 'cosine',
    settings: { rate: positive(rate), final },
    rateAt: (step, steps) =>
      final + ((rate - final) * (1 + Math.cos((Math.PI * step) / steps))) / 2,
  }
}

/** `rate`, multiplied by `factor` at each of the given fractions of training. */
export function stepped(
  rate: number,
  { at = [0.5, 0.75], factor = 0.1 }: { at?: readonly number[]; factor?: number } = {},
): RateSchedule {
  return {
    name: 'step',
    settings: { rate: positive(rate), at, factor },
    rateAt: (step, steps) =>
      rate * factor ** at.filter((fraction) => step >= fraction * steps).length,
  }
}

/** Another schedule, reached linearly from near zero over the first `share` of training. */
export function warmUp(schedule: RateSchedule, share = 0.05): RateSchedule {
  return {
    name: `warm-up ${schedule.name}`,
    settings: { ...schedule.settings, warmUp: share },
    rateAt: (step, steps) =>
      schedule.rateAt(step, steps) * Math.min(1, (step + 1) / Math.max(1, share * steps)),
  }
}

/** A stretch of another schedule, from one fraction of its training to another: runs that continue each other. */
export function stretchOf(
  schedule: RateSchedule,
  [from, to]: readonly [from: number, to: number],
): RateSchedule {
  if (!(from >= 0 && to > from && to <= 1))
    throw new OptionError(`A stretch goes from 0 or later to 1 or earlier, found ${from} to ${to}`)
  return {
    name: `stretch of ${schedule.name}`,
    settings: { ...schedule.settings, from, to },
    rateAt(step, steps) {
      const whole = steps / (to - from)
      return schedule.rateAt(from * whole + step, whole)
    },
  }
}

/** Another schedule, run whole between each two of the given steps, and to the end from the last. */
export function restarted(schedule: RateSchedule, at: readonly number[]): RateSchedule {
  const starts = [0, ...at].sort((a, b) => a - b)
  return {
    name: `restarted ${schedule.name}`,
    settings: { ...schedule.settings, at },
    rateAt: (step, steps) => {
      const stretch = starts.findLastIndex((start) => start <= step)
      const [from, to] = [starts[stretch]!, starts[stretch + 1] ?? steps]
      return schedule.rateAt(step - from, Math.min(to, steps) - from)
    },
  }
}

function positive(rate: number): number {
  if (rate > 0 && Number.isFinite(rate)) return rate
  throw new OptionError(`The learning rate must be a positive number, found ${rate}`)
}
