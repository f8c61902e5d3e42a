// Cast: between element types, as C converts; text is parsed and printed.
import { dtypeByCode } from '../../tensor/onnx-types.ts'
import type { Dtype, Tensor } from '../../tensor/tensor.ts'
import { binary, constant, type Formula, input, select, unary } from '../formula.ts'
import type { Node } from '../graph.ts'
import { int } from '../graph.ts'
import { defineOp, type OpRecord } from '../op.ts'
import { castVjp } from './gradients/unary.ts'
import { need, needTensor, reject } from './shared/check.ts'
import { isFloat, isWide, readNumbers, writeNumbers } from './shared/numeric.ts'

/** Converts every element to the type `to`. */
export const cast = defineOp({
  name: 'Cast',
  vjp: castVjp,
  infer: (context) => [{ dtype: castTarget(context.node), shape: need(context, 0).shape }],
  evaluate: (node, inputs) => [castTensor(needTensor(node, inputs, 0), castTarget(node))],
  formula: (context) => castFormula(need(context, 0).dtype, castTarget(context.node)),
  units: { kind: 'pass' },
  // Before opset 6 the target is a word.
  upgrade: (node) => {
    const { to } = node.attributes
    if (to?.type !== 'string') return node
    const word = to.value
      .toLowerCase()
      .replace(/^float$/, 'float32')
      .replace(/^double$/, 'float64')
    const code = Object.entries(dtypeByCode).find(([, dtype]) => dtype === word)?.[0]
    return code === undefined
      ? node
      : { ...node, attributes: { ...node.attributes, to: int(Number(code)) } }
  },
})

/** Converts to the type of the second input. */
export const castLike = defineOp({
  name: 'CastLike',
  vjp: castVjp,
  infer: (context) => [{ dtype: need(context, 1).dtype, shape: need(context, 0).shape }],
  evaluate: (node, inputs) => [
    castTensor(needTensor(node, inputs, 0), needTensor(node, inputs, 1).dtype),
  ],
  expand: (b, { node, inputs }) => {
    const dtype = inputs[1]!.dtype
    const code = Number(Object.entries(dtypeByCode).find(([, name]) => name === dtype)![0])
    return [b.op('Cast', [node.inputs[0]!], { to: int(code) })]
  },
})

function castTarget(node: Node): Dtype {
  const { to } = node.attributes
  if (to?.type !== 'int') reject('it does not say what to convert to')
  return dtypeByCode[to.value] ?? reject(`element type ${to.value} is not supported`)
}

/** Returns the tensor converted to another element type. */
export function castTensor(t: Tensor, dtype: Dtype): Tensor {
  if (t.dtype === dtype) return t
  if (isWide(t.dtype) && isWide(dtype)) {
    const source = t.data as BigInt64Array
    const data = dtype === 'int64' ? BigInt64Array.from(source) : BigUint64Array.from(source)
    return { dtype, shape: t.shape, data }
  }
  if (dtype === 'string') {
    const single = t.dtype !== 'float64' && isFloat(t.dtype)
    const text = (value: number) => print(value, single)
    return { dtype, shape: t.shape, data: Array.from(readNumbers(t), text) }
  }
  return writeNumbers(dtype, t.shape, readNumbers(t))
}

function castFormula(from: Dtype, to: Dtype): Formula {
  const x = input(0)
  if (to === 'bool') return unary('not', binary('equal', x, constant(0)))
  if (isFloat(to) || !isFloat(from)) return x
  return select(binary('less', x, constant(0)), unary('ceil', x), unary('floor', x))
}

// The shortest text that reads back as the same float32, as NumPy prints it.
function print(value: number, single: boolean): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? 'INF' : '-INF'
  if (!single) return String(value)
  for (let digits = 1; digits < 9; digits++) {
    const text = value.toPrecision(digits)
    if (Math.fround(Number(text)) === Math.fround(value)) return String(Number(text))
  }
  return String(value)
}

/** The records of this file. */
export const castOps: readonly OpRecord[] = [cast, castLike]
