// Sparse Conv (+ element-wise) over channels last: four outputs that share their nonzeros are one vector.
//
// Each nonzero loads one vector of weights and multiplies it with one number of each pixel of a tile,
// where the kernel over planes loads vectors of pixels. Small planes lose nothing to ragged rows, and
// between depthwise convolutions, which are fastest over channels last, nothing is converted.
import type { Node } from '../../ir/graph.ts'
import type { Kernel, Layout, Offer, PlacedLayouts } from '../kernel.ts'
import { type NhwcGeometry, nhwc, nhwcGeometry } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import {
  at,
  get,
  load,
  loadLanes,
  loadSplat,
  loop,
  madd,
  nnz,
  set,
  shuffle,
  store,
} from '../tile/build.ts'
import type { Address, TileExpr, TileFunction, TileLeaf, TileStatement } from '../tile/nodes.ts'
import { haloOf } from './conv-axes.ts'
import {
  absorb,
  applyEpilogue,
  type Epilogue,
  epilogueKey,
  epilogueValues,
  isHeavy,
  packEpilogue,
} from './epilogue.ts'
import { type SparseConv, sparseConv } from './spmm-problem.ts'
import { packTable, type TablePlan } from './spmm-table.ts'

/** Outputs that share their columns: the lanes of a vector. */
const WIDTH = 4
/**
 * Pixels of a tile, a sum each. Where multiply-add is two instructions V8 11 spills beyond six: the whole of
 * proxyless-w0.3 with a quarter of its 1×1 weights is 8 % slower with eight, 18 % with twelve; where it is
 * one, twelve make it 3 % faster than six.
 */
const PIXELS = { plain: 6, fma: 12 }
/**
 * What an entry costs in a tile, in dense multiply-adds: a base, and a multiply-add for each pixel. Fitted
 * to 48 layers of 6 × 6 to 88 × 88 pixels on Node 20 and 24, all within a sixth.
 */
const PRICE = { entry: 22, madd: 1.7 }
/** What four outputs cost per pixel besides their weights; those that are no neighbours are stored one by one. */
const OUTPUT_PRICE = { together: 10, apart: 27 }

/** Convolutions whose weights are mostly zero, with outputs in fours that share their columns. */
export const spmmLast: Kernel = {
  name: 'spmm-last-f32',
  offer(node, context) {
    if (node.op !== 'Conv' || node.domain !== '') return ''
    const problem = sparseConv(node, context)
    if (typeof problem === 'string') return problem
    const { outputs } = problem.weights.weight
    if (outputs % WIDTH !== 0) return `its ${outputs} outputs do not fill vectors`
    const epilogue = absorb(node, context, 1)
    if (isHeavy(epilogue))
      return 'its element-wise formula and the sums of a tile do not fit registers'
    return [offerOf(problem, { node, epilogue })]
  },
}

function offerOf(problem: SparseConv, given: { node: Node; epilogue: Epilogue }): Offer {
  const { input, output, y, x, weights, bias } = problem
  const { node, epilogue } = given
  const { weight } = weights
  const [top, bottom] = haloOf([y], input[2]!)
  const [left, right] = haloOf([x], input[3]!)
  const values = epilogueValues(epilogue)
  const shape = JSON.stringify([input, output, y, x, weight.columns, weight.taps])
  return {
    kernel: spmmLast.name,
    note: () => weights.note(WIDTH, weights.table(WIDTH).bytes),
    covers: epilogue.covers,
    inputs: [
      { value: node.inputs[0]!, layout: nhwc(top, left, bottom, right) },
      ...values.map((value) => ({ value, layout: nhwc(0, 0, 0, 0) })),
    ],
    outputs: [{ value: epilogue.output, layout: 'nhwc' }],
    cost: costOf(problem),
    scratchBytes: 0,
    inPlace: values.map((_, i) => i + 1),
    tolerance: (weight.columns + 4) * 2 ** -24,
    codeKey: (layouts) => {
      const { sections } = weights.table(WIDTH)
      return JSON.stringify([shape, sections, epilogueKey(epilogue, layouts)])
    },
    pack: (layouts) => {
      const table = weights.table(WIDTH)
      const added = Float32Array.from(table.order, (output) => bias?.[output] ?? 0)
      const geometry = nhwcGeometry(input, layouts.inputs[0]!)
      return [
        packTable(table, placesIn(problem, geometry)),
        bytesOfView(flushSubnormals(added)),
        ...packEpilogue(epilogue, table.order),
      ]
    },
    emit: (layouts) => emit(problem, { epilogue, layouts, table: weights.table(WIDTH) }),
  }
}

