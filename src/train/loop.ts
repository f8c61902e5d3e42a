// The only loop over training steps: players take turns, gradients come back, weights go out.
import type { BatchStatistics } from '../autodiff/training-graph.ts'
import type { Session, Store, Tensors } from '../exec/engine.ts'
import { floatData, floats } from '../tensor/tensor.ts'
import { invariant, OptionError } from '../util/errors.ts'
import type { Optimizer } from './optimizers.ts'
import type { RateSchedule } from './schedules.ts'

/** Weight momentum of running statistics, PyTorch's default. */
const STATISTICS_MOMENTUM = 0.1

/** Gives the feeds of one step; called once per step, in order. */
export type Feeder = (step: number) => Promise<Tensors>

/** One participant: a loss, the weights it moves, and where its batches come from. */
export interface Player {
  readonly name: string
  /** A training graph; weights are inputs fed from the store. */
  readonly session: Session
  /** Output with the loss. */
  readonly loss: string
  /** Weight → output with its gradient. */
  readonly gradients: Readonly<Record<string, string>>
  readonly statistics: readonly BatchStatistics[]
  readonly feeds: Feeder
  readonly optimizer: Optimizer
  readonly rate: RateSchedule
  /** Takes its turn at every n-th step. */
  readonly every: number
}

/** Everything that changes while training; a checkpoint holds exactly this. */
export interface LoopState {
  /** Steps finished. */
  step: number
  /** Trained weights and running statistics by name. */
  readonly weights: Record<string, Float32Array>
  /** Moments by `player/slot/weight`. */
  readonly moments: Record<string, Float32Array>
  /** Updates so far by player. */
  readonly updates: Record<string, number>
}

/** What may be done between steps. */
export interface StepReport {
  readonly step: number
  readonly steps: number
  readonly losses: Readonly<Record<string, number>>
  readonly rates: Readonly<Record<string, number>>
  readonly state: LoopState
}

/** How the loop runs. */
export interface LoopOptions {
  readonly steps: number
  readonly store: Store
  /** Shapes of the weights. */
  readonly shapes: Readonly<Record<string, readonly number[]>>
  /** 1 keeps, 0 holds the weight at zero. May change between steps. */
  readonly masks?: Readonly<Record<string, Uint8Array>>
  /** Largest norm of all gradients of a player together; larger ones are scaled down. */
  readonly clipNorm?: number
  /** What the network computes with in place of a weight; default the weight itself. */
  readonly view?: (name: string, weight: Float32Array) => Float32Array
  /** Called with a player's gradients by weight before its update, to add to them in place. */
  readonly adjust?: (
    gradients: Readonly<Record<string, Float32Array>>,
    at: { readonly player: string; readonly step: number; readonly rate: number },
  ) => void
  /**
   * Called after every step; weights it names are written to the store again, `stop` ends the loop.
   */
  afterStep(report: StepReport): Promise<{ stop?: boolean; changed?: readonly string[] }>
}

/** Runs players from `state.step` to `steps`, changing `state`. The same state continues to the same bytes. */
export async function runLoop(
  state: LoopState,
  players: readonly Player[],
  options: LoopOptions,
): Promise<void> {
  const { steps, store } = options
  const queue = new Map<Player, Promise<Tensors>>()
  const feedsAt = (player: Player, step: number): Promise<Tensors> => {
    const feeds = player.feeds(step)
    // The failure is reported when the feeds are awaited; until then it must not end the process.
    feeds.catch(() => undefined)
    return feeds
  }
  while (state.step < steps) {
    const { step } = state
    const losses: Record<string, number> = {}
    const rates: Record<string, number> = {}
    for (const player of players) {
      if (step % player.every !== 0) continue
      const rate = player.rate.rateAt(step, steps)
      const feeds = await (queue.get(player) ?? feedsAt(player, step))
      const running = player.session.run(feeds, fetchOf(player))
      // The next batch is prepared while this one computes in the worker.
      const next = step + player.every
      if (next < steps) queue.set(player, feedsAt(player, next))
      const results = await running
      losses[player.name] = readLoss(results, player, { step, rate })
      rates[player.name] = rate
      const changed = updateInPlace(state, player, { results, rate, options })
      await store.write(pick(state, changed, options))
    }
    state.step++
    const { stop, changed = [] } = await options.afterStep({
      step: state.step,
      steps,
      losses,
      rates,
      state,
    })
    if (changed.length > 0) await store.write(pick(state, changed, options))
    if (stop) return
  }
}

