// Ops that only move elements → strided copies and fills, in any mix of layouts. The op's own
// `evaluate`, run on ids, says which element goes where.
import { type Node, opName, type ValueType } from '../../ir/graph.ts'
import type { OpRecord } from '../../ir/op.ts'
import { findOp } from '../../ir/ops/index.ts'
import { numbersOf, sizeOf, type Tensor, tensor } from '../../tensor/tensor.ts'
import type { Kernel, Layout, Offer, OfferContext, PlacedLayouts } from '../kernel.ts'
import { bytesOf, fitsNhwc, NHWC, nhwcGeometry, PLAIN, storageOf, viewOf } from '../layout.ts'
import type { TileFunction, TileStatement, VectorType } from '../tile/nodes.ts'
import { copyBox, fillBox } from './copy.ts'
import { type Decomposition, decompose, type IndexMap } from './index-map.ts'
import { createNames } from './nest.ts'

/** Ops worth asking; whether they really only move elements is found by running them on ids. */
const MOVES: ReadonlySet<string> = new Set([
  'Pad',
  'Gather',
  'GatherElements',
  'GatherND',
  'Resize',
  'Upsample',
  'Slice',
  'Split',
  'Concat',
  'Tile',
  'Expand',
  'Transpose',
  'DepthToSpace',
  'SpaceToDepth',
  'Reshape',
  'Flatten',
])

/** Running an op on ids takes memory in proportion. */
const ELEMENT_LIMIT = 1 << 25

interface Output {
  readonly value: string
  readonly type: ValueType
  readonly map: IndexMap
  readonly fill: number
}

interface Moves {
  readonly node: Node
  readonly sources: readonly { readonly value: string; readonly type: ValueType }[]
  readonly outputs: readonly Output[]
}

/** Any op whose outputs hold elements of its inputs, or one fill value. */
export const move: Kernel = {
  name: 'move',
  offer(node, context) {
    const record = findOp(node)
    const isMove = record?.units?.kind === 'move' || MOVES.has(opName(node))
    if (record?.evaluate === undefined || !isMove) return ''
    const moves = probe(node, record, context)
    if (typeof moves === 'string') return moves
    const offers: Offer[] = []
    let reason = 'it has no input'
    const sourceKinds = moves.sources.every(({ type }) => fitsNhwc(type)) ? [NHWC, PLAIN] : [PLAIN]
    const targetKinds = moves.outputs.every(({ type }) => fitsNhwc(type)) ? [NHWC, PLAIN] : [PLAIN]
    for (const from of sourceKinds) {
      const views = moves.sources.map(({ type }) => viewOf(type.shape, from))
      const parts = moves.outputs.map(({ map }) => decompose(map, views))
      const refusal = parts.find((part) => typeof part === 'string')
      if (refusal !== undefined) reason = refusal
      else
        for (const to of targetKinds)
          offers.push(offerIn(moves, { from, to, parts: parts as Decomposition[] }))
    }
    return offers.length > 0 ? offers : reason
  },
}

