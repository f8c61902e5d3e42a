// Plan → milliseconds of its layers alone and of everything else, before whole models set the sum right.
import { identityPlan, type Plan } from '../compress/plan.ts'
import { structures } from '../compress/registry.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { type Subject, typesUnder, widthsOf } from './layers.ts'
import { type MaskCurve, maskedShape, maskedTime } from './masks.ts'
import { timeAt, type WidthGrid } from './widths.ts'

/** Prices as sums of layers measured alone. */
export interface RawPrices {
  price(plan: Plan): number
  /** In the order of `subject.layers`. */
  layers(plan: Plan): number[]
  /** Milliseconds of everything that is not a layer, unpruned. */
  readonly restMs: number
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
): RawPrices {
  const { layers } = subject
  const byStructure = curves.map(
    (found) =>
      new Map(found.flatMap((curve) => curve.kind.structures.map(({ name }) => [name, curve]))),
  )
  const elements = layers.map(({ masks }) => masks && sizeOf(masks.shape))
  // Plans are asked for by the thousand, most with the widths of the one before.
  let last: { keep: string; type: ReturnType<typeof typesUnder>; made: number } | undefined
  const typesOf = (plan: Plan) => {
    const keep = JSON.stringify(plan.keep)
    if (last?.keep === keep) return last
    const known = new Map<string, { readonly dtype: string; readonly shape: readonly number[] }>()
    const compute = typesUnder(subject, plan)
    const type = ((name: string) => {
      const found = known.get(name) ?? compute(name)
      known.set(name, found)
      return found
    }) as ReturnType<typeof typesUnder> // the same function, remembering
    const made = layers.reduce((sum, { node }) => sum + sizeOf(type(node.outputs[0]!).shape), 0)
    last = { keep, type, made }
    return last
  }
  const densities = layers.map(() => new Map<string, readonly number[]>())
  const densityOf = (index: number, { structure, level }: Plan['mask'][string]): number => {
    const known = densities[index]!.get(structure)
    const levels = known ?? structures.named(structure).levels(layers[index]!.masks!.shape)
    densities[index]!.set(structure, levels)
    return levels[level] ?? 1
  }
  const timesOf = (plan: Plan): number[] => {
    const { type } = typesOf(plan)
    return layers.map((layer, i) => {
      const dense = timeAt(layer, grids[i]!, widthsOf(subject, layer, type))
      const mask = layer.masks && plan.mask[layer.masks.weight]
      const curve = mask && byStructure[i]!.get(mask.structure)
      if (mask === undefined || curve === undefined) return dense
      const shape = maskedShape(layer, type)
      const density = densityOf(i, mask)
      const share = sizeOf(shape) / elements[i]!
      // What the compiler finds slower it runs dense.
      return Math.min(dense, maskedTime(curve, density, share))
    })
  }
  const full = sum(timesOf(identityPlan))
  const { made } = typesOf(identityPlan)
  const restMs = Math.max(0, wholeMs - full)
  // Layers alone can cost more than in place (a kernel keeps its input in cache): scale to the whole.
  const inPlace = Math.min(1, wholeMs / full)
  const scaled = (plan: Plan) => timesOf(plan).map((ms) => ms * inPlace)
  return {
    restMs,
    layers: scaled,
    price: (plan: Plan) => sum(scaled(plan)) + (restMs * typesOf(plan).made) / made,
  }
}

/** Adds numbers up. */
export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
