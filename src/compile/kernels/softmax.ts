// Softmax and LogSoftmax along any axis: maximum, sum of exponentials, normalisation.
import { intOf, type Node, opName, type ValueType } from '../../ir/graph.ts'
import { sizeOf } from '../../tensor/tensor.ts'
import type { Kernel, Layout, Offer, PlacedLayouts } from '../kernel.ts'
import { bytesOf, fitsNhwc, NHWC, PLAIN, type View, viewOf } from '../layout.ts'
import {
  add,
  at,
  div,
  get,
  keepLanes,
  loadLanes,
  loop,
  max,
  mul,
  set,
  shuffle,
  splat,
  store,
  sub,
} from '../tile/build.ts'
import type { Address, TileExpr, TileFunction, TileStatement } from '../tile/nodes.ts'
import { expBounded, log } from './math.ts'
import {
  addressAt,
  createNames,
  elementNest,
  type Lanes,
  loopsOver,
  type Names,
  vectorParts,
} from './nest.ts'

interface Plan {
  readonly type: ValueType
  readonly axis: number
  readonly isLog: boolean
}

/** Softmax along one axis. */
export const softmax: Kernel = {
  name: 'softmax-f32',
  offer(node, context) {
    const op = opName(node)
    if (op !== 'Softmax' && op !== 'LogSoftmax') return ''
    const type = context.type(node.inputs[0]!)
    if (type.dtype !== 'float32') return `it computes ${type.dtype}, only float32 is compiled`
    const rank = type.shape.length
    if (rank === 0) return 'it has no axis'
    const opset = context.model.opsets[''] ?? 1
    const axis = (intOf(node, 'axis', opset < 13 ? 1 : -1) + rank) % rank
    // Before opset 13 it ran over the flattened trailing axes.
    if (opset < 13 && sizeOf(type.shape.slice(axis + 1)) !== 1)
      return `opset ${opset} flattens its trailing axes; save the model at opset 13 or later`
    const plan = { type, axis, isLog: op === 'LogSoftmax' }
    const layouts = fitsNhwc(type) ? [NHWC, PLAIN] : [PLAIN]
    return layouts.map((layout) => offerIn(plan, node, layout))
  },
}

function offerIn(plan: Plan, node: Node, layout: Layout): Offer {
  const size = sizeOf(plan.type.shape)
  return {
    kernel: softmax.name,
    covers: [node],
    inputs: [{ value: node.inputs[0]!, layout }],
    outputs: [{ value: node.outputs[0]!, layout: layout.kind }],
    cost: size * 16,
    scratchBytes: 0,
    tolerance: (plan.type.shape[plan.axis]! + 8) * 2 ** -23,
    inPlace: [0],
    codeKey: () => JSON.stringify(plan),
    pack: () => [],
    emit: (placed) => emit(plan, placed),
  }
}

function emit(plan: Plan, placed: PlacedLayouts): TileFunction {
  const { type, axis } = plan
  const [from, to] = [viewOf(type.shape, placed.inputs[0]!), viewOf(type.shape, placed.outputs[0]!)]
  const isContiguous = from.strides[axis] === 4 && to.strides[axis] === 4
  const padLanes = placed.outputs[0]!.kind === 'nhwc'
  const names = createNames()
  return {
    name: 'softmax',
    parameters: ['x', 'y'],
    extents: [bytesOf(type, placed.inputs[0]!), bytesOf(type, placed.outputs[0]!)],
    body: isContiguous
      ? alongAxis(names, plan, { from, to, padLanes })
      : acrossAxis(names, plan, { from, to, padLanes }),
  }
}

interface Views {
  readonly from: View
  readonly to: View
  readonly padLanes: boolean
}

/** One step along the axis. */
interface Element {
  readonly lanes: Lanes
  readonly read: TileExpr
  /** What was written there before. */
  readonly written: TileExpr
  write(v: TileExpr): TileStatement
}

