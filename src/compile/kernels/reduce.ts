// ReduceSum, Mean, Max, Min, Prod, L1, L2, SumSquare, LogSum over any axes, in either layout.
import { intOf, intsOf, type Node, opName, type ValueType } from '../../ir/graph.ts'
import { numbersOf, sizeOf } from '../../tensor/tensor.ts'
import type { Kernel, Layout, Offer, OfferContext, PlacedLayouts } from '../kernel.ts'
import { bytesOf, fitsNhwc, NHWC, PLAIN, viewOf } from '../layout.ts'
import {
  add,
  div,
  get,
  loadLanes,
  loop,
  max,
  min,
  mul,
  set,
  shuffle,
  splat,
  unaryOp,
} from '../tile/build.ts'
import type { TileExpr, TileFunction, TileStatement } from '../tile/nodes.ts'
import { log } from './math.ts'
import {
  addressAt,
  createNames,
  elementNest,
  loopsOver,
  mergeAxes,
  type Names,
  type Strided,
  vectorParts,
} from './nest.ts'

/** How elements are folded into one. */
export interface Reduction {
  readonly identity: number
  before?(x: TileExpr): TileExpr
  combine(a: TileExpr, b: TileExpr): TileExpr
  after?(x: TileExpr, count: number): TileExpr
}

const square = (x: TileExpr) => mul(x, x)
const sum = { identity: 0, combine: add }

/** Reductions by op. */
export const reductions: Readonly<Record<string, Reduction>> = {
  ReduceSum: sum,
  ReduceMean: { ...sum, after: (x, count) => div(x, splat(count)) },
  ReduceMax: { identity: Number.NEGATIVE_INFINITY, combine: max },
  ReduceMin: { identity: Number.POSITIVE_INFINITY, combine: min },
  ReduceProd: { identity: 1, combine: mul },
  ReduceL1: { ...sum, before: (x) => unaryOp('abs', x) },
  ReduceL2: { ...sum, before: square, after: (x) => unaryOp('sqrt', x) },
  ReduceSumSquare: { ...sum, before: square },
  ReduceLogSum: { ...sum, after: log },
}

/** A reduction with its axes: of input axis i, `out` is the output axis it becomes. */
interface Plan {
  readonly op: string
  readonly from: ValueType
  readonly to: ValueType
  readonly axes: ReadonlySet<number>
  readonly count: number
}

/** Reductions over any axes. */
export const reduce: Kernel = {
  name: 'reduce-f32',
  offer(node, context) {
    if (!(opName(node) in reductions)) return ''
    const [source] = node.inputs
    const output = node.outputs[0]!
    const from = context.type(source!)
    const to = context.type(output)
    if (from.dtype !== 'float32') return `it reduces ${from.dtype}, only float32 is compiled`
    const axes = axesOf(node, context, from.shape.length)
    if (axes === undefined) return 'its axes are not constant'
    const count = [...axes].reduce((product, axis) => product * from.shape[axis]!, 1)
    if (count === 0) return 'it reduces nothing'
    const plan: Plan = { op: opName(node), from, to, axes, count }
    const inputs = fitsNhwc(from) ? [NHWC, PLAIN] : [PLAIN]
    return inputs.flatMap((layout) =>
      (fitsNhwc(to) ? [NHWC, PLAIN] : [PLAIN]).map((target) =>
        offerIn(plan, { node, source: source!, output, layout, target }),
      ),
    )
  },
}

/** Returns the axes a reduction folds, counted from the front; undefined where they are not constant. */
export function axesOf(node: Node, context: OfferContext, rank: number): Set<number> | undefined {
  const given = node.inputs[1] ?? ''
  const known = given === '' ? undefined : context.constant(given)
  if (given !== '' && known === undefined) return undefined
  const axes = known ? numbersOf(known) : (intsOf(node, 'axes') ?? [])
  if (axes.length > 0) return new Set(axes.map((axis) => (axis + rank) % rank))
  return new Set(
    intOf(node, 'noop_with_empty_axes', 0) === 1 ? [] : Array.from({ length: rank }, (_, i) => i),
  )
}

function offerIn(
  plan: Plan,
  names: { node: Node; source: string; output: string; layout: Layout; target: Layout },
): Offer {
  const { node, source, output, layout, target } = names
  const { kept, isVector } = splitAxes(plan, viewOf(plan.from.shape, layout), target)
  const isPooled = isVector || kept.inner
  return {
    kernel: reduce.name,
    covers: [node],
    inputs: [{ value: source, layout }],
    outputs: [{ value: output, layout: target.kind }],
    cost: sizeOf(plan.from.shape) * (isPooled ? 1 : 4) + sizeOf(plan.to.shape),
    scratchBytes: 0,
    tolerance: plan.count * 2 ** -23,
    codeKey: () => JSON.stringify([plan.op, plan.from, plan.to, [...plan.axes]]),
    pack: () => [],
    emit: (placed) => emit(plan, placed),
  }
}