// Ids in, ids out. A second run with scrambled ids tells moved elements from computed and filled ones.
function probe(node: Node, record: OpRecord, context: OfferContext): Moves | string {
  const data = record.units?.kind === 'move' ? record.units.data : [0]
  const isData = (index: number) => data === 'all' || data.includes(index)
  const sources = node.inputs.flatMap((value, index) =>
    value !== '' && isData(index) ? [{ value, type: context.type(value) }] : [],
  )
  const types = [
    ...sources.map(({ type }) => type),
    ...node.outputs.flatMap((name) => (name === '' ? [] : [context.type(name)])),
  ]
  for (const type of types)
    if (storageOf(type.dtype) === undefined) return `${type.dtype} has no place in a bundle`
  if (types.reduce((sum, { shape }) => sum + sizeOf(shape), 0) > ELEMENT_LIMIT)
    return 'it is too large to be analysed'
  const feeds: (Tensor | undefined)[] = []
  const bases: number[] = []
  let total = 0
  for (const [index, value] of node.inputs.entries()) {
    const known = value === '' ? undefined : context.constant(value)
    if (value !== '' && isData(index)) {
      bases.push(total)
      total += sizeOf(context.type(value).shape)
      feeds.push(undefined)
    } else if (value !== '' && known === undefined) return `"${value}" is not a constant`
    else feeds.push(known)
  }
  const run = (id: (flat: number) => number, dtype: 'int32' | 'float32') => {
    let next = 0
    const inputs = node.inputs.map((value, index) => {
      if (value === '' || !isData(index)) return feeds[index]
      const { shape } = context.type(value)
      const base = bases[next++]!
      const values =
        dtype === 'int32' ? new Int32Array(sizeOf(shape)) : new Float32Array(sizeOf(shape))
      for (let i = 0; i < values.length; i++) values[i] = id(base + i)
      return tensor(dtype, shape, values)
    })
    const opset = context.model.opsets[node.domain] ?? context.model.opsets[''] ?? 1
    return record.evaluate!(node, inputs, opset)
  }
  const plain = run((i) => i, 'int32')
  const scrambled = run(scramble, 'int32')
  const outputs: Output[] = []
  for (const [i, value] of node.outputs.entries()) {
    if (value === '') continue
    const type = context.type(value)
    const found = mapOf(plain[i]!, scrambled[i]!, { bases, total, shape: type.shape })
    if (typeof found === 'string') return found
    let fill = 0
    if (found.input.includes(-1)) {
      const values = numbersOf(run(() => 0, 'float32')[i]!).filter((_, o) => found.input[o] === -1)
      fill = values[0]!
      if (values.some((x) => x !== fill)) return 'it fills with several values'
    }
    outputs.push({ value, type, map: found, fill })
  }
  return { node, sources, outputs }
}

const scramble = (id: number) => 2 ** 29 + ((Math.imul(id, 40503) ^ (id >>> 7)) & 0xfffffff)

function mapOf(
  plain: Tensor,
  scrambled: Tensor,
  { bases, total, shape }: { bases: readonly number[]; total: number; shape: readonly number[] },
): IndexMap | string {
  const size = sizeOf(shape)
  const a = plain.data as ArrayLike<number>
  const b = scrambled.data as ArrayLike<number>
  if (a.length !== size || typeof a[0] === 'bigint') return 'it computes new values'
  const input = new Int8Array(size)
  const index = new Int32Array(size)
  for (let o = 0; o < size; o++) {
    const id = Number(a[o])
    if (id >= 0 && id < total && Number(b[o]) === scramble(id)) {
      let source = bases.length - 1
      while (bases[source]! > id) source--
      input[o] = source
      index[o] = id - bases[source]!
    } else if (id === Number(b[o])) input[o] = -1
    else return 'it computes new values'
  }
  return { shape, input, index }
}

function offerIn(
  moves: Moves,
  { from, to, parts }: { from: Layout; to: Layout; parts: readonly Decomposition[] },
): Offer {
  const { node, sources, outputs } = moves
  const cost = parts.reduce((sum, part, i) => sum + costOf(part, { type: outputs[i]!.type, to }), 0)
  return {
    kernel: move.name,
    covers: [node],
    inputs: sources.map(({ value }) => ({ value, layout: from })),
    outputs: outputs.map(({ value }) => ({ value, layout: to.kind })),
    cost,
    scratchBytes: 0,
    tolerance: 0,
    codeKey: () => `${node.op} ${hashOf(outputs)} ${types(sources)} ${types(outputs)}`,
    pack: () => [],
    emit: (placed) => emit(moves, placed),
  }
}

const types = (values: readonly { type: ValueType }[]) =>
  values.map(({ type }) => `${type.dtype}[${type.shape}]`).join()

