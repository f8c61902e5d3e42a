// w·g: the first-order change of the loss when a weight, or a whole unit, is removed.
// Molchanov et al. 2019 (arXiv 1906.10771) eq. 8; on BatchNorm's scale and shift as HALP (arXiv 2110.10811).
// On weights and bias it is also the derivative by a gate that multiplies the unit. With the Hessian,
// w·g − ½ w·(H w) is the second order (eq. 6).
import type { GraphBuilder } from '../../ir/builder.ts'
import type { ReduceContext, Statistic } from '../contracts.ts'
import type { Member, UnitClass, UnitMap } from '../units.ts'
import { add, reduceOthers, sumOf, toUnits } from './reduce.ts'

/** How the removal of a unit is measured. */
export interface UnitTaylorOptions {
  /** `norm`: on scale and shift where a class has them, else on weights and bias; `weights`: never on norms. */
  readonly on?: 'norm' | 'weights'
  /** What is summed over batches: the square, or the absolute value, of a unit's Σ w·g. */
  readonly power?: 'square' | 'abs'
  /** Order of the expansion; the second needs products with the Hessian. */
  readonly order?: 1 | 2
}

/** Mean over batches of (Σ over a unit's members of the expansion)²: one number per unit, keyed by class. */
export function unitTaylor(options: UnitTaylorOptions = {}): Statistic {
  const { on = 'norm', power = 'square', order = 1 } = options
  return {
    name: nameOf({ on, power, order }),
    over: 'unit',
    needsGradients: true,
    ...(order === 2 && { products: ['weights'] as const }),
    taps: (_model, units) => tapsOf(units, (found) => scoredMembers(found, on)),
    reduce: (b, context) => reduceUnits(b, context, { on, power, order }),
    merge: add,
  }
}

// The plain ones have plain names.
function nameOf({ on, power, order }: Required<UnitTaylorOptions>): string {
  const marks = [
    on === 'weights' ? 'weights' : '',
    power === 'abs' ? 'abs' : '',
    order === 2 ? 'second' : '',
  ]
  return ['unit-taylor', ...marks.filter((mark) => mark !== '')].join('-')
}

/** Mean over batches of the square of the expansion per element, keyed by weight. */
export function elementTaylor(order: 1 | 2 = 1): Statistic {
  return {
    name: order === 1 ? 'element-taylor' : 'element-taylor-second',
    over: 'element',
    needsGradients: true,
    ...(order === 2 && { products: ['weights'] as const }),
    taps: (_model, units) => tapsOf(units, scoredElements),
    reduce(b, context) {
      const squares = context.taps.map((tap) => {
        const change = changeOf(b, context, { weight: tap, order })
        return [tap, b.op('Mul', [change, change])] as const
      })
      return Object.fromEntries(squares)
    },
    merge: add,
  }
}

/** The members whose w·g makes a unit's score; none for a class that cannot be cut. */
export function scoredMembers(found: UnitClass, on: 'norm' | 'weights'): Member[] {
  if (found.frozen !== undefined) return []
  const producers = found.members.filter(isProducer)
  const norms = producers.filter(isNorm)
  return on === 'norm' && norms.length > 0 ? norms : producers.filter((member) => !isNorm(member))
}

/** The members whose elements are scored one by one: weights, scales and shifts. */
export function scoredElements(found: UnitClass): Member[] {
  return found.members.filter(
    (member) => isProducer(member) && (member.part === 'weight' || isNorm(member)),
  )
}

/** Names of the weights of some members of all classes, each once. */
export function tapsOf(
  units: UnitMap,
  membersOf: (found: UnitClass) => readonly Member[],
): string[] {
  return [...new Set(units.classes.flatMap(membersOf).map(({ weight }) => weight))]
}

function isProducer({ role }: Member): boolean {
  return role === 'producer' || role === 'both'
}

function isNorm({ part }: Member): boolean {
  return part === 'scale' || part === 'shift'
}

// w·g, or w·g − ½ w·(H w).
function changeOf(
  b: GraphBuilder,
  { gradients, products }: ReduceContext,
  { weight, order }: { weight: string; order: 1 | 2 },
): string {
  const gradient = gradients[weight]!
  if (order === 1) return b.op('Mul', [weight, gradient])
  const half = b.op('Mul', [products.weights![weight]!, b.scalar(0.5)])
  return b.op('Mul', [weight, b.op('Sub', [gradient, half])])
}

function reduceUnits(
  b: GraphBuilder,
  context: ReduceContext,
  { on, power, order }: Required<UnitTaylorOptions>,
): Record<string, string> {
  const changes = new Map<string, string>()
  const changeBy = (weight: string): string => {
    const found = changes.get(weight) ?? changeOf(b, context, { weight, order })
    changes.set(weight, found)
    return found
  }
  const result: Record<string, string> = {}
  for (const found of context.units.classes) {
    const parts = scoredMembers(found, on).map(({ weight, axis, units }) =>
      toUnits(b, reduceOthers(b, changeBy(weight), { axis }), { units, size: found.size }),
    )
    if (parts.length === 0) continue
    const sum = sumOf(b, parts)
    result[found.name] = power === 'square' ? b.op('Mul', [sum, sum]) : b.op('Abs', [sum])
  }
  return result
}
