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
import { CHW, type ChwGeometry, chw, chwGeometry } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import { at, get, loadLanes, loadSplat, loop, madd, nnz, set, store } from '../tile/build.ts'
import type { Address, TileFunction, TileLeaf, TileStatement } from '../tile/nodes.ts'
import { type AxisPlan, convolutionAxis, haloOf } from './conv-axes.ts'
import {
  absorb,
  applyEpilogue,
  type Epilogue,
  epilogueKey,
  epilogueValues,
  packEpilogue,
} from './epilogue.ts'
import { floatsOf } from './floats.ts'
import { loadEvery, overlaps, type PlaneTile, planeTiles } from './plane-tiles.ts'
import {
  packTable,
  planSections,
  type SpmmTable,
  type TableSection,
  type Width,
} from './spmm-table.ts'

/** Time per stored weight against a weight of the dense kernel, on V8 11 without FMA (kernels.md §2.1). */
const PRICE = { 1: 1.45, 2: 1.1, 4: 1.1 } as const
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
  const perEntry = width * PRICE[width] + (x.inStep - 1) * STRIDE_PRICE
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
  const a = chwGeometry(input, layouts.inputs[0]!)
  const out = chwGeometry(output, layouts.outputs[0]!)
  const values = layouts.inputs.slice(1).map((layout) => chwGeometry(output, layout))
  const tableAt = layouts.inputs.length
  const isValue = epilogue.operands.map((operand) => operand.kind === 'value')
  const channelOperands = isValue.filter((v) => !v).length
  let [nextValue, nextChannel] = [1, tableAt + 2]
  const operands = isValue.map((v) =>
    v
      ? { base: nextValue, geometry: values[nextValue++ - 1]! }
      : { base: nextChannel++, geometry: undefined },
  )
  const nest: Nest = {
    a,
    stride: { y: y.inStep, x: x.inStep },
    out: { base: tableAt + 2 + channelOperands, geometry: out },
    operands,
    epilogue,
    tableAt,
    range: table.range,
  }
  // Without halos and taps the rows of a plane are one long row.
  const isFlat =
    y.taps * x.taps * y.inStep * x.inStep === 1 &&
    [a, out, ...values].every((g) => g.rowBytes === g.w * 4 && g.w === out.w) &&
    a.h === out.h
  const plane = isFlat ? { rows: 1, columns: out.h * out.w } : { rows: out.h, columns: out.w }
  return {
    name: 'spmm-f32',
    parameters: [
      'x',
      ...values.map((_, i) => `value${i}`),
      'table',
      'bias',
      ...Array.from({ length: channelOperands }, (_, i) => `channel${i}`),
      'out',
    ],
    extents: [
      a.sizeBytes,
      ...values.map((g) => g.sizeBytes),
      table.bytes.length,
      out.c * 4,
      ...Array.from({ length: channelOperands }, () => Math.ceil(out.c / 4) * 16),
      out.sizeBytes,
    ],
    body: [
      loop(
        'n',
        a.n,
        planeTiles(plane, table.sections[0]!.width === 4 ? 2 : 4, (tile) =>
          table.sections.map((section) => blockLoop(nest, section, tile)),
        ),
      ),
    ],
  }
}

interface Nest {
  readonly a: ChwGeometry
  /** Input rows and columns per output row and column. */
  readonly stride: { readonly y: number; readonly x: number }
  readonly out: { readonly base: number; readonly geometry: ChwGeometry }
  readonly operands: readonly {
    readonly base: number
    readonly geometry: ChwGeometry | undefined
  }[]
  readonly epilogue: Epilogue
  readonly tableAt: number
  readonly range: readonly [number, number]
}

// All blocks of a section for one tile.
function blockLoop(nest: Nest, section: TableSection, tile: PlaneTile): TileStatement {
  const { a, stride, out, operands, epilogue, tableAt, range } = nest
  const { width, firstChannel, blocks, entries, entryBytes, rows, start } = section
  const { vectors } = tile
  const channels = Array.from({ length: width }, (_, i) => i)
  const sum = (v: number, i: number) => `s${v}_${i}`
  const place = (
    g: ChwGeometry,
    v: number,
  ): { offset: number; strides: Record<string, number> } => ({
    offset: vectors[v]!.row * g.rowBytes + vectors[v]!.column * 4,
    strides: {
      n: g.imageBytes,
      ...(tile.y && { [tile.y]: g.rowBytes }),
      ...(tile.x && { [tile.x]: 4 }),
    },
  })
  const channelAt = (base: number, i: number): Address =>
    at(base, (firstChannel + i) * 4, { o: width * 4 })
  const planeAt = (base: number, g: ChwGeometry, { v, i }: { v: number; i: number }): Address => {
    const { offset, strides } = place(g, v)
    const moved = g.origin + (firstChannel + i) * g.planeBytes + offset
    return at(base, moved, { ...strides, o: width * g.planeBytes })
  }
  const step: TileStatement[] = channels.map((i) =>
    set(`w${i}`, loadSplat(at(tableAt, start + 4 + i * 4, { e: entryBytes }))),
  )
  vectors.forEach(({ lanes }, v) => {
    const { row, column } = vectors[v]!
    const from = at(0, row * a.rowBytes * stride.y + column * 4 * stride.x, {
      n: a.imageBytes,
      ...(tile.y && { [tile.y]: a.rowBytes * stride.y }),
      ...(tile.x && { [tile.x]: 4 * stride.x }),
      p: 1,
    })
    step.push(set('x', loadEvery(from, lanes, stride.x)))
    for (const i of channels)
      step.push(set(sum(v, i), madd(get('x'), get(`w${i}`), get(sum(v, i)))))
  })
  return loop('o', blocks, [
    ...channels.flatMap((i) =>
      vectors.map((_, v) =>
        set(sum(v, i), v === 0 ? loadSplat(channelAt(tableAt + 1, i)) : get(sum(0, i))),
      ),
    ),
    nnz({
      name: 'e',
      cursor: 'p',
      rows: at(tableAt, rows, { o: 4 }),
      table: at(tableAt, start),
      entryBytes,
      entries,
      range,
      body: step as TileLeaf[],
    }),
    ...channels.flatMap((i) =>
      vectors.map(({ lanes }, v) => {
        const loaded = operands.map(({ base, geometry }) =>
          geometry === undefined
            ? loadSplat(channelAt(base, i))
            : loadLanes(planeAt(base, geometry, { v, i }), lanes),
        )
        const target = planeAt(out.base, out.geometry, { v, i })
        return store(target, applyEpilogue(epilogue, get(sum(v, i)), loaded), lanes)
      }),
    ),
  ])
}