// Contiguous copies are cheap, transposes cost shuffles, anything else goes element by element.
function costOf(
  { boxes, slabs }: Decomposition,
  { type, to }: { type: ValueType; to: Layout },
): number {
  const strides = viewOf(type.shape, to).strides
  let cost = 0
  for (const { loops } of boxes) {
    const size = loops.reduce((product, { count }) => product * count, 1)
    const inner = loops.find((l) => l.count > 1 && l.to * strides[l.axis]! === 4)
    const isDirect = inner !== undefined && (inner.from === 4 || inner.from === 0)
    const isTransposed = inner !== undefined && loops.some((l) => l.count > 1 && l.from === 4)
    cost += size * (isDirect ? 2 : isTransposed ? 4 : 8)
  }
  return cost + slabs.reduce((sum, { size }) => sum + sizeOf(size), 0)
}

function hashOf(outputs: readonly Output[]): string {
  let hash = 2166136261
  for (const { map, fill } of outputs) {
    hash = Math.imul(hash ^ Math.round(fill * 1024), 16777619)
    for (let i = 0; i < map.index.length; i++) {
      hash = Math.imul(hash ^ map.index[i]!, 16777619)
      hash = Math.imul(hash ^ map.input[i]!, 16777619)
    }
  }
  return (hash >>> 0).toString(16)
}

function emit({ sources, outputs }: Moves, placed: PlacedLayouts): TileFunction {
  const names = createNames()
  const views = sources.map(({ type }, i) => viewOf(type.shape, placed.inputs[i]!))
  const body = outputs.flatMap((output, i): TileStatement[] => {
    const layout = placed.outputs[i]!
    const found = decompose(output.map, views)
    if (typeof found === 'string') throw new Error(`internal: ${found}`)
    return emitOutput(names, { ...output, layout, base: sources.length + i, ...found })
  })
  const inputs = sources.map(({ type }, i) => bytesOf(type, placed.inputs[i]!))
  return {
    name: 'move',
    parameters: [...sources.map((_, i) => `x${i}`), ...outputs.map((_, i) => `y${i}`)],
    extents: [...inputs, ...outputs.map(({ type }, i) => bytesOf(type, placed.outputs[i]!))],
    body,
  }
}

function emitOutput(
  names: ReturnType<typeof createNames>,
  {
    type,
    fill,
    layout,
    base,
    boxes,
    slabs,
  }: Output & Decomposition & { layout: Layout; base: number },
): TileStatement[] {
  const view = viewOf(type.shape, layout)
  const vector: VectorType = storageOf(type.dtype) === 'int32' ? 'i32x4' : 'f32x4'
  const offsetOf = (start: readonly number[]) =>
    start.reduce((sum, at, axis) => sum + at * view.strides[axis]!, view.offset)
  const [, channels = 0] = type.shape
  const hasTail = layout.kind === 'nhwc' && channels % 4 !== 0
  const padLanes =
    hasTail &&
    slabs.length === 0 &&
    boxes.every(
      ({ start, loops }) =>
        start[1] === 0 && loops.some((l) => l.axis === 1 && l.count === channels && l.to === 1),
    )
  const copies = boxes.flatMap(({ input, start, offset, loops }) =>
    copyBox(
      names,
      {
        dims: loops.map((l) => l.count),
        from: { base: input, offset, strides: loops.map((l) => l.from) },
        to: {
          base,
          offset: offsetOf(start),
          strides: loops.map((l) => l.to * view.strides[l.axis]!),
        },
      },
      { type: vector, padLanes },
    ),
  )
  const fills = slabs.flatMap(({ start, size }) => {
    const to = { base, offset: offsetOf(start), strides: view.strides }
    return fillBox(names, { dims: size, to, value: fill }, vector)
  })
  if (!hasTail || padLanes) return [...copies, ...fills]
  const g = nhwcGeometry(type.shape, layout)
  const to = {
    base,
    offset: g.origin + channels * 4,
    strides: [g.imageBytes, g.rowBytes, g.pixelBytes, 4],
  }
  const dims = [g.n, g.h, g.w, g.channels - channels]
  return [...copies, ...fills, ...fillBox(names, { dims, to, value: 0 }, vector)]
}
