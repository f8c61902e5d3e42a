// Sparse Conv (+ element-wise) → for each tile of pixels and block of output channels, a loop over nonzeros.
//
// Elsen et al., Fast Sparse ConvNets (2019), with 1, 2 or 4 output channels sharing their nonzeros:
// 28 pixels × 1 channel, 16 × 2 and 8 × 4 keep at most 12 vectors alive. Weights and places are data.
// A larger kernel is the same over (input channel, tap) pairs of a padded plane, a grouped one the
// same with the zeros of the other groups. Channels that share are found by their masks, wherever
// they stand.

import type { Node } from '../../ir/graph.ts'
import type { GroupWidth } from '../../ir/grouping.ts'
import type { Kernel, Layout, Offer, PlacedLayouts } from '../kernel.ts'
import { CHW, chw, chwGeometry } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import type { TileFunction } from '../tile/nodes.ts'
import { haloOf } from './conv-axes.ts'
import { absorb, type Epilogue, epilogueKey, epilogueValues, packEpilogue } from './epilogue.ts'
import { planeFrame } from './plane-frame.ts'
import { overlaps } from './plane-tiles.ts'
import { spmmCost, spmmStatements, tileSize } from './spmm-nest.ts'
import { type SparseConv, sparseConv } from './spmm-problem.ts'
import { packTable, type TablePlan } from './spmm-table.ts'

/** Convolutions whose weights are mostly zero. */
export const spmm: Kernel = {
  name: 'spmm-f32',
  offer(node, context) {
    if (node.op !== 'Conv' || node.domain !== '') return ''
    const problem = sparseConv(node, context)
    if (typeof problem === 'string') return problem
    const { inStep } = problem.x
    if (inStep > 2) return `computes strides 1 and 2 along rows, not ${inStep}`
    const epilogue = absorb(node, context, 1)
    return ([1, 2, 4] as const)
      .filter((width) => width <= problem.weights.weight.outputs)
      .map((width) => offerOf(problem, { node, epilogue, width }))
  },
}

function offerOf(
  problem: SparseConv,
  given: { node: Node; epilogue: Epilogue; width: GroupWidth },
): Offer {
  const { input, output, y, x, weights, bias } = problem
  const { node, epilogue, width } = given
  const { weight } = weights
  const [top, bottom] = haloOf([y], input[2]!)
  const [left, right] = haloOf([x], input[3]!)
  const values = epilogueValues(epilogue)
  const [images, channels, height, columns] = output as [number, number, number, number]
  const cost = spmmCost({
    plane:
      weight.taps === 1 && x.inStep === 1
        ? { rows: 1, columns: height * columns }
        : { rows: height, columns },
    width,
    stored: weights.groups[width].stored,
    outputs: channels,
    isWindow: weight.taps > 1,
    isStrided: x.inStep > 1,
  })
  const shape = JSON.stringify([input, output, y, x, width, weight.columns, weight.taps])
  return {
    kernel: `spmm-${tileSize(width, x.inStep > 1) * 4}x${width}-f32`,
    note: () => weights.note(width, weights.table(width).bytes),
    covers: epilogue.covers,
    inputs: [
      { value: node.inputs[0]!, layout: chw(top, left, bottom, right) },
      ...values.map((value) => ({ value, layout: CHW })),
    ],
    outputs: [{ value: epilogue.output, layout: 'chw' }],
    cost: images * cost,
    scratchBytes: 0,
    // Overlapping vectors read their operands after a neighbour was stored.
    inPlace: overlaps(columns) ? [] : values.map((_, i) => i + 1),
    tolerance: (weight.columns + 4) * 2 ** -24,
    codeKey: (layouts) => {
      const { sections } = weights.table(width)
      return JSON.stringify([shape, sections, epilogueKey(epilogue, layouts)])
    },
    pack: (layouts) => {
      const table = weights.table(width)
      const added = Float32Array.from(table.order, (output) => bias?.[output] ?? 0)
      return [
        packTable(table, placesIn(problem, layouts.inputs[0]!)),
        bytesOfView(flushSubnormals(added)),
        ...packEpilogue(epilogue, table.order),
      ]
    },
    emit: (layouts) => emit(problem, { epilogue, layouts, table: weights.table(width) }),
  }
}

// At which byte of the input a column's element of pixel (0, 0) lies.
function placesIn(
  { input, y, x, weights }: SparseConv,
  layout: Layout,
): (column: number) => number {
  const g = chwGeometry(input, layout)
  const { taps } = weights.weight
  return (column) => {
    const channel = Math.floor(column / taps)
    const tap = column % taps
    const row = y.inStart + Math.floor(tap / x.taps) * y.tapStep
    const pixel = x.inStart + (tap % x.taps) * x.tapStep
    return g.origin + channel * g.planeBytes + row * g.rowBytes + pixel * 4
  }
}

interface Plan {
  readonly epilogue: Epilogue
  readonly layouts: PlacedLayouts
  readonly table: TablePlan
}

function emit(problem: SparseConv, { epilogue, layouts, table }: Plan): TileFunction {
  const { input, output, y, x } = problem
  const frame = planeFrame({
    name: 'spmm-f32',
    input,
    output,
    layouts,
    epilogue,
    constants: [
      { name: 'table', bytes: table.bytes },
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
  // Ranges hold for any weight of the shape, so that layers alike share code.
  const placeOf = placesIn(problem, layouts.inputs[0]!)
  const { taps, columns } = problem.weights.weight
  const window = Array.from({ length: taps }, (_, tap) => tap)
  const low = Math.min(...window.map(placeOf))
  const high = Math.max(...window.map((tap) => placeOf(columns - taps + tap)))
  const plane = isFlat ? { rows: 1, columns: out.h * out.w } : { rows: out.h, columns: out.w }
  const outputs = output[1]!
  return frame.wrap(spmmStatements({ frame, plane, stride, outputs, table, range: [low, high] }))
}
