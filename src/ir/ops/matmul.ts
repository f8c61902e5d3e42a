// Matrix products: MatMul and Gemm.
import { sizeOf, type Tensor } from '../../tensor/tensor.ts'
import { type Attribute, floatOf, intOf, type Node, type ValueType } from '../graph.ts'
import { defineOp, type OpRecord } from '../op.ts'
import { broadcastOffsets, broadcastShapes } from './shared/broadcast.ts'
import { need, needTensor, reject } from './shared/check.ts'
import { transposeTensor } from './shared/move.ts'
import { readNumbers, writeNumbers } from './shared/numeric.ts'
import { gemmUnits, matMulUnits } from './units/matmul.ts'
import { vanishGemm, vanishMatMul } from './units/vanish.ts'
import { gemmVjp, matMulVjp } from './gradients/matmul.ts'

/** [… m, k] × [… k, n] with broadcast leading axes; vectors count as one row or one column. */
export const matMul = defineOp({
  name: 'MatMul',
  vjp: matMulVjp,
  units: matMulUnits,
  contraction: (_node, [a, b]) =>
    a !== undefined && b?.shape.length === 2
      ? { data: 0, weight: 1, dataAxis: a.shape.length - 1, weightAxis: 0, groups: 1 }
      : undefined,
  vanish: vanishMatMul,
  infer: (context) => {
    const [a, b] = [need(context, 0), need(context, 1)]
    return [{ dtype: a.dtype, shape: productOf(a.shape, b.shape).shape }]
  },
  evaluate: (node, inputs) => [
    matMulReference(needTensor(node, inputs, 0), needTensor(node, inputs, 1)),
  ],
  cost: ([a], outputs) => ({ macs: sizeOf(outputs[0]!.shape) * (a!.shape.at(-1) ?? 1) }),
})

/** alpha · A′B′ + beta · C over matrices, each transposed on demand; C broadcasts and may be absent. */
export const gemm = defineOp({
  name: 'Gemm',
  vjp: gemmVjp,
  units: gemmUnits,
  contraction: (node) => ({
    data: 0,
    weight: 1,
    dataAxis: intOf(node, 'transA', 0) ? 0 : 1,
    weightAxis: intOf(node, 'transB', 0) ? 1 : 0,
    groups: 1,
  }),
  vanish: vanishGemm,
  infer: (context) => {
    const { a, b } = gemmShapes(context.node, need(context, 0).shape, need(context, 1).shape)
    const shape = [a[0]!, b[1]!]
    const c = context.inputs[2]
    if (c && String(broadcastShapes([c.shape, shape])) !== String(shape))
      reject(`C [${c.shape}] does not broadcast to [${shape}]`)
    return [{ dtype: need(context, 0).dtype, shape }]
  },
  evaluate: (node, inputs) => {
    const flip = (t: Tensor, name: string) =>
      intOf(node, name, 0) ? transposeTensor(t, [1, 0]) : t
    const a = flip(needTensor(node, inputs, 0), 'transA')
    const b = flip(needTensor(node, inputs, 1), 'transB')
    const [alpha, beta] = [floatOf(node, 'alpha', 1), floatOf(node, 'beta', 1)]
    const product = productNumbers(a, b)
    const c = inputs[2]
    const shift = c && readNumbers(c)
    const at = c && broadcastOffsets(c.shape, product.shape)
    const values = product.values.map(
      (value, i) => alpha * value + (shift && at ? beta * shift[at[i]!]! : 0),
    )
    return [writeNumbers(a.dtype, product.shape, values)]
  },
  cost: ([a], outputs, node) => ({
    macs: sizeOf(outputs[0]!.shape) * a!.shape[intOf(node, 'transA', 0) ? 0 : 1]!,
  }),
  expand: (b, { node, inputs }) => {
    const flip = (index: number, name: string) =>
      intOf(node, name, 0) ? b.op('Transpose', [node.inputs[index]!], swap) : node.inputs[index]!
    const scale = (value: string, factor: number) =>
      factor === 1 ? value : b.op('Mul', [value, b.scalar(factor)])
    const product = b.op('MatMul', [flip(0, 'transA'), flip(1, 'transB')])
    const scaled = scale(product, floatOf(node, 'alpha', 1))
    if (inputs[2] === undefined) return [scaled]
    return [b.op('Add', [scaled, scale(node.inputs[2]!, floatOf(node, 'beta', 1))])]
  },
  // Before opset 7 C broadcasts only on demand, which changes nothing here.
  upgrade: (node) => {
    const { broadcast, ...attributes } = node.attributes
    return broadcast === undefined ? node : { ...node, attributes }
  },
})

const swap: Record<string, Attribute> = { perm: { type: 'ints', value: [1, 0] } }

function gemmShapes(node: Node, a: readonly number[], b: readonly number[]) {
  if (a.length !== 2 || b.length !== 2) reject(`expected matrices, found [${a}] and [${b}]`)
  const left = intOf(node, 'transA', 0) ? [a[1]!, a[0]!] : a
  const right = intOf(node, 'transB', 0) ? [b[1]!, b[0]!] : b
  if (left[1] !== right[0]) reject(`[${left}] and [${right}] do not multiply`)
  return { a: left, b: right }
}

/** Shapes of a MatMul: leading axes, m, k, n, and the result. */
export function productOf(a: ValueType['shape'], b: ValueType['shape']) {
  if (a.length === 0 || b.length === 0) reject('a scalar does not multiply as a matrix')
  const left = a.length === 1 ? [1, ...a] : a
  const right = b.length === 1 ? [...b, 1] : b
  const [m, k, n] = [left.at(-2)!, left.at(-1)!, right.at(-1)!]
  if (right.at(-2) !== k) reject(`[${a}] and [${b}] do not multiply`)
  const batch = broadcastShapes([left.slice(0, -2), right.slice(0, -2)])
  const shape = [...batch, ...(a.length === 1 ? [] : [m]), ...(b.length === 1 ? [] : [n])]
  return { batch, m, k, n, shape }
}

/** Returns A × B in double precision, rounded once. */
export function matMulReference(a: Tensor, b: Tensor): Tensor {
  const { shape, values } = productNumbers(a, b)
  return writeNumbers(a.dtype, shape, values)
}

function productNumbers(a: Tensor, b: Tensor) {
  const { batch, m, k, n, shape } = productOf(a.shape, b.shape)
  const [left, right] = [readNumbers(a), readNumbers(b)]
  const at = broadcastOffsets(a.shape.slice(0, -2), batch)
  const bt = broadcastOffsets(b.shape.slice(0, -2), batch)
  const values = new Float64Array(sizeOf(shape))
  for (let p = 0; p < at.length; p++) {
    const [from, with_, to] = [at[p]! * m * k, bt[p]! * k * n, p * m * n]
    for (let i = 0; i < m; i++)
      for (let l = 0; l < k; l++) {
        const value = left[from + i * k + l]!
        for (let j = 0; j < n; j++) values[to + i * n + j]! += value * right[with_ + l * n + j]!
      }
  }
  return { shape, values }
}

/** The records of this file. */
export const matmulOps: readonly OpRecord[] = [matMul, gemm]
