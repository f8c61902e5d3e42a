// Sparse Conv (+ element-wise) → for each tile of pixels and block of output channels, a loop over nonzeros.
//
// Elsen et al., Fast Sparse ConvNets (2019), with 1, 2 or 4 output channels sharing their nonzeros:
// 16 pixels × 1 or 2 channels and 8 × 4 keep at most 12 vectors alive. Weights and places are data.
// A larger kernel is the same over (input channel, tap) pairs of a padded plane.
import type { Node } from '../../ir/graph.ts'
import { intOf } from '../../ir/graph.ts'
import { convWindow } from '../../ir/ops/conv.ts'
import { recogniseSparsity, type SparseWeight, structureName } from '../../ir/sparsity.ts'
import type { Kernel, Layout, Offer, OfferContext, PlacedLayouts } from '../kernel.ts'
import { CHW, chw, chwGeometry } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import { at, get, loadSplat, loop, madd, nnz, set } from '../tile/build.ts'
import type { TileFunction, TileLeaf, TileStatement } from '../tile/nodes.ts'
import { type AxisPlan, convolutionAxis, haloOf } from './conv-axes.ts'
import { absorb, type Epilogue, epilogueKey, epilogueValues, packEpilogue } from './epilogue.ts'
import { floatsOf } from './floats.ts'
import { type PlaneFrame, type PlaneStride, planeFrame } from './plane-frame.ts'
import { loadEvery, overlaps, type PlaneTile, planeTiles } from './plane-tiles.ts'
import {
  packTable,
  planSections,
  type SpmmTable,
  type TableSection,
  type Width,
} from './spmm-table.ts'

/** Time per stored weight against a weight of the dense kernel: 128-512 at 28×28, Node 20, bench/kernels/sparse.ts. */
const PRICE = { 1: 1.45, 2: 1.1, 4: 1.2 } as const
/** Windows read unaligned rows of padded planes: 3×3 at 56, 28 and 14 pixels, measured likewise. */
const WINDOW_PRICE = 1.3
/** A strided vector is two loads and a shuffle, shared by the channels of a block. */
const STRIDE_PRICE = 0.6
/** What a block costs per pixel besides its entries. */
const BLOCK_PRICE = 4
/** Weights with fewer zeros are not worth asking about. */
const ZEROS_FROM = 0.2

/** Convolutions of one group whose weights are mostly zero. */
export const spmm: Kernel = {
  name: 'spmm-f32',
  offer(node, context) {
    if (node.op !== 'Conv' || node.domain !== '') return ''
    const problem = problemOf(node, context)
    if (typeof problem === 'string') return problem
    const { density, structure, stored } = recogniseSparsity(problem.weight)
    if (1 - density < ZEROS_FROM)
      return `${Math.round((1 - density) * 100)} % of its weights are zero (${structureName(structure)})`
    const epilogue = absorb(node, context, 1)
    return ([1, 2, 4] as const)
      .filter((width) => width <= problem.weight.outputs)
      .map((width) => offerOf(problem, { node, epilogue, width, stored: stored[width] }))
  },
}

interface Problem {
  readonly input: readonly number[]
  readonly output: readonly number[]
  readonly y: AxisPlan
  readonly x: AxisPlan
  readonly weight: SparseWeight
  readonly bias: Float32Array | undefined
}

function problemOf(node: Node, context: OfferContext): Problem | string {
  const { dtype, shape: input } = context.type(node.inputs[0]!)
  if (dtype !== 'float32') return `computes float32, not ${dtype}`
  if (input.length !== 4) return `computes two spatial axes, found [${input}]`
  const output = context.type(node.outputs[0]!).shape
  if (output.some((size) => size === 0)) return 'the output is empty'
  const weight = context.constant(node.inputs[1]!)
  const bias = node.inputs[2] ? context.constant(node.inputs[2]) : undefined
  if (weight === undefined) return 'the weights are not constant'
  if (node.inputs[2] && bias === undefined) return 'the bias is not constant'
  if (intOf(node, 'group', 1) !== 1) return 'computes one group'
  const window = convWindow(node, input, weight.shape)
  const [y, x] = [convolutionAxis(window, 0), convolutionAxis(window, 1)]
  if (x.inStep > 2) return `computes strides 1 and 2 along rows, not ${x.inStep}`
  const [outputs, channels, kh, kw] = weight.shape as [number, number, number, number]
  const taps = kh * kw
  const sparse = { data: floatsOf(weight), outputs, columns: channels * taps, taps }
  return { input, output, y, x, weight: sparse, bias: bias && floatsOf(bias) }
}

