// Offers for one layer → the same offers with measured costs: each is compiled alone, a timer from
// outside runs them, and what it finds replaces the estimates.
import { emitModule } from './emit/wasm.ts'
import type { Layout, Offer, OfferContext } from './kernel.ts'
import { bytesOf } from './layout.ts'
import { sha256 } from './sha256.ts'
import { relaxedFunction } from './tile/build.ts'

/** One offer as a program of its own: `run` computes the layer once. */
export interface Trial {
  /** Equal for equal code on equal amounts of data. */
  readonly key: string
  /** A module that exports `run` and its `memory`. */
  readonly code: Uint8Array
  /** What lies in memory before: constants, and inputs to fill with ordinary numbers. */
  readonly data: readonly { readonly address: number; readonly bytes: Uint8Array | number }[]
}

/** Times programs on the engine that the bundle is meant for. */
export interface Tuner {
  /** The engine fuses multiply-add; such code is what it will run. */
  readonly fma: boolean
  /** Milliseconds of one run of each trial, in order. Trials are rivals: they are timed in turns. */
  time(trials: readonly Trial[]): readonly number[]
}

/** Halos that the readers of each value asked for when estimates decided. */
export type Halos = ReadonlyMap<string, readonly [number, number, number, number]>

/** Multiply-accumulates per millisecond: estimates of what is not timed stay comparable. */
const MACS_PER_MS = 2.2e7
/** Layers below this many multiply-accumulates are not worth timing. */
const WORTH = 200_000
/** The estimate rules out what it takes for so many times as dear as the best. */
const PLAUSIBLE = 4
/** Rivals that are timed. */
const RIVALS = 6

/** Returns what the readers of values want as halos. */
export function halosOf(offers: readonly Offer[]): Halos {
  const halos = new Map<string, [number, number, number, number]>()
  for (const { inputs } of offers)
    for (const { value, layout } of inputs) {
      if (layout.kind === 'plain') continue
      const own = halos.get(value) ?? [0, 0, 0, 0]
      halos.set(value, own.map((size, i) => Math.max(size, layout.halo[i]!)) as typeof own)
    }
  return halos
}

/** Returns the offers with measured costs, where several plausible ones cover the same nodes. */
export function tuneOffers(
  offers: readonly Offer[],
  context: OfferContext,
  { tuner, halos }: { tuner: Tuner; halos: Halos },
): Offer[] {
  const least = Math.min(...offers.map(({ cost }) => cost))
  const plausible = offers.filter(({ cost, view }) => !view && cost <= least * PLAUSIBLE)
  const [first] = plausible
  const rivals = plausible
    .filter((offer) => offer.steps === undefined && coversAlike(offer, first!))
    .sort((a, b) => a.cost - b.cost)
    .slice(0, RIVALS)
  if (least < WORTH || rivals.length < 2) return [...offers]
  const trials = rivals.map((offer) => trialOf(offer, context, { fma: tuner.fma, halos }))
  const distinct = [...new Map(trials.map((trial) => [trial.key, trial])).values()]
  if (distinct.length < 2) return [...offers]
  const times = tuner.time(distinct)
  const msOf = new Map(distinct.map(({ key }, i) => [key, times[i]!]))
  const measured = rivals.map((offer, i) => ({
    ...offer,
    cost: msOf.get(trials[i]!.key)! * MACS_PER_MS,
  }))
  return offers.map((offer) => {
    const at = rivals.indexOf(offer)
    return at < 0 ? offer : measured[at]!
  })
}

/** True when two offers cover the same nodes. */
export function coversAlike(a: Offer, b: Offer): boolean {
  return a.covers.length === b.covers.length && a.covers.every((node) => b.covers.includes(node))
}

function trialOf(
  offer: Offer,
  context: OfferContext,
  { fma, halos }: { fma: boolean; halos: Halos },
): Trial {
  const placed = (value: string, kind: Layout['kind']): Layout =>
    kind === 'plain' ? { kind } : { kind, halo: halos.get(value) ?? [0, 0, 0, 0] }
  const layouts = {
    inputs: offer.inputs.map(({ value, layout }) => placed(value, layout.kind)),
    outputs: offer.outputs.map(({ value, layout }) => placed(value, layout)),
  }
  const size = (value: string, layout: Layout) => bytesOf(context.type(value), layout)
  const buffers = [
    ...offer.inputs.map(({ value }, i) => size(value, layouts.inputs[i]!)),
    ...offer.pack(layouts),
    ...offer.outputs.map(({ value }, i) => size(value, layouts.outputs[i]!)),
    ...(offer.scratchBytes > 0 ? [offer.scratchBytes] : []),
  ]
  let end = 1024
  const addresses = buffers.map((buffer) => {
    const start = end
    end += Math.ceil((typeof buffer === 'number' ? buffer : buffer.length) / 64) * 64 + 64
    return start
  })
  const emitted = { ...offer.emit(layouts), name: 'layer' }
  const code = emitModule({
    functions: [fma ? relaxedFunction(emitted) : emitted],
    run: [{ kind: 'call', function: 'layer', args: addresses }],
    memory: { kind: 'export', pages: Math.ceil(end / 65536) },
    fma,
  })
  const data = buffers.map((bytes, i) => ({ address: addresses[i]!, bytes }))
  const filled = [
    ...data.slice(0, offer.inputs.length),
    ...data.filter(({ bytes }) => typeof bytes !== 'number'),
  ]
  return { key: `${offer.kernel} ${sha256(code)}`, code, data: filled }
}