interface SplitAxes {
  readonly kept: {
    readonly dims: readonly number[]
    readonly from: Strided
    readonly to: Strided
    /** True where the innermost kept axis is contiguous on both sides. */
    readonly inner: boolean
  }
  readonly reduced: { readonly dims: readonly number[]; readonly from: Strided }
  /** True where vectors run along a reduced axis. */
  readonly isVector: boolean
}

function splitAxes(plan: Plan, from: ReturnType<typeof viewOf>, target: Layout): SplitAxes {
  const to = viewOf(plan.to.shape, target)
  const isKeptRank = plan.to.shape.length === plan.from.shape.length
  const keptAxes = plan.from.shape.map((_, axis) => axis).filter((axis) => !plan.axes.has(axis))
  const outStrides = keptAxes.map((axis, i) => to.strides[isKeptRank ? axis : i]!)
  const kept = mergeAxes(
    keptAxes.map((axis) => plan.from.shape[axis]!),
    [
      { base: 0, offset: from.offset, strides: keptAxes.map((axis) => from.strides[axis]!) },
      { base: 1, offset: to.offset, strides: outStrides },
    ],
  )
  const axes = [...plan.axes]
  const reduced = mergeAxes(
    axes.map((axis) => plan.from.shape[axis]!),
    [{ base: 0, offset: 0, strides: axes.map((axis) => from.strides[axis]!) }],
  )
  const last = kept.dims.length - 1
  const inner =
    last >= 0 && kept.operands[0]!.strides[last] === 4 && kept.operands[1]!.strides[last] === 4
  const lastReduced = reduced.dims.length - 1
  const isVector = !inner && lastReduced >= 0 && reduced.operands[0]!.strides[lastReduced] === 4
  return {
    kept: { dims: kept.dims, from: kept.operands[0]!, to: kept.operands[1]!, inner },
    reduced: { dims: reduced.dims, from: reduced.operands[0]! },
    isVector,
  }
}

function emit(plan: Plan, placed: PlacedLayouts): TileFunction {
  const [layout, target] = [placed.inputs[0]!, placed.outputs[0]!]
  const split = splitAxes(plan, viewOf(plan.from.shape, layout), target)
  const names = createNames()
  const reduction = reductions[plan.op]!
  const padLanes = target.kind === 'nhwc'
  const { kept } = split
  const body = elementNest(
    names,
    { dims: kept.dims, operands: [kept.from, kept.to] },
    (point) => {
      const acc = names.fresh('acc')
      const step = (x: TileExpr): TileStatement =>
        set(acc, reduction.combine(get(acc), reduction.before?.(x) ?? x))
      const inner = split.isVector
        ? alongVectors(names, split, { point, step, identity: reduction.identity })
        : loopsOver(names, split.reduced.dims, (loops) => {
            const { strides } = addressAt(split.reduced.from, loops)
            return [step(point.loadAt(0, { strides }))]
          })
      const whole = split.isVector ? horizontal(acc, reduction) : []
      const after = reduction.after?.(get(acc), plan.count) ?? get(acc)
      return [set(acc, splat(reduction.identity)), ...inner, ...whole, point.store(after)]
    },
    { padLanes },
  )
  return {
    name: 'reduce',
    parameters: ['x', 'y'],
    extents: [bytesOf(plan.from, layout), bytesOf(plan.to, target)],
    body,
  }
}

// Vectors along the reduced axis; lanes beyond the end hold the identity.
function alongVectors(
  names: Names,
  { reduced }: SplitAxes,
  how: {
    point: Parameters<Parameters<typeof elementNest>[2]>[0]
    step(x: TileExpr): TileStatement
    identity: number
  },
): readonly TileStatement[] {
  const inner = reduced.dims.length - 1
  return loopsOver(names, reduced.dims.slice(0, -1), (loops) =>
    vectorParts(reduced.dims[inner]!).flatMap(({ start, count, lanes }) => {
      const along = count > 1 ? names.fresh('k') : undefined
      const { strides, offset } = addressAt(reduced.from, [...loops, along], start * 4)
      const loaded = loadLanes(how.point.addressAt(0, { strides, offset }), lanes)
      const pick = (lane: number) => (lane < lanes ? lane : 4 + lane)
      const filled =
        lanes === 4 || how.identity === 0
          ? loaded
          : shuffle(loaded, splat(how.identity), [pick(0), pick(1), pick(2), pick(3)])
      const body = [how.step(filled)]
      return along === undefined ? body : [loop(along, count, body, 4)]
    }),
  )
}

/** Returns statements that fold the lanes of a register into one number, in all lanes. */
export function horizontal(acc: string, { combine }: Reduction): TileStatement[] {
  const fold = (lanes: readonly [number, number, number, number]) =>
    set(acc, combine(get(acc), shuffle(get(acc), get(acc), lanes)))
  return [fold([2, 3, 0, 1]), fold([1, 0, 3, 2])]
}
