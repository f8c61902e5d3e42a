// Functions of two or more tensors, element by element with broadcasting: arithmetic, order, logic, choice.
import {
  binary,
  type BinaryFunction,
  constant,
  type Formula,
  input,
  select,
  unary,
} from '../formula.ts'
import { intOf, type Node } from '../graph.ts'
import type { GraphBuilder } from '../builder.ts'
import type { InferContext, OpRecord } from '../op.ts'
import { broadcastShapes, broadcastTensor } from './shared/broadcast.ts'
import { needTensor } from './shared/check.ts'
import { readNumbers } from './shared/numeric.ts'
import { elementwise } from './shared/elementwise.ts'
import {
  addVjp,
  divVjp,
  extremumVjp,
  meanVjp,
  mulVjp,
  powVjp,
  subVjp,
  sumVjp,
  whereVjp,
} from './gradients/binary.ts'

const a = input(0)
const b = input(1)

const arithmetic = (name: string, f: BinaryFunction, vjp: OpRecord['vjp']): OpRecord =>
  elementwise({
    name,
    formula: () => binary(f, a, b),
    upgrade: upgradeBroadcast,
    ...(vjp && { vjp }),
  })

const comparison = (name: string, f: BinaryFunction): OpRecord =>
  elementwise({
    name,
    formula: () => binary(f, a, b),
    dtype: () => 'bool',
    upgrade: upgradeBroadcast,
  })

/** a + b */
export const add = arithmetic('Add', 'add', addVjp)
/** a − b */
export const sub = arithmetic('Sub', 'sub', subVjp)
/** a · b */
export const mul = arithmetic('Mul', 'mul', mulVjp)
/** a / b; integers truncate. */
export const div = arithmetic('Div', 'div', divVjp)
/** a^b, of the type of a. */
export const pow = elementwise({
  name: 'Pow',
  vjp: powVjp,
  // A known exponent is a number: kernels multiply for small whole ones.
  formula: (context) => {
    const exponent = context.inputs[1] && context.known(1)
    const known = exponent?.data.length === 1 && exponent.shape.length <= rankOf(context)
    return binary('pow', a, known ? constant(readNumbers(exponent)[0]!) : b)
  },
  mixed: true,
  upgrade: upgradeBroadcast,
})

/** Remainder: with the sign of b, or of a with `fmod`. */
export const mod = elementwise({
  name: 'Mod',
  formula: ({ node }) => {
    const remainder = binary('mod', a, b)
    if (intOf(node, 'fmod', 0) === 1) return remainder
    const opposite = binary(
      'less',
      binary('mul', unary('sign', remainder), unary('sign', b)),
      constant(0),
    )
    return select(opposite, binary('add', remainder, b), remainder)
  },
})

const equalNumbers = comparison('Equal', 'equal')
/** a = b, of numbers or text. */
export const equal: OpRecord = {
  ...equalNumbers,
  evaluate: (node, inputs, opset) => {
    const [left, right] = [needTensor(node, inputs, 0), needTensor(node, inputs, 1)]
    if (left.dtype !== 'string' || right.dtype !== 'string')
      return equalNumbers.evaluate!(node, inputs, opset)
    const shape = broadcastShapes([left.shape, right.shape])
    const [l, r] = [broadcastTensor(left, shape), broadcastTensor(right, shape)]
    const data = Uint8Array.from(l.data as string[], (text, i) => (text === r.data[i] ? 1 : 0))
    return [{ dtype: 'bool', shape, data }]
  },
}
/** a < b */
export const less = comparison('Less', 'less')
/** a > b */
export const greater = comparison('Greater', 'greater')
/** a ≤ b */
export const lessOrEqual = comparison('LessOrEqual', 'lessEqual')
/** a ≥ b */
export const greaterOrEqual = comparison('GreaterOrEqual', 'greaterEqual')
/** a ∧ b */
export const and = comparison('And', 'and')
/** a ∨ b */
export const or = comparison('Or', 'or')
/** a ≠ b of truth values. */
export const xor = elementwise({
  name: 'Xor',
  formula: () => unary('not', binary('equal', unary('not', a), unary('not', b))),
  dtype: () => 'bool',
  upgrade: upgradeBroadcast,
})

/** condition ? a : b */
export const where = elementwise({
  name: 'Where',
  vjp: whereVjp,
  formula: () => select(input(0), input(1), input(2)),
  dtype: ({ inputs }) => inputs[1]?.dtype ?? 'float32',
  mixed: true,
})

const rankOf = ({ inputs }: InferContext): number => inputs[0]?.shape.length ?? 0

const fold = ({ inputs }: InferContext, f: BinaryFunction): Formula =>
  inputs.slice(1).reduce<Formula>((sum, _, i) => binary(f, sum, input(i + 1)), input(0))

/** Smallest of any number of inputs. */
export const min = elementwise({
  name: 'Min',
  vjp: extremumVjp,
  formula: (context) => fold(context, 'min'),
})
/** Largest of any number of inputs. */
export const max = elementwise({
  name: 'Max',
  vjp: extremumVjp,
  formula: (context) => fold(context, 'max'),
})
/** Sum of any number of inputs. */
export const sum = elementwise({
  name: 'Sum',
  vjp: sumVjp,
  formula: (context) => fold(context, 'add'),
})
/** Mean of any number of inputs. */
export const mean = elementwise({
  name: 'Mean',
  vjp: meanVjp,
  formula: (context) => binary('div', fold(context, 'add'), constant(context.inputs.length)),
})

/** The records of this file. */
export const binaryOps: readonly OpRecord[] = [
  add,
  sub,
  mul,
  div,
  pow,
  mod,
  equal,
  less,
  greater,
  lessOrEqual,
  greaterOrEqual,
  and,
  or,
  xor,
  where,
  min,
  max,
  sum,
  mean,
]

// Before opset 7 the second input was placed by `axis` where `broadcast` was set.
function upgradeBroadcast(node: Node, opset: number, builder: GraphBuilder): Node {
  if (opset >= 7 || node.attributes.broadcast === undefined) return node
  const { broadcast, axis, ...attributes } = node.attributes
  const [left, right] = node.inputs
  if (broadcast.type !== 'int' || broadcast.value === 0 || axis?.type !== 'int')
    return { ...node, attributes }
  const missing = builder.type(left!).shape.length - axis.value - builder.type(right!).shape.length
  if (missing <= 0) return { ...node, attributes }
  const rank = builder.type(right!).shape.length
  const axes = builder.ints(Array.from({ length: missing }, (_, i) => rank + i))
  return { ...node, inputs: [left!, builder.op('Unsqueeze', [right!, axes])], attributes }
}
