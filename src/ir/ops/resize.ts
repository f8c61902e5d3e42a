// Resize (and Upsample before it): every output position is a weighted sum of taps along each axis.
import { floats, sizeOf, stridesOf, type Tensor } from '../../tensor/tensor.ts'
import type { GraphBuilder } from '../builder.ts'
import { floatOf, int, intList, intOf, intsOf, type Node, string, stringOf } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord, UnknownValue } from '../op.ts'
import { resizeVjp } from './gradients/resize.ts'
import { checkShape, contextOf, need, normalizeAxes, reject, rejectNode } from './shared/check.ts'
import { range, takeAxes } from './shared/move.ts'
import { readNumbers, writeNumbers } from './shared/numeric.ts'
import { coordinateOf, type ResizeMode, type Tap, tapsAt } from './shared/taps.ts'
import { resizeSizes, resizeUnits } from './units/channels.ts'

/** Nearest, linear and cubic resampling in every coordinate mode; inputs x, roi, scales, sizes. */
export const resize = defineOp({
  name: 'Resize',
  units: resizeUnits,
  resize: resizeSizes,
  vjp: resizeVjp,
  infer: (context) => [{ dtype: need(context, 0).dtype, shape: resizedShape(context) }],
  evaluate: (node, inputs, opset) => [resample(contextOf(node, inputs, opset))],
  expand: (b, context) => [expandResize(b, context)],
  // Opset 10 has inputs x, scales, and divides coordinates by the scale.
  upgrade: (node, opset) => (opset >= 11 ? node : legacy(node, node.inputs[1]!)),
})

/** What Resize was called before opset 10. */
export const upsample = defineOp({
  name: 'Upsample',
  infer: (context) => [{ dtype: need(context, 0).dtype, shape: resizedShape(context) }],
  evaluate: (node, inputs, opset) => [resample(contextOf(node, inputs, opset))],
  upgrade: (node, opset, b) => {
    const { scales } = node.attributes
    if (opset >= 9 || scales?.type !== 'floats') return legacy(node, node.inputs[1]!)
    return legacy(node, b.constant(floats([scales.value.length], scales.value)))
  },
})

function legacy(node: Node, scales: string): Node {
  return {
    ...node,
    op: 'Resize',
    inputs: [node.inputs[0]!, '', scales],
    attributes: {
      mode: string(stringOf(node, 'mode', 'nearest')),
      coordinate_transformation_mode: string('asymmetric'),
      nearest_mode: string('floor'),
    },
  }
}

/** How one axis is resampled. */
interface AxisPlan {
  readonly input: number
  readonly output: number
  readonly scale: number
  readonly roi: readonly [number, number]
}

/** Shape of the output of a Resize or Upsample. */
export function resizedShape(context: InferContext): readonly number[] {
  return checkShape(axisPlans(context).map((plan) => plan.output))
}

/**
 * Taps of a Resize per axis and output position; undefined where an axis stays as it is.
 * No taps at all means the extrapolation value.
 */
export function resizeTaps(context: InferContext): (readonly (readonly Tap[])[] | undefined)[] {
  const mode = modeOf(context)
  return axisPlans(context).map(({ input, output, scale, roi }) => {
    if (input === output && scale === 1 && mode.coordinates !== 'tf_crop_and_resize')
      return undefined
    return range(output).map((position) => {
      const at = coordinateOf(position, { input, output, scale, roi, mode: mode.coordinates })
      const outside = mode.coordinates === 'tf_crop_and_resize' && (at < 0 || at > input - 1)
      return outside ? [] : tapsAt(at, { ...mode, input, scale })
    })
  })
}

function isLegacy({ node, opset }: InferContext): boolean {
  return node.op === 'Upsample' || opset < 11
}

function modeOf(context: InferContext): ResizeMode & { coordinates: string } {
  const { node } = context
  const old = isLegacy(context)
  const kind = stringOf(node, 'mode', 'nearest').replace('bilinear', 'linear')
  if (kind !== 'nearest' && kind !== 'linear' && kind !== 'cubic')
    reject(`mode "${kind}" is unknown`)
  return {
    kind,
    nearest: old ? 'floor' : stringOf(node, 'nearest_mode', 'round_prefer_floor'),
    coordinates: old
      ? 'asymmetric'
      : stringOf(node, 'coordinate_transformation_mode', 'half_pixel'),
    cubicA: floatOf(node, 'cubic_coeff_a', -0.75),
    excludeOutside: intOf(node, 'exclude_outside', 0) === 1,
    antialias: intOf(node, 'antialias', 0) === 1,
  }
}

function axisPlans(context: InferContext): AxisPlan[] {
  const { shape } = need(context, 0)
  const rank = shape.length
  const old = isLegacy(context)
  const axes = normalizeAxes(intsOf(context.node, 'axes') ?? range(rank), rank)
  const attribute = context.node.attributes.scales
  const scales = attribute?.type === 'floats' ? attribute.value : values(context, old ? 1 : 2)
  const sizes = old ? undefined : values(context, 3)
  const roi = old ? undefined : values(context, 1)
  const given = sizes ?? scales ?? reject('neither scales nor sizes are given')
  if (given.length !== axes.length) reject(`[${given}] for ${axes.length} axes`)
  const crops =
    stringOf(context.node, 'coordinate_transformation_mode', '') === 'tf_crop_and_resize'
  const plans = shape.map(
    (size): AxisPlan => ({ input: size, output: size, scale: 1, roi: [0, 1] }),
  )
  const common =
    sizes &&
    commonScale(
      context.node,
      sizes,
      axes.map((axis) => shape[axis]!),
    )
  axes.forEach((axis, i) => {
    const input = shape[axis]!
    const part: [number, number] = crops && roi ? [roi[i] ?? 0, roi[axes.length + i] ?? 1] : [0, 1]
    const scale = common ?? (sizes ? sizes[i]! / input : given[i]!)
    if (!(scale > 0) && input > 0) reject(`scale ${scale} for axis ${axis}`)
    const output = sizes
      ? common === undefined
        ? sizes[i]!
        : Math.floor(common * input + 0.5)
      : Math.floor(input * (part[1] - part[0]) * scale)
    plans[axis] = { input, output, scale, roi: part }
  })
  return plans
}

