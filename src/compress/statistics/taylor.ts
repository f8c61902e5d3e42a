// w·g: the first-order change of the loss when a weight, or a whole unit, is removed.
// Molchanov et al. 2019 (arXiv 1906.10771) eq. 8; on BatchNorm's scale and shift as HALP (arXiv 2110.10811).
import type { GraphBuilder } from '../../ir/builder.ts'
import { int } from '../../ir/graph.ts'
import { floatData, floats, ints, type Tensor } from '../../tensor/tensor.ts'
import type { ReduceContext, Statistic } from '../contracts.ts'
import type { Member, UnitClass } from '../units.ts'

/** How the removal of a unit is measured. */
export interface UnitTaylorOptions {
  /** `norm`: on scale and shift where a class has them, else on weights and bias; `weights`: never on norms. */
  readonly on?: 'norm' | 'weights'
  /** What is summed over batches: the square, or the absolute value, of a unit's Σ w·g. */
  readonly power?: 'square' | 'abs'
}

/** Σ over batches of (Σ over a unit's members of w·g)²: one number per unit, keyed by class. */
export function unitTaylor({ on = 'norm', power = 'square' }: UnitTaylorOptions = {}): Statistic {
  return {
    name: 'unit-taylor',
    over: 'unit',
    needsGradients: true,
    taps: (_model, units) => {
      const members = units.classes.flatMap((found) => scoredMembers(found, on))
      return [...new Set(members.map((member) => member.weight))]
    },
    reduce: (b, context) => reduceUnits(b, context, { on, power }),
    merge: add,
  }
}

/** Σ over batches of (w·g)² per element, keyed by weight. */
export const elementTaylor: Statistic = {
  name: 'element-taylor',
  over: 'element',
  needsGradients: true,
  taps: (_model, units) => {
    const members = units.classes.flatMap(({ members }) => members)
    return [...new Set(members.filter(({ part }) => part === 'weight').map(({ weight }) => weight))]
  },
  reduce(b, { taps, gradients }) {
    const result: Record<string, string> = {}
    for (const tap of taps) {
      const product = b.op('Mul', [tap, gradients[tap]!])
      result[tap] = b.op('Mul', [product, product])
    }
    return result
  },
  merge: add,
}

/** The members whose w·g makes a unit's score; none for a class that cannot be cut. */
export function scoredMembers(found: UnitClass, on: 'norm' | 'weights'): Member[] {
  if (found.frozen !== undefined) return []
  const producers = found.members.filter((member) => member.role === 'producer')
  const isNorm = ({ part }: Member) => part === 'scale' || part === 'shift'
  const norms = producers.filter(isNorm)
  return on === 'norm' && norms.length > 0 ? norms : producers.filter((member) => !isNorm(member))
}

function reduceUnits(
  b: GraphBuilder,
  { units, gradients }: ReduceContext,
  { on, power }: Required<UnitTaylorOptions>,
): Record<string, string> {
  const products = new Map<string, string>()
  const productOf = (weight: string): string => {
    const found = products.get(weight) ?? b.op('Mul', [weight, gradients[weight]!])
    products.set(weight, found)
    return found
  }
  const result: Record<string, string> = {}
  for (const found of units.classes) {
    const parts = scoredMembers(found, on).map((member) =>
      perUnit(b, { member, product: productOf(member.weight), size: found.size }),
    )
    const [first, ...others] = parts
    if (first === undefined) continue
    const sum = others.reduce((total, part) => b.op('Add', [total, part]), first)
    result[found.name] = power === 'square' ? b.op('Mul', [sum, sum]) : b.op('Abs', [sum])
  }
  return result
}

// Sums a product over all but the member's axis, then over the slices of each unit: [size].
function perUnit(
  b: GraphBuilder,
  { member, product, size }: { member: Member; product: string; size: number },
): string {
  const rank = b.type(product).shape.length
  const others = Array.from({ length: rank }, (_, axis) => axis).filter((a) => a !== member.axis)
  const slices =
    others.length === 0
      ? product
      : b.op('ReduceSum', [product, b.ints(others)], { keepdims: int(0) })
  if (member.units.length === size && member.units.every((unit, i) => unit === i)) return slices
  const assign = new Float32Array(member.units.length * size)
  member.units.forEach((unit, i) => {
    if (unit >= 0) assign[i * size + unit] = 1
  })
  const row = b.op('Reshape', [slices, b.ints([1, member.units.length])])
  const summed = b.op('MatMul', [row, b.constant(floats([member.units.length, size], assign))])
  return b.op('Reshape', [summed, b.constant(ints([size]))])
}

function add(running: Tensor, batch: Tensor): Tensor {
  const other = floatData(batch)
  return floats(
    running.shape,
    floatData(running).map((value, i) => value + other[i]!),
  )
}