function offerOf(
  problem: Problem,
  given: { node: Node; epilogue: Epilogue; width: Width; stored: number },
): Offer {
  const { input, output, y, x, weight, bias } = problem
  const { node, epilogue, width, stored } = given
  const [top, bottom] = haloOf([y], input[2]!)
  const [left, right] = haloOf([x], input[3]!)
  const values = epilogueValues(epilogue)
  const [images, channels, height, columns] = output as [number, number, number, number]
  const pixels = images * height * Math.ceil(columns / 4) * 4
  const blocks = Math.ceil(channels / width)
  const windowPrice = weight.taps > 1 ? WINDOW_PRICE : 1
  const perEntry = width * PRICE[width] * windowPrice + (x.inStep - 1) * STRIDE_PRICE
  const shape = JSON.stringify([input, output, y, x, width])
  let last: { key: string; table: SpmmTable } | undefined
  const tableIn = (layout: Layout): SpmmTable => {
    const key = JSON.stringify(layout)
    if (last?.key !== key) last = { key, table: tableFor(problem, width, layout) }
    return last.table
  }
  return {
    kernel: `spmm-${width === 4 ? 8 : 16}x${width}-f32`,
    covers: epilogue.covers,
    inputs: [
      { value: node.inputs[0]!, layout: chw(top, left, bottom, right) },
      ...values.map((value) => ({ value, layout: CHW })),
    ],
    outputs: [{ value: epilogue.output, layout: 'chw' }],
    cost: pixels * (stored * perEntry + blocks * width * BLOCK_PRICE),
    scratchBytes: 0,
    // Overlapping vectors read their operands after a neighbour was stored.
    inPlace: overlaps(columns) ? [] : values.map((_, i) => i + 1),
    tolerance: (weight.columns + 4) * 2 ** -24,
    codeKey: (layouts) => {
      const { sections, range } = tableIn(layouts.inputs[0]!)
      return JSON.stringify([shape, sections, range, epilogueKey(epilogue, layouts)])
    },
    pack: (layouts) => [
      tableIn(layouts.inputs[0]!).bytes,
      bytesOfView(flushSubnormals(bias ?? new Float32Array(channels))),
      ...packEpilogue(epilogue),
    ],
    emit: (layouts) => emit(problem, { epilogue, layouts, table: tableIn(layouts.inputs[0]!) }),
  }
}

function tableFor({ input, y, x, weight }: Problem, width: Width, layout: Layout): SpmmTable {
  const g = chwGeometry(input, layout)
  return packTable(weight, planSections(weight, width), (column) => {
    const channel = Math.floor(column / weight.taps)
    const tap = column % weight.taps
    const row = y.inStart + Math.floor(tap / x.taps) * y.tapStep
    const pixel = x.inStart + (tap % x.taps) * x.tapStep
    return g.origin + channel * g.planeBytes + row * g.rowBytes + pixel * 4
  })
}

interface Plan {
  readonly epilogue: Epilogue
  readonly layouts: PlacedLayouts
  readonly table: SpmmTable
}

function emit({ input, output, y, x }: Problem, plan: Plan): TileFunction {
  const { epilogue, layouts, table } = plan
  const frame = planeFrame({
    name: 'spmm-f32',
    input,
    output,
    layouts,
    epilogue,
    constants: [
      { name: 'table', bytes: table.bytes.length },
      { name: 'bias', bytes: output[1]! * 4 },
    ],
  })
  const { input: a, output: out } = frame
  const stride = { y: y.inStep, x: x.inStep }
  // Without halos, taps and strides the rows of a plane are one long row.
  const isFlat =
    frame.isFlat &&
    y.taps * x.taps * stride.y * stride.x === 1 &&
    a.rowBytes === out.rowBytes &&
    a.h === out.h
  const plane = isFlat ? { rows: 1, columns: out.h * out.w } : { rows: out.h, columns: out.w }
  const size = table.sections[0]!.width === 4 ? 2 : 4
  return frame.wrap(
    planeTiles(plane, size, (tile) =>
      table.sections.map((section) =>
        blockLoop({ frame, stride, range: table.range }, section, tile),
      ),
    ),
  )
}

interface Nest {
  readonly frame: PlaneFrame
  readonly stride: PlaneStride
  readonly range: readonly [number, number]
}

// All blocks of a section for one tile.
function blockLoop(nest: Nest, section: TableSection, tile: PlaneTile): TileStatement {
  const { frame, stride, range } = nest
  const { width, firstChannel, blocks, entries, entryBytes, rows, start } = section
  const { vectors } = tile
  const channels = Array.from({ length: width }, (_, i) => i)
  const sum = (v: number, i: number) => `s${v}_${i}`
  const [table, bias] = [frame.constants, frame.constants + 1]
  const step: TileStatement[] = channels.map((i) =>
    set(`w${i}`, loadSplat(at(table, start + 4 + i * 4, { e: entryBytes }))),
  )
  vectors.forEach((vector, v) => {
    const from = frame.inputAt(tile, vector, stride)
    const place = { ...from, strides: { ...from.strides, p: 1 } }
    step.push(set('x', loadEvery(place, vector.lanes, stride.x)))
    for (const i of channels)
      step.push(set(sum(v, i), madd(get('x'), get(`w${i}`), get(sum(v, i)))))
  })
  return loop('o', blocks, [
    ...channels.flatMap((i) => {
      const offset = loadSplat(at(bias, (firstChannel + i) * 4, { o: width * 4 }))
      return vectors.map((_, v) => set(sum(v, i), v === 0 ? offset : get(sum(0, i))))
    }),
    nnz({
      name: 'e',
      cursor: 'p',
      rows: at(table, rows, { o: 4 }),
      table: at(table, start),
      entryBytes,
      entries,
      range,
      body: step as TileLeaf[],
    }),
    ...channels.flatMap((i) =>
      vectors.map((vector, v) => {
        const channel = { first: firstChannel + i, per: width }
        return frame.storeAt({ tile, vector, channel }, sum(v, i))
      }),
    ),
  ])
}