/** The one scale that keeps the aspect ratio; undefined where axes stretch independently. */
function commonScale(
  node: Node,
  sizes: readonly number[],
  inputs: readonly number[],
): number | undefined {
  const policy = stringOf(node, 'keep_aspect_ratio_policy', 'stretch')
  const scales = sizes.map((size, i) => size / inputs[i]!)
  switch (policy) {
    case 'stretch':
      return undefined
    case 'not_larger':
      return Math.min(...scales)
    case 'not_smaller':
      return Math.max(...scales)
    default:
      return reject(`keep_aspect_ratio_policy "${policy}" is unknown`)
  }
}

/** Numbers of an input; undefined where it is absent or empty, as opset 11 marks absence. */
function values(context: InferContext, index: number): readonly number[] | undefined {
  const type = context.inputs[index]
  if (type === undefined || sizeOf(type.shape) === 0) return undefined
  const known = context.known(index)
  if (known === undefined) throw new UnknownValue(`input ${index} is not known ahead`)
  return Array.from(readNumbers(known))
}

function resample(context: InferContext): Tensor {
  const { node } = context
  let t = context.known(0) ?? rejectNode(node, 'input 0 is missing')
  const shape = resizedShape(context)
  if (sizeOf(shape) === 0) return writeNumbers(t.dtype, shape, [])
  const taps = resizeTaps(context)
  const fill = floatOf(node, 'extrapolation_value', 0)
  if (modeOf(context).kind === 'nearest') {
    const maps = taps.map((axis) => axis?.map((at) => at[0]?.index ?? -1))
    const isText = t.dtype === 'string'
    const hole = isText ? '' : writeNumbers(t.dtype, [1], [fill]).data[0]
    return takeAxes(t, maps, hole)
  }
  const { dtype } = t
  let result = readNumbers(t)
  taps.forEach((axis, d) => {
    if (axis === undefined) return
    result = weigh(result, { shape: t.shape, axis: d, taps: axis, fill })
    t = { ...t, shape: t.shape.map((size, i) => (i === d ? axis.length : size)) }
  })
  return writeNumbers(dtype, t.shape, result)
}

function weigh(
  source: Float64Array,
  options: {
    shape: readonly number[]
    axis: number
    taps: readonly (readonly Tap[])[]
    fill: number
  },
): Float64Array {
  const { shape, axis, taps, fill } = options
  const inner = stridesOf(shape)[axis]!
  const outer = sizeOf(shape.slice(0, axis))
  const size = shape[axis]!
  const result = new Float64Array(outer * taps.length * inner)
  for (let o = 0; o < outer; o++)
    for (let p = 0; p < taps.length; p++)
      for (let i = 0; i < inner; i++) {
        let sum = taps[p]!.length === 0 ? fill : 0
        for (const { index, weight } of taps[p]!)
          sum += weight * source[(o * size + index) * inner + i]!
        result[(o * taps.length + p) * inner + i] = sum
      }
  return result
}

/** Nearest: one Gather per axis. Linear, cubic: one product with an interpolation matrix per axis. */
function expandResize(b: GraphBuilder, context: InferContext): string {
  const { node } = context
  const taps = resizeTaps(context)
  const { kind } = modeOf(context)
  let value = node.inputs[0]!
  taps.forEach((axis, d) => {
    if (axis === undefined) return
    value =
      kind === 'nearest'
        ? b.op('Gather', [value, b.ints(axis.map((at) => at[0]?.index ?? 0))], { axis: int(d) })
        : multiplyAxis(b, { value, axis: d, taps: axis })
  })
  taps.forEach((axis, d) => {
    if (axis?.every((at) => at.length > 0) ?? true) return
    const shape = taps.map((_, i) => (i === d ? axis!.length : 1))
    const data = Uint8Array.from(axis!, (at) => (at.length === 0 ? 1 : 0))
    const outside = b.constant({ dtype: 'bool', shape, data })
    value = b.op('Where', [outside, b.scalar(floatOf(node, 'extrapolation_value', 0)), value])
  })
  return value === node.inputs[0] ? b.op('Identity', [value]) : value
}

function multiplyAxis(
  b: GraphBuilder,
  { value, axis, taps }: { value: string; axis: number; taps: readonly (readonly Tap[])[] },
): string {
  const { shape } = b.type(value)
  const last = shape.length - 1
  const order = range(shape.length).map((i) => (i === axis ? last : i === last ? axis : i))
  const flip = (x: string) => (axis === last ? x : b.op('Transpose', [x], { perm: intList(order) }))
  return flip(b.op('MatMul', [flip(value), b.constant(matrixOf(taps, shape[axis]!))]))
}

/** [input, output] weights. */
function matrixOf(taps: readonly (readonly Tap[])[], input: number): Tensor {
  const data = new Float32Array(input * taps.length)
  taps.forEach((at, position) => {
    for (const { index, weight } of at) data[index * taps.length + position]! += weight
  })
  return floats([input, taps.length], data)
}

/** The records of this file. */
export const resizeOps: readonly OpRecord[] = [resize, upsample]
