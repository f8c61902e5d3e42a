// Element-wise nodes over integers → one pass over memory: sums, products, comparisons, choices.
import type { Formula } from '../../ir/formula.ts'
import type { Node, ValueType } from '../../ir/graph.ts'
import { findOp } from '../../ir/ops/index.ts'
import { numbersOf, sizeOf } from '../../tensor/tensor.ts'
import type { Kernel, OfferContext } from '../kernel.ts'
import { broadcastView, bytesOf, PLAIN, storageOf, viewOf } from '../layout.ts'
import { binaryOp, bits, choose, splat, unaryOp } from '../tile/build.ts'
import type { TileExpr, TileFunction } from '../tile/nodes.ts'
import { lowerFormula, sizeOfFormula } from './formula.ts'
import { createNames, elementNest, type Strided } from './nest.ts'

/** Functions whose results need no more room than their operands: exact as float32, too. */
const KEEPING: ReadonlySet<string> = new Set([
  ...['less', 'lessEqual', 'greater', 'greaterEqual', 'equal', 'and', 'or', 'not'],
  ...['min', 'max'],
])

const arithmetic = { add: 'add', sub: 'sub', mul: 'mul', min: 'min', max: 'max' } as const
const comparisons = {
  ...{ less: 'lt', lessEqual: 'le', greater: 'gt', greaterEqual: 'ge', equal: 'eq' },
} as const
const logic = { and: 'and', or: 'or' } as const

interface Plan {
  readonly formula: Formula
  readonly inputs: readonly ValueType[]
  readonly output: ValueType
  /** Integers of up to 16 bits lie as float32. */
  readonly isNarrow: boolean
}

/** Formulas over whole numbers, each as wide as it lies in memory. */
export const integers: Kernel = {
  name: 'pointwise-i32',
  offer(node, context) {
    const plan = planOf(node, context)
    if (typeof plan === 'string') return plan
    const { formula, inputs, output } = plan
    return [
      {
        kernel: integers.name,
        covers: [node],
        inputs: node.inputs.map((value) => ({ value, layout: PLAIN })),
        outputs: [{ value: node.outputs[0]!, layout: 'plain' }],
        cost: sizeOf(output.shape) * (1 + inputs.length + sizeOfFormula(formula)),
        scratchBytes: 0,
        tolerance: 0,
        codeKey: () => JSON.stringify(plan),
        pack: () => [],
        emit: () => emit(plan),
      },
    ]
  },
}

function planOf(node: Node, context: OfferContext): Plan | string {
  const record = findOp(node)
  if (record?.formula === undefined) return ''
  if (node.inputs.some((name) => name === '')) return 'an input is absent'
  const inputs = node.inputs.map((name) => context.type(name))
  const output = context.type(node.outputs[0]!)
  const whole = [...inputs, output].filter(({ dtype }) => dtype !== 'bool')
  const isWhole = whole.every(({ dtype }) => /^u?int/.test(dtype) && storageOf(dtype) !== undefined)
  if (whole.length === 0 || !isWhole) return ''
  const isNarrow = whole.every(({ dtype }) => storageOf(dtype) === 'float32')
  if (!isNarrow && whole.some(({ dtype }) => storageOf(dtype) === 'float32'))
    return 'it mixes integers of different widths'
  for (const name of node.inputs) {
    const constant = context.constant(name)
    if (constant && numbersOf(constant).some((value) => Math.abs(value) > 2 ** 31 - 1))
      return `"${name}" holds numbers beyond 32 bits`
  }
  const formula = record.formula(context.analysis.context(node))
  const plan = { formula, inputs, output, isNarrow }
  const problem = isNarrow ? wideningIn(formula) : problemIn(formula, plan, output.dtype === 'bool')
  return problem ?? plan
}

function wideningIn(formula: Formula): string | undefined {
  const parts = partsOf(formula)
  const own = formula.kind === 'unary' || formula.kind === 'binary' ? formula.f : undefined
  if (own !== undefined && !KEEPING.has(own))
    return `its ${own} may leave the range of its integers`
  return parts.map(wideningIn).find((problem) => problem !== undefined)
}

