// Gather and GatherElements with computed indices → a scan over the axis that keeps the chosen row;
// ArgMax and ArgMin → a scan that keeps the position. Addresses cannot depend on data.
import { intOf, type Node, opName, type ValueType } from '../../ir/graph.ts'
import { sizeOf } from '../../tensor/tensor.ts'
import type { Kernel, Layout, Offer, PlacedLayouts } from '../kernel.ts'
import { bytesOf, fitsNhwc, NHWC, PLAIN, storageOf, viewOf } from '../layout.ts'
import { binaryOp, choose, get, loop, set, splat } from '../tile/build.ts'
import type { TileExpr, TileFunction, VectorType } from '../tile/nodes.ts'
import { createNames, elementNest, type Strided } from './nest.ts'

/** A scan over more rows costs more than it is worth hiding. */
const ROW_LIMIT = 1 << 16

/** Gather with indices known only at run time: embeddings of small vocabularies. */
export const gatherScan: Kernel = {
  name: 'gather-scan',
  offer(node, context) {
    const op = opName(node)
    if (op !== 'Gather' && op !== 'GatherElements') return ''
    const [data, indices] = node.inputs as [string, string]
    const [from, by] = [context.type(data), context.type(indices)]
    const to = context.type(node.outputs[0]!)
    if (storageOf(from.dtype) === undefined) return `${from.dtype} has no place in a bundle`
    if (storageOf(by.dtype) !== 'int32') return `its indices are ${by.dtype}`
    const rank = from.shape.length
    const axis = (intOf(node, 'axis', 0) + rank) % rank
    const rows = from.shape[axis]!
    if (rows > ROW_LIMIT) return `it looks up among ${rows} rows, over ${ROW_LIMIT}`
    return [
      {
        kernel: gatherScan.name,
        covers: [node],
        inputs: [data, indices].map((value) => ({ value, layout: PLAIN })),
        outputs: [{ value: node.outputs[0]!, layout: 'plain' }],
        cost: sizeOf(to.shape) * rows,
        scratchBytes: 0,
        tolerance: 0,
        codeKey: () => JSON.stringify([op, axis, from, by, to]),
        pack: () => [],
        emit: () => emitGather({ axis, from, by, to, isElements: op === 'GatherElements' }),
      },
    ]
  },
}

function emitGather(plan: {
  axis: number
  from: ValueType
  by: ValueType
  to: ValueType
  isElements: boolean
}): TileFunction {
  const { axis, from, by, to, isElements } = plan
  const type: VectorType = storageOf(from.dtype) === 'int32' ? 'i32x4' : 'f32x4'
  const names = createNames()
  const [data, indices] = [viewOf(from.shape, PLAIN), viewOf(by.shape, PLAIN)]
  const zeros = (count: number) => new Array<number>(count).fill(0)
  const behind = from.shape.length - axis - 1
  // Output axes are those of the data, with the axis replaced by the axes of the indices.
  const dataStrides = isElements
    ? data.strides.map((stride, i) => (i === axis ? 0 : stride))
    : [...data.strides.slice(0, axis), ...zeros(by.shape.length), ...data.strides.slice(axis + 1)]
  const indexStrides = isElements
    ? indices.strides
    : [...zeros(axis), ...indices.strides, ...zeros(behind)]
  const operands: Strided[] = [
    { base: 0, offset: 0, strides: dataStrides },
    { base: 1, offset: 0, strides: indexStrides },
    { base: 2, offset: 0, strides: viewOf(to.shape, PLAIN).strides },
  ]
  const rows = from.shape[axis]!
  const body = elementNest(
    names,
    { dims: to.shape, operands },
    (point) => {
      const [index, row, found] = [names.fresh('index'), names.fresh('row'), names.fresh('found')]
      const k = names.fresh('k')
      const given = point.load(1, 'i32x4')
      const isNegative = binaryOp('lt', given, splat(0, 'i32x4'), 'i32x4')
      const wrapped = binaryOp('add', given, splat(rows, 'i32x4'), 'i32x4')
      const isHere = binaryOp('eq', get(index), get(row), 'i32x4')
      const value = point.loadAt(0, { strides: { [k]: data.strides[axis]! } })
      return [
        set(index, choose(isNegative, wrapped, given), 'i32x4'),
        set(row, splat(0, 'i32x4'), 'i32x4'),
        set(found, splat(0, type), type),
        loop(k, rows, [
          set(found, choose(isHere, value, get(found)), type),
          set(row, binaryOp('add', get(row), splat(1, 'i32x4'), 'i32x4'), 'i32x4'),
        ]),
        point.store(get(found)),
      ]
    },
    { type },
  )
  return {
    name: 'gather',
    parameters: ['data', 'indices', 'y'],
    extents: [bytesOf(from, PLAIN), bytesOf(by, PLAIN), bytesOf(to, PLAIN)],
    body,
  }
}

