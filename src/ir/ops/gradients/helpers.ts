// What several gradients share: constants of a value's dtype, sums back to a shape, channel views.
import { sizeOf } from '../../../tensor/tensor.ts'
import { invariant } from '../../../util/errors.ts'
import type { GraphBuilder } from '../../builder.ts'
import { int, intList, type ValueType } from '../../graph.ts'
import type { OpRecord, VjpContext } from '../../op.ts'

/** A record's `vjp`. */
export type Vjp = NonNullable<OpRecord['vjp']>

/** ONNX codes of the types that gradients cast to. */
const codes = { float32: 1, float16: 10, float64: 11, bfloat16: 16, int64: 7, bool: 9 } as const

/** A Cast to a type. */
export function cast(b: GraphBuilder, x: string, dtype: string): string {
  const code = codes[dtype as keyof typeof codes]
  invariant(code !== undefined, `no cast to ${dtype} in gradients`)
  return b.type(x).dtype === dtype ? x : b.op('Cast', [x], { to: int(code) })
}

/** A constant with the dtype of `like`, filled with `value` (1 by default). */
export function ones(b: GraphBuilder, like: string, shape: readonly number[], value = 1): string {
  return filled(b, b.type(like).dtype, shape, () => value)
}

/** A scalar constant with the dtype of `like`. */
export function scalar(b: GraphBuilder, like: string, value: number): string {
  return ones(b, like, [], value)
}

/** A constant of a floating-point dtype from numbers by flat index. */
export function filled(
  b: GraphBuilder,
  dtype: string,
  shape: readonly number[],
  at: (index: number) => number,
): string {
  const stored = dtype === 'float64' ? 'float64' : 'float32'
  const data = new (stored === 'float64' ? Float64Array : Float32Array)(sizeOf(shape))
  for (let i = 0; i < data.length; i++) data[i] = at(i)
  return cast(b, b.constant({ dtype: stored, shape, data }), dtype)
}

/** Zeros with the dtype of `like`, stored as one number. */
export function zeros(b: GraphBuilder, like: string, shape: readonly number[]): string {
  return b.op('Expand', [
    ones(
      b,
      like,
      shape.map(() => 1),
      0,
    ),
    b.ints(shape),
  ])
}

/** Shape of a value. */
export function shapeOf(b: GraphBuilder, x: string): readonly number[] {
  return b.type(x).shape
}

/** A Reshape, left out where nothing changes. */
export function reshape(b: GraphBuilder, x: string, shape: readonly number[]): string {
  const { shape: from } = b.type(x)
  if (equal(from, shape)) return x
  return b.op('Reshape', [x, b.ints(shape)])
}

/** A Transpose, left out where nothing changes. */
export function transpose(b: GraphBuilder, x: string, perm: readonly number[]): string {
  return perm.every((axis, i) => axis === i) ? x : b.op('Transpose', [x], { perm: intList(perm) })
}

/** Swaps the last two axes. */
export function matrixTranspose(b: GraphBuilder, x: string): string {
  const rank = b.type(x).shape.length
  const perm = Array.from({ length: rank }, (_, i) => i)
  perm.push(...perm.splice(rank - 2, 2).reverse())
  return transpose(b, x, perm)
}

/** Pads with zeros (negative amounts crop): begins of all axes, then ends. Left out where nothing changes. */
export function pad(b: GraphBuilder, x: string, pads: readonly number[]): string {
  return pads.every((amount) => amount === 0) ? x : b.op('Pad', [x, b.ints(pads)])
}

/** A Slice from `start` with `length` steps along one axis. */
export function sliceAxis(
  b: GraphBuilder,
  x: string,
  { axis, start, length, step = 1 }: { axis: number; start: number; length: number; step?: number },
): string {
  if (start === 0 && step === 1 && length === b.type(x).shape[axis]) return x
  const end = start + (length - 1) * step + 1
  return b.op('Slice', [x, b.ints([start]), b.ints([end]), b.ints([axis]), b.ints([step])])
}