/** Returns the moments a player needs for its weights, all zero. */
export function freshMoments(
  player: Pick<Player, 'name' | 'gradients' | 'optimizer'>,
  weights: Readonly<Record<string, Float32Array>>,
): Record<string, Float32Array> {
  const moments: Record<string, Float32Array> = {}
  for (const name of Object.keys(player.gradients))
    for (const slot of player.optimizer.slots)
      moments[momentKey(player.name, slot, name)] = new Float32Array(weights[name]!.length)
  return moments
}

const momentKey = (player: string, slot: string, weight: string) => `${player}/${slot}/${weight}`

function fetchOf({ loss, gradients, statistics }: Player): string[] {
  return [
    loss,
    ...Object.values(gradients),
    ...statistics.flatMap(({ mean, variance }) => [mean, variance]),
  ]
}

function readLoss(
  results: Tensors,
  { loss, name }: Player,
  { step, rate }: { step: number; rate: number },
): number {
  const value = floatData(results[loss]!)[0]!
  if (Number.isFinite(value)) return value
  throw new OptionError(
    `Training diverged: the loss of "${name}" is ${value} at step ${step} (learning rate ${rate.toPrecision(2)}); a lower learning rate usually helps, or the weights or samples hold NaN`,
  )
}

function updateInPlace(
  state: LoopState,
  player: Player,
  { results, rate, options }: { results: Tensors; rate: number; options: LoopOptions },
): string[] {
  const { optimizer, gradients, name: playerName } = player
  const names = Object.keys(gradients)
  const count = (state.updates[playerName] ?? 0) + 1
  state.updates[playerName] = count
  const found = names.map((name) => floatData(results[gradients[name]!]!))
  options.adjust?.(Object.fromEntries(names.map((name, i) => [name, found[i]!])), {
    player: playerName,
    step: state.step,
    rate,
  })
  for (const [i, name] of names.entries()) maskInPlace(found[i]!, options.masks?.[name])
  if (options.clipNorm !== undefined) clipInPlace(found, options.clipNorm)
  names.forEach((name, i) => {
    const weight = state.weights[name]!
    const slots = optimizer.slots.map((slot) => state.moments[momentKey(playerName, slot, name)]!)
    optimizer.updateInPlace({
      weight,
      gradient: found[i]!,
      slots,
      rate,
      count,
      decays: optimizer.decay === 'all' || options.shapes[name]!.length >= 2,
    })
    // Moments too: a weight that comes back starts at rest.
    for (const values of [weight, ...slots]) maskInPlace(values, options.masks?.[name])
  })
  for (const { runningMean, runningVariance, mean, variance } of player.statistics) {
    followInPlace(state.weights[runningMean]!, floatData(results[mean]!))
    followInPlace(state.weights[runningVariance]!, floatData(results[variance]!))
  }
  return names
}

/** Sets masked entries to zero. */
export function maskInPlace(values: Float32Array, mask: Uint8Array | undefined): void {
  if (mask === undefined) return
  invariant(mask.length === values.length, `a mask of ${mask.length} for ${values.length} values`)
  for (let i = 0; i < values.length; i++) if (mask[i] === 0) values[i] = 0
}

function clipInPlace(gradients: readonly Float32Array[], limit: number): void {
  let squares = 0
  for (const gradient of gradients) for (const value of gradient) squares += value * value
  const norm = Math.sqrt(squares)
  if (norm <= limit) return
  for (const gradient of gradients)
    for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i]! * limit) / norm
}

function followInPlace(running: Float32Array, batch: Float32Array): void {
  for (let i = 0; i < running.length; i++)
    running[i] = running[i]! + STATISTICS_MOMENTUM * (batch[i]! - running[i]!)
}

/** Returns named weights as the network sees them. */
export function pick(
  { weights }: Pick<LoopState, 'weights'>,
  names: readonly string[],
  { shapes, view }: Pick<LoopOptions, 'shapes' | 'view'>,
): Tensors {
  return Object.fromEntries(
    names.map((name) => {
      const weight = weights[name]!
      return [name, floats(shapes[name]!, view?.(name, weight) ?? weight)]
    }),
  )
}