interface Extreme {
  readonly isMax: boolean
  readonly isLast: boolean
  readonly axis: number
  readonly from: ValueType
  readonly to: ValueType
}

/** ArgMax and ArgMin. */
export const argExtreme: Kernel = {
  name: 'arg-extreme',
  offer(node, context) {
    const op = opName(node)
    if (op !== 'ArgMax' && op !== 'ArgMin') return ''
    const from = context.type(node.inputs[0]!)
    if (from.dtype !== 'float32') return `it compares ${from.dtype}, only float32 is compiled`
    const rank = from.shape.length
    const plan: Extreme = {
      isMax: op === 'ArgMax',
      isLast: intOf(node, 'select_last_index', 0) === 1,
      axis: (intOf(node, 'axis', 0) + rank) % rank,
      from,
      to: context.type(node.outputs[0]!),
    }
    const layouts = fitsNhwc(from) ? [NHWC, PLAIN] : [PLAIN]
    return layouts.map((layout) => extremeOffer(plan, node, layout))
  },
}

function extremeOffer(plan: Extreme, node: Node, layout: Layout): Offer {
  return {
    kernel: argExtreme.name,
    covers: [node],
    inputs: [{ value: node.inputs[0]!, layout }],
    outputs: [{ value: node.outputs[0]!, layout: 'plain' }],
    cost: sizeOf(plan.from.shape) * 3,
    scratchBytes: 0,
    tolerance: 0,
    codeKey: () => JSON.stringify(plan),
    pack: () => [],
    emit: (placed) => emitExtreme(plan, placed),
  }
}

function emitExtreme(plan: Extreme, placed: PlacedLayouts): TileFunction {
  const { axis, from, to, isMax, isLast } = plan
  const layout = placed.inputs[0]!
  const view = viewOf(from.shape, layout)
  const names = createNames()
  const others = from.shape.map((_, i) => i).filter((i) => i !== axis)
  const isKept = to.shape.length === from.shape.length
  const out = viewOf(to.shape, PLAIN).strides.filter((_, i) => !isKept || i !== axis)
  const operands: Strided[] = [
    { base: 0, offset: view.offset, strides: others.map((i) => view.strides[i]!) },
    { base: 1, offset: 0, strides: out },
  ]
  const beats = (x: TileExpr, best: TileExpr) =>
    binaryOp(isMax ? (isLast ? 'ge' : 'gt') : isLast ? 'le' : 'lt', x, best)
  const start = isMax ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  const body = elementNest(
    names,
    { dims: others.map((i) => from.shape[i]!), operands },
    (point) => {
      const [best, where, here] = [names.fresh('best'), names.fresh('where'), names.fresh('here')]
      const [x, mask, k] = [names.fresh('x'), names.fresh('mask'), names.fresh('k')]
      return [
        set(best, splat(start)),
        set(where, splat(0, 'i32x4'), 'i32x4'),
        set(here, splat(0, 'i32x4'), 'i32x4'),
        loop(k, from.shape[axis]!, [
          set(x, point.loadAt(0, { strides: { [k]: view.strides[axis]! } })),
          set(mask, beats(get(x), get(best)), 'i32x4'),
          set(best, choose(get(mask), get(x), get(best))),
          set(where, choose(get(mask), get(here), get(where)), 'i32x4'),
          set(here, binaryOp('add', get(here), splat(1, 'i32x4'), 'i32x4'), 'i32x4'),
        ]),
        point.store(get(where)),
      ]
    },
  )
  return {
    name: 'arg_extreme',
    parameters: ['x', 'y'],
    extents: [bytesOf(from, layout), bytesOf(to, PLAIN)],
    body,
  }
}