/** Reverses axes. */
export function reverse(b: GraphBuilder, x: string, axes: readonly number[]): string {
  const { shape } = b.type(x)
  const turned = axes.filter((axis) => shape[axis]! > 1)
  if (turned.length === 0) return x
  const all = (value: number) => b.ints(turned.map(() => value))
  return b.op('Slice', [x, all(-1), all(-0x7fffffff), b.ints(turned), all(-1)])
}

/** Sums over axes; `keep` leaves them with size 1. */
export function sum(b: GraphBuilder, x: string, axes: readonly number[], keep = false): string {
  if (axes.length === 0) return x
  return b.op('ReduceSum', [x, b.ints(axes)], { keepdims: int(keep ? 1 : 0) })
}

/** Sums a value over the axes along which `shape` was broadcast to it. */
export function unbroadcast(b: GraphBuilder, x: string, shape: readonly number[]): string {
  const { shape: from } = b.type(x)
  if (equal(from, shape)) return x
  const lead = from.length - shape.length
  const axes = from.flatMap((dim, i) =>
    i < lead || (shape[i - lead] === 1 && dim !== 1) ? [i] : [],
  )
  return reshape(b, sum(b, x, axes), shape)
}

/**
 * The cotangent of an element-wise op's first output, small where it may stay so: input `index` is
 * as large as the output, so nothing is summed over what is broadcast.
 */
export function cotangentFor(c: VjpContext, index: number): string {
  const input = c.inputs[index]!
  return (equal(input.shape, c.outputs[0]!.shape) ? c.compact() : c.cotangent())!
}

/** Sums over all axes but the channel axis 1, in two steps (pixels, then batch): measured faster. */
export function channelSum(b: GraphBuilder, x: string): string {
  return perChannel(b, x, 'ReduceSum')
}

/** Mean over all axes but the channel axis 1. */
export function channelMean(b: GraphBuilder, x: string): string {
  return perChannel(b, x, 'ReduceMean')
}

function perChannel(b: GraphBuilder, x: string, op: string): string {
  const space = spaceAxes(b.type(x))
  const inner = space.length === 0 ? x : b.op(op, [x, b.ints(space)], { keepdims: int(0) })
  return b.op(op, [inner, b.ints([0])], { keepdims: int(0) })
}

/** Axes after batch and channels. */
export function spaceAxes({ shape }: ValueType): number[] {
  return shape.slice(2).map((_, i) => i + 2)
}

/** A vector over channels as `[1, c, 1, …]`, to broadcast against a value of `rank`. */
export function alongChannels(b: GraphBuilder, vector: string, rank: number): string {
  const count = sizeOf(b.type(vector).shape)
  return reshape(b, vector, [1, count, ...Array.from({ length: rank - 2 }, () => 1)])
}

/** 1 where `condition` (bool) holds, else 0, in the dtype of `like`. No gradient flows through it. */
export function indicator(b: GraphBuilder, condition: string, like: string): string {
  return cast(b, condition, b.type(like).dtype)
}

/** Short forms of element-wise nodes. */
export const mul = (b: GraphBuilder, x: string, y: string) => b.op('Mul', [x, y])
/** x + y */
export const add = (b: GraphBuilder, x: string, y: string) => b.op('Add', [x, y])
/** x − y */
export const sub = (b: GraphBuilder, x: string, y: string) => b.op('Sub', [x, y])
/** x / y */
export const div = (b: GraphBuilder, x: string, y: string) => b.op('Div', [x, y])
/** −x */
export const neg = (b: GraphBuilder, x: string) => b.op('Neg', [x])
/** x · number; x itself when the number is 1. */
export const scale = (b: GraphBuilder, x: string, value: number) =>
  value === 1 ? x : b.op('Mul', [x, scalar(b, x, value)])
/** x + number */
export const offset = (b: GraphBuilder, x: string, value: number) =>
  b.op('Add', [x, scalar(b, x, value)])

/** True when two shapes are the same. */
export function equal(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i])
}

/** An axis counted from the front. */
export function positiveAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis
}

/** The vjp of an op that passes nothing back: its derivative is zero wherever it exists. */
export const zeroGradient: Vjp = () => []