// Why a formula cannot be computed as integers, or as a truth value.
function problemIn(formula: Formula, plan: Plan, isTruth: boolean): string | undefined {
  const all = (parts: readonly Formula[], truth: boolean) =>
    parts.map((part) => problemIn(part, plan, truth)).find((problem) => problem !== undefined)
  switch (formula.kind) {
    case 'input':
      return isTruth === (plan.inputs[formula.index]!.dtype === 'bool')
        ? undefined
        : 'it takes truth values for numbers'
    case 'constant':
      return Number.isInteger(formula.value) && Math.abs(formula.value) < 2 ** 31
        ? undefined
        : `${formula.value} is no integer of 32 bits`
    case 'unary':
      if (formula.f === 'not' && isTruth) return all([formula.x], true)
      if ((formula.f === 'neg' || formula.f === 'abs') && !isTruth) return all([formula.x], false)
      return `its ${formula.f} is not computed with integers`
    case 'binary':
      if (formula.f in comparisons && isTruth) return all([formula.a, formula.b], false)
      if (formula.f in logic && isTruth) return all([formula.a, formula.b], true)
      if (formula.f in arithmetic && !isTruth) return all([formula.a, formula.b], false)
      return `its ${formula.f} is not computed with integers`
    case 'select':
      return all([formula.condition], true) ?? all([formula.a, formula.b], isTruth)
    default:
      return formula satisfies never
  }
}

function partsOf(formula: Formula): readonly Formula[] {
  switch (formula.kind) {
    case 'unary':
      return [formula.x]
    case 'binary':
      return [formula.a, formula.b]
    case 'select':
      return [formula.condition, formula.a, formula.b]
    default:
      return []
  }
}

/** Integers as they are, truth values as masks. */
function lower(formula: Formula, loads: readonly TileExpr[], plan: Plan): TileExpr {
  const go = (part: Formula) => lower(part, loads, plan)
  switch (formula.kind) {
    case 'input': {
      const value = loads[formula.index]!
      const isTruth = plan.inputs[formula.index]!.dtype === 'bool'
      return isTruth ? unaryOp('not', binaryOp('eq', value, splat(0)), 'i32x4') : value
    }
    case 'constant':
      return splat(formula.value, 'i32x4')
    case 'unary':
      return unaryOp(formula.f as 'not' | 'neg' | 'abs', go(formula.x), 'i32x4')
    case 'binary': {
      const f = { ...arithmetic, ...comparisons, ...logic }[formula.f as keyof typeof arithmetic]
      return binaryOp(f, go(formula.a), go(formula.b), 'i32x4')
    }
    case 'select':
      return choose(go(formula.condition), go(formula.a), go(formula.b))
    default:
      return formula satisfies never
  }
}

function emit(plan: Plan): TileFunction {
  const { formula, inputs, output, isNarrow } = plan
  const strided = inputs.map(
    ({ shape }, base): Strided => ({ base, ...broadcastView(viewOf(shape, PLAIN), output.shape) }),
  )
  const target = { base: inputs.length, ...viewOf(output.shape, PLAIN) }
  const isTruth = output.dtype === 'bool'
  const body = elementNest(
    createNames(),
    { dims: output.shape, operands: [...strided, target] },
    (point) => {
      const loads = inputs.map(({ dtype }, i) =>
        point.load(i, storageOf(dtype) === 'int32' ? 'i32x4' : 'f32x4'),
      )
      if (isNarrow) return [point.store(lowerFormula(formula, loads))]
      const value = lower(formula, loads, plan)
      if (!isTruth) return [point.store(value)]
      const one = bits(splat(1), 'i32x4')
      return [point.store(bits(binaryOp('and', value, one, 'i32x4'), 'f32x4'))]
    },
    { type: isTruth || isNarrow ? 'f32x4' : 'i32x4' },
  )
  return {
    name: 'integers',
    parameters: [...inputs.map((_, i) => `x${i}`), 'y'],
    extents: [...inputs, output].map((type) => bytesOf(type, PLAIN)),
    body,
  }
}
