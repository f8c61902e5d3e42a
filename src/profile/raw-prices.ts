// Plan → milliseconds of its layers alone and of everything else, before whole models set the sum right.
import { identityPlan, type Plan } from '../compress/plan.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { type PricedLayer, type Subject, typesUnder, widthsOf } from './layers.ts'
import { type MaskCurve, maskedShape, maskedTime } from './masks.ts'
import { timeAt, type WidthGrid } from './widths.ts'

/** A plan's price as a sum of layers measured alone. */
export interface RawPrice {
  /** Milliseconds per layer, in the order of `subject.layers`. */
  readonly layers: readonly number[]
  /** Everything that is not a layer. */
  readonly restMs: number
  /** All of it; and what it would be without masks. */
  readonly ms: number
  readonly denseMs: number
  /** Elements that layers write which a mask makes faster. */
  readonly maskedElements: number
}

/** Returns layers as measured alone, and everything else in proportion to what layers write. */
export function rawPrices(
  subject: Subject,
  {
    grids,
    curves,
    wholeMs,
  }: {
    readonly grids: readonly WidthGrid[]
    readonly curves: readonly (readonly MaskCurve[])[]
    readonly wholeMs: number
  },
): (plan: Plan) => RawPrice {
  const { layers } = subject
  const maskers = layers.map((layer, i) => maskerOf(layer, curves[i]!))
  const widths = (plan: Plan) => {
    const type = remembering(typesUnder(subject, plan))
    const at = layers.map((layer) => widthsOf(subject, layer, type))
    // What reads or makes nothing is not there.
    const isGone = ({ reads, makes }: (typeof at)[number]) => reads === 0 || makes === 0
    const dense = layers.map((layer, i) => (isGone(at[i]!) ? 0 : timeAt(layer, grids[i]!, at[i]!)))
    const elements = layers.map(({ node }, i) =>
      isGone(at[i]!) ? 0 : sizeOf(type(node.outputs[0]!).shape),
    )
    const shares = layers.map((layer) =>
      layer.masks ? sizeOf(maskedShape(layer, type)) / sizeOf(layer.masks.shape) : 1,
    )
    return { dense, elements, shares, made: sum(elements) }
  }
  const full = widths(identityPlan)
  const explained = sum(full.dense)
  const restMs = Math.max(0, wholeMs - explained)
  // Layers alone can cost more than in place (a kernel keeps its input in cache): scale to the whole.
  const inPlace = Math.min(1, wholeMs / explained)
  // Plans are asked for by the thousand, most with the widths of the one before.
  let last: { keep: string; at: ReturnType<typeof widths> } | undefined
  return (plan) => {
    const keep = JSON.stringify(plan.keep)
    if (last?.keep !== keep) last = { keep, at: widths(plan) }
    const { dense, elements, shares, made } = last.at
    let maskedElements = 0
    const times = dense.map((denseMs, i) => {
      const mask = layers[i]!.masks && plan.mask[layers[i]!.masks.weight]
      const masked = mask && maskers[i]!(mask, shares[i]!)
      // What the compiler finds slower it runs dense.
      if (masked === undefined || masked >= denseMs) return denseMs * inPlace
      maskedElements += elements[i]!
      return masked * inPlace
    })
    const rest = (restMs * made) / full.made
    return {
      layers: times,
      restMs: rest,
      ms: sum(times) + rest,
      denseMs: sum(dense) * inPlace + rest,
      maskedElements,
    }
  }
}

type Masker = (mask: Plan['mask'][string], share: number) => number | undefined

// Milliseconds of a layer under a mask; undefined where no curve says. A variant of a structure (a library
// of a network's own) costs what the default one does.
function maskerOf({ masks }: PricedLayer, curves: readonly MaskCurve[]): Masker {
  if (masks === undefined) return () => undefined
  const known = new Map(
    curves.flatMap((curve) =>
      curve.kind.structures.map((structure) => [
        structure.name,
        { curve, densities: structure.levels(masks.shape) },
      ]),
    ),
  )
  return ({ structure, level }, share) => {
    const found = known.get(structure) ?? known.get(structure.replace(/:[^/]*/, ''))
    return found && maskedTime(found.curve, found.densities[level] ?? 1, share)
  }
}

function remembering<T>(compute: (name: string) => T): (name: string) => T {
  const known = new Map<string, T>()
  return (name) => {
    const found = known.get(name) ?? compute(name)
    known.set(name, found)
    return found
  }
}

/** Adds numbers up. */
export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
