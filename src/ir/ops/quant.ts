// QONNX: values rounded to a grid and kept as floats; files write it in three domains.
import { binary, constant, type Formula, input, unary, type UnaryFunction } from '../formula.ts'
import type { GraphBuilder } from '../builder.ts'
import { intOf, stringOf } from '../graph.ts'
import type { InferContext, OpRecord } from '../op.ts'
import { knownScalar, reject } from './shared/check.ts'
import { elementwise } from './shared/elementwise.ts'

/** Standard where an exporter names no domain, else that of the QONNX library or of Brevitas. */
const DOMAINS = ['', 'qonnx.custom_op.general', 'onnx.brevitas']

const roundings: Readonly<Record<string, UnaryFunction>> = {
  ROUND: 'round',
  CEIL: 'ceil',
  FLOOR: 'floor',
}
const operators = { round: 'Round', ceil: 'Ceil', floor: 'Floor' } as const

// (clip(round(x / scale + zero), low, high) − zero) · scale
const quant = (domain: string): OpRecord =>
  elementwise({
    name: 'Quant',
    domain,
    formula: (context): Formula => {
      const { rounding, low, high } = gridOf(context)
      const [scale, zero] = [input(1), input(2)]
      const level = unary(rounding, binary('add', binary('div', input(0), scale), zero))
      const kept = binary('min', binary('max', level, constant(low)), constant(high))
      return binary('mul', binary('sub', kept, zero), scale)
    },
    expand: (b, context) => {
      const { rounding, low, high } = gridOf(context)
      return [expandQuant(b, context.node.inputs, { op: operators[rounding], low, high })]
    },
  })

// sign(x) · scale, where the sign of 0 is 1
const bipolar = (domain: string): OpRecord =>
  elementwise({
    name: 'BipolarQuant',
    domain,
    formula: () => {
      const sign = binary(
        'sub',
        binary('mul', constant(2), binary('greaterEqual', input(0), constant(0))),
        constant(1),
      )
      return binary('mul', sign, input(1))
    },
    expand: (b, { node }) => {
      const [x, scale] = node.inputs as [string, string]
      const isUp = b.op('GreaterOrEqual', [x, b.scalar(0)])
      return [b.op('Where', [isUp, scale, b.op('Neg', [scale])])]
    },
  })

interface Grid {
  readonly rounding: 'round' | 'ceil' | 'floor'
  readonly low: number
  readonly high: number
}

function gridOf(context: InferContext): Grid {
  const { node } = context
  const bits = knownScalar(context, 3)
  if (!(bits >= 1 && bits <= 32)) reject(`the bit width ${bits} is not between 1 and 32`)
  const mode = stringOf(node, 'rounding_mode', 'ROUND').toUpperCase()
  const rounding = roundings[mode]
  if (rounding !== 'round' && rounding !== 'ceil' && rounding !== 'floor')
    return reject(`rounding mode "${mode}" is none of ${Object.keys(roundings).join(', ')}`)
  const isNarrow = intOf(node, 'narrow', 0) !== 0
  if (intOf(node, 'signed', 1) === 0)
    return { rounding, low: 0, high: 2 ** bits - (isNarrow ? 2 : 1) }
  const high = 2 ** (bits - 1) - 1
  return { rounding, low: isNarrow ? -high : -high - 1, high }
}

function expandQuant(
  b: GraphBuilder,
  inputs: readonly string[],
  { op, low, high }: { op: string; low: number; high: number },
): string {
  const [x, scale, zero] = inputs as [string, string, string]
  const level = b.op(op, [b.op('Add', [b.op('Div', [x, scale]), zero])])
  const kept = b.op('Clip', [level, b.scalar(low), b.scalar(high)])
  return b.op('Mul', [b.op('Sub', [kept, zero]), scale])
}

/** The records of this file. */
export const quantOps: readonly OpRecord[] = DOMAINS.flatMap((domain) => [
  quant(domain),
  bipolar(domain),
])