function costOf({ output, weights }: SparseConv): number {
  const [images, channels, height, columns] = output as [number, number, number, number]
  const { stored, isAdjacent } = weights.groups[WIDTH]
  const pixels = height * columns
  const tiles = Math.ceil(pixels / PIXELS.plain)
  const each = isAdjacent ? OUTPUT_PRICE.together : OUTPUT_PRICE.apart
  const entries = stored * (tiles * PRICE.entry + pixels * PRICE.madd)
  return images * (entries + (channels / WIDTH) * pixels * each)
}

// At which byte of the input a column's element of pixel (0, 0) lies.
function placesIn({ y, x, weights }: SparseConv, g: NhwcGeometry): (column: number) => number {
  const { taps } = weights.weight
  return (column) => {
    const tap = column % taps
    const row = y.inStart + Math.floor(tap / x.taps) * y.tapStep
    const pixel = x.inStart + (tap % x.taps) * x.tapStep
    return g.origin + row * g.rowBytes + pixel * g.pixelBytes + Math.floor(column / taps) * 4
  }
}

/** Pixels of a tile from where it stands, and the loops that move it. */
interface PixelTile {
  readonly pixels: readonly { readonly row: number; readonly column: number }[]
  readonly y: string | undefined
  readonly x: string | undefined
}

interface Plan {
  readonly epilogue: Epilogue
  readonly layouts: PlacedLayouts
  readonly table: TablePlan
}

/** An operand of pixels and channels: its parameter, and how many of its pixels a step moves. */
interface Operand {
  readonly base: number
  readonly g: NhwcGeometry
  readonly by: { readonly y: number; readonly x: number }
}

// A pixel of a tile, at its first channel.
function pixelAt({ base, g, by }: Operand, tile: PixelTile, pixel: number): Address {
  const { row, column } = tile.pixels[pixel]!
  return at(base, row * by.y * g.rowBytes + column * by.x * g.pixelBytes, {
    n: g.imageBytes,
    ...(tile.y && { [tile.y]: by.y * g.rowBytes }),
    ...(tile.x && { [tile.x]: by.x * g.pixelBytes }),
  })
}

function emit(problem: SparseConv, { epilogue, layouts, table }: Plan): TileFunction {
  const { input, output, y, x, weights } = problem
  const step = { y: 1, x: 1 }
  const stride = { y: y.inStep, x: x.inStep }
  const a: Operand = { base: 0, g: nhwcGeometry(input, layouts.inputs[0] as Layout), by: stride }
  const values = layouts.inputs
    .slice(1)
    .map((layout, i): Operand => ({ base: 1 + i, g: nhwcGeometry(output, layout), by: step }))
  const tableAt = 1 + values.length
  const perChannel = epilogue.operands.filter(({ kind }) => kind === 'channel')
  const out: Operand = {
    base: tableAt + 2 + perChannel.length,
    g: nhwcGeometry(output, layouts.outputs[0] as Layout),
    by: step,
  }
  let [value, channel] = [0, tableAt + 2]
  const operands = epilogue.operands.map(({ kind }) =>
    kind === 'channel' ? channel++ : values[value++]!,
  )
  const { taps, columns } = weights.weight
  const placeOf = placesIn(problem, a.g)
  const window = Array.from({ length: taps }, (_, tap) => tap)
  const low = Math.min(...window.map(placeOf))
  const high = Math.max(...window.map((tap) => placeOf(columns - taps + tap)))
  // Without halos, taps and strides all pixels are one row.
  const isFlat =
    taps * stride.y * stride.x === 1 &&
    [a, out, ...values].every(({ g }) => g.rowBytes === g.w * g.pixelBytes && g.h === out.g.h)
  const { h, w } = out.g
  const plane = isFlat ? { rows: 1, columns: h * w } : { rows: h, columns: w }
  const groups = (tile: PixelTile) =>
    table.sections.map((section) => {
      const { first, blocks, rows, start, entries, entryBytes } = section
      return loop('o', blocks, [
        ...tile.pixels.map((_, i) =>
          set(sum(i), i === 0 ? load(at(tableAt + 1, first * 4, { o: WIDTH * 4 })) : get(sum(0))),
        ),
        nnz({
          name: 'e',
          cursors: ['p'],
          rows: at(tableAt, rows, { o: 4 }),
          table: at(tableAt, start),
          entryBytes,
          entries,
          range: [low, high],
          body: [
            set('w', load(at(tableAt, start + 4, { e: entryBytes }))),
            ...tile.pixels.map((_, i) => {
              const from = pixelAt(a, tile, i)
              const number = loadSplat({ ...from, strides: { ...from.strides, p: 1 } })
              return set(sum(i), madd(number, get('w'), get(sum(i))))
            }),
          ] as TileLeaf[],
        }),
        ...storesOf({ tile, section, tableAt, epilogue, operands, out }),
      ])
    })
  const body = (pixels: number) => [loop('n', a.g.n, pixelTiles(plane, pixels, groups))]
  return {
    name: 'spmm-last-f32',
    parameters: [
      'x',
      ...values.map((_, i) => `value${i}`),
      'table',
      'bias',
      ...perChannel.map((_, i) => `channel${i}`),
      'out',
    ],
    extents: [
      a.g.sizeBytes,
      ...values.map(({ g }) => g.sizeBytes),
      table.bytes,
      ...[0, ...perChannel].map(() => out.g.channels * 4),
      out.g.sizeBytes,
    ],
    body: body(PIXELS.plain),
    relaxed: body(PIXELS.fma),
  }
}