// Maximum, exponentials with their sum, normalisation. Exponentials are kept where they are stored, so
// that each is computed once; those too small to matter are zero, as subnormal numbers are slow.
function normalize(how: {
  readonly isLog: boolean
  readonly top: string
  readonly total: string
  each(body: (at: Element) => TileStatement[]): TileStatement[]
  /** Combines the lanes of a register. */
  fold(register: string, combine: typeof add): TileStatement[]
}): TileStatement[] {
  const { isLog, top, total, each, fold } = how
  const shifted = (x: TileExpr) => sub(x, get(top))
  const filled = (x: TileExpr, lanes: Lanes) => {
    const lane = (i: number) => (i < lanes ? i : 4 + i)
    return lanes === 4
      ? x
      : shuffle(x, splat(Number.NEGATIVE_INFINITY), [lane(0), lane(1), lane(2), lane(3)])
  }
  return [
    set(top, splat(Number.NEGATIVE_INFINITY)),
    ...each(({ read, lanes }) => [set(top, max(get(top), filled(read, lanes)))]),
    ...fold(top, max),
    set(total, splat(0)),
    ...each(({ read, lanes, write }) => [
      set('e', expBounded(shifted(read))),
      set(total, add(get(total), keepLanes(get('e'), lanes))),
      ...(isLog ? [] : [write(get('e'))]),
    ]),
    ...fold(total, add),
    set(total, isLog ? log(get(total)) : div(splat(1), get(total))),
    ...each(({ read, written, write }) => [
      write(isLog ? sub(shifted(read), get(total)) : mul(written, get(total))),
    ]),
  ]
}

// Vectors run along another axis: each lane is a softmax of its own.
function acrossAxis(
  names: Names,
  { type, axis, isLog }: Plan,
  { from, to, padLanes }: Views,
): readonly TileStatement[] {
  const others = type.shape.map((_, i) => i).filter((i) => i !== axis)
  const pick = (view: View, base: number) => ({
    base,
    offset: view.offset,
    strides: others.map((i) => view.strides[i]!),
  })
  const count = type.shape[axis]!
  const box = { dims: others.map((i) => type.shape[i]!), operands: [pick(from, 0), pick(to, 1)] }
  return elementNest(
    names,
    box,
    (point) => {
      const [top, total] = [names.fresh('top'), names.fresh('sum')]
      const each = (body: (at: Element) => TileStatement[]) => {
        const k = names.fresh('k')
        const [source, target] = [from, to].map((view) => ({ [k]: view.strides[axis]! }))
        return [
          loop(
            k,
            count,
            body({
              lanes: 4,
              read: point.loadAt(0, { strides: source! }),
              written: point.loadAt(1, { strides: target! }),
              write: (v) => point.storeAt({ strides: target! }, v),
            }),
          ),
        ]
      }
      return normalize({ isLog, top, total, each, fold: () => [] })
    },
    { padLanes },
  )
}

// Vectors run along the axis; lanes are folded at the end.
function alongAxis(
  names: Names,
  { type, axis, isLog }: Plan,
  { from, to, padLanes }: Views,
): readonly TileStatement[] {
  const others = type.shape.map((_, i) => i).filter((i) => i !== axis)
  return loopsOver(
    names,
    others.map((i) => type.shape[i]!),
    (loops) => {
      const line = (view: View, base: number) =>
        addressAt(
          { base, offset: view.offset, strides: others.map((i) => view.strides[i]!) },
          loops,
        )
      const [source, target] = [line(from, 0), line(to, 1)]
      return softmaxLine(names, { count: type.shape[axis]!, isLog, source, target, padLanes })
    },
  )
}

/** Returns the softmax of one run of numbers, from one address to another. */
export function softmaxLine(
  names: Names,
  line: {
    readonly count: number
    readonly source: Address
    readonly target: Address
    readonly isLog?: boolean
    /** Stores zeros up to the next multiple of four. */
    readonly padLanes?: boolean
  },
): TileStatement[] {
  const { count, source, target, isLog = false, padLanes = false } = line
  const [top, total] = [names.fresh('top'), names.fresh('sum')]
  const each = (body: (at: Element) => TileStatement[]) =>
    vectorParts(count).flatMap(({ start, count: size, lanes }) => {
      const k = size > 1 ? names.fresh('k') : undefined
      const place = (from: Address) =>
        at(from.base, from.offset + start * 4, {
          ...from.strides,
          ...(k === undefined ? {} : { [k]: 4 }),
        })
      const statements = body({
        lanes,
        read: loadLanes(place(source), lanes),
        written: loadLanes(place(target), lanes),
        write: (v) =>
          padLanes ? store(place(target), keepLanes(v, lanes), 4) : store(place(target), v, lanes),
      })
      return k === undefined ? statements : [loop(k, size, statements, 4)]
    })
  const fold = (register: string, combine: typeof add) =>
    (
      [
        [2, 3, 0, 1],
        [1, 0, 3, 2],
      ] as const
    ).map((lanes) =>
      set(register, combine(get(register), shuffle(get(register), get(register), lanes))),
    )
  return normalize({ isLog, top, total, each, fold })
}