const sum = (pixel: number) => `s${pixel}`

interface Stores {
  readonly tile: PixelTile
  readonly section: TablePlan['sections'][number]
  readonly tableAt: number
  readonly epilogue: Epilogue
  /** For each of the epilogue: a value's pixels, or the parameter of numbers per channel. */
  readonly operands: readonly (Operand | number)[]
  readonly out: Operand
}

// The sums of four outputs through the epilogue: one vector a pixel, or each lane where the table says.
function storesOf(given: Stores): TileStatement[] {
  const { tile, section, tableAt, epilogue, operands, out } = given
  const { first, outputs } = section
  const together = (operand: Operand, pixel: number): Address => {
    const { base, offset, strides } = pixelAt(operand, tile, pixel)
    return at(base, offset + operand.g.origin + first * 4, { ...strides, o: WIDTH * 4 })
  }
  const apart = (operand: Operand, pixel: number, lane: number): Address => {
    const { base, offset, strides } = pixelAt(operand, tile, pixel)
    return at(base, offset + operand.g.origin, { ...strides, [`q${lane}`]: 4 })
  }
  const loaded = (operand: Operand | number, pixel: number): TileExpr => {
    if (typeof operand === 'number') return load(at(operand, first * 4, { o: WIDTH * 4 }))
    if (outputs === undefined) return load(together(operand, pixel))
    const lane = (i: number) => loadLanes(apart(operand, pixel, i), 1)
    const pair = (i: number) => shuffle(lane(i), lane(i + 1), [0, 4, 1, 5])
    return shuffle(pair(0), pair(2), [0, 1, 4, 5])
  }
  const final = (pixel: number) =>
    applyEpilogue(
      epilogue,
      get(sum(pixel)),
      operands.map((operand) => loaded(operand, pixel)),
    )
  if (outputs === undefined)
    return tile.pixels.map((_, pixel) => store(together(out, pixel), final(pixel)))
  const lanes = [0, 1, 2, 3]
  return [
    nnz({
      name: 'i',
      cursors: lanes.map((lane) => `q${lane}`),
      table: at(tableAt, outputs, { o: WIDTH * 4 }),
      entryBytes: WIDTH * 4,
      entries: 1,
      range: [0, out.g.c - 1],
      body: tile.pixels.flatMap((_, pixel) => [
        set('r', final(pixel)),
        ...lanes.map((i) => {
          const value = i === 0 ? get('r') : shuffle(get('r'), get('r'), [i, i, i, i])
          return store(apart(out, pixel, i), value, 1)
        }),
      ]) as TileLeaf[],
    }),
  ]
}

// Loops over all pixels; rows too short to fill a tile are taken together.
function pixelTiles(
  { rows, columns }: { readonly rows: number; readonly columns: number },
  most: number,
  body: (tile: PixelTile) => readonly TileStatement[],
): TileStatement[] {
  const together = Math.min(rows, Math.max(1, Math.floor(most / columns)))
  const part = (from: number, count: number, y: string | undefined): TileStatement[] => {
    const size = Math.ceil(columns / Math.ceil(columns / most))
    const whole = Math.floor(columns / size)
    const tileOf = (first: number, width: number, x?: string): PixelTile => ({
      pixels: Array.from({ length: count * width }, (_, i) => ({
        row: from + Math.floor(i / width),
        column: first + (i % width),
      })),
      y,
      x,
    })
    const rest = columns - whole * size
    return [
      ...(whole > 1
        ? [loop('x', whole * size, body(tileOf(0, size, 'x')), size)]
        : body(tileOf(0, size))),
      ...(rest > 0 ? body(tileOf(whole * size, rest)) : []),
    ]
  }
  const groups = Math.floor(rows / together)
  const rest = rows % together
  return [
    loop('y', groups * together, part(0, together, 'y'), together),
    ...(rest > 0 ? part(groups * together, rest, undefined) : []),
  ]
}
