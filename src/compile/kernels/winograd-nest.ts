// The loops of Winograd F(2×2, 3×3): a band of tile rows at a time is transformed into scratch memory,
// multiplied there position by position, and transformed back, so that a band stays in the second-level cache.
import { input } from '../../ir/formula.ts'
import type { PlacedLayouts } from '../kernel.ts'
import { type NhwcGeometry, nhwcGeometry } from '../layout.ts'
import { add, at, get, keepLanes, load, loop, set, shift, store, sub } from '../tile/build.ts'
import type { Address, TileExpr, TileFunction, TileStatement } from '../tile/nodes.ts'
import { applyEpilogue, type Epilogue } from './epilogue.ts'
import { gemmStatements } from './gemm-nest.ts'
import { packedBytes, type Panels, planPanels } from './gemm-panels.ts'

/** Elements of an input tile: 4×4. */
export const POSITIONS = 16

/** A 3×3 convolution of stride 1. */
export interface WinogradProblem {
  readonly input: readonly number[]
  readonly output: readonly number[]
  /** Padding above and to the left. */
  readonly top: number
  readonly left: number
  /** Tiles of a band: enough that reading the weights of a position is paid by many products. */
  readonly bandTiles: number
}

/** How a convolution is cut into tiles and bands. */
export interface WinogradPlan {
  readonly tileRows: number
  readonly tileColumns: number
  /** Tile rows of a band; the last band may have fewer. */
  readonly bandRows: number
  readonly panels: readonly Panels[]
  /** Bytes of the packed weights of one position. */
  readonly weightBytes: number
  /** Channels filled up to whole vectors. */
  readonly inChannels: number
  readonly outChannels: number
  /** Bytes from one position to the next in the scratch memory. */
  readonly inStep: number
  readonly outStep: number
  readonly scratchBytes: number
}

/** Tiles of a band worth timing, the usual number first. */
export const BAND_TILES = [24, 12, 48] as const

/** Returns the plan of a convolution. */
export function planWinograd({ input, output, bandTiles }: WinogradProblem): WinogradPlan {
  const tileRows = Math.ceil(output[2]! / 2)
  const tileColumns = Math.ceil(output[3]! / 2)
  const most = Math.min(tileRows, Math.ceil(bandTiles / tileColumns))
  const bandRows = Math.ceil(tileRows / Math.ceil(tileRows / most))
  const inChannels = Math.ceil(input[1]! / 4) * 4
  const outChannels = Math.ceil(output[1]! / 4) * 4
  const tiles = bandRows * tileColumns
  const panels = planPanels(outChannels, tiles)
  const inStep = positionStep(tiles * inChannels * 4)
  const outStep = positionStep(tiles * outChannels * 4)
  return {
    tileRows,
    tileColumns,
    bandRows,
    panels,
    weightBytes: packedBytes(panels, input[1]!),
    inChannels,
    outChannels,
    inStep,
    outStep,
    scratchBytes: (inStep + outStep) * POSITIONS,
  }
}

// An odd number of cache lines: the 16 streams of a transform then fall into different cache sets.
function positionStep(bytes: number): number {
  const lines = Math.ceil(bytes / 64)
  return (lines % 2 === 0 ? lines + 1 : lines) * 64
}

/** Returns the function: input, values, weights, numbers per channel, output, scratch. */
export function emitWinograd(
  name: string,
  problem: WinogradProblem,
  { epilogue, layouts }: { epilogue: Epilogue; layouts: PlacedLayouts },
): TileFunction {
  const plan = planWinograd(problem)
  const a = nhwcGeometry(problem.input, layouts.inputs[0]!)
  const out = nhwcGeometry(problem.output, layouts.outputs[0]!)
  const values = layouts.inputs.slice(1).map((layout) => nhwcGeometry(problem.output, layout))
  const weights = 1 + values.length
  let [nextValue, nextChannel] = [1, weights + 1]
  const operands = epilogue.operands.map((operand): Operand => {
    if (operand.kind === 'channel') return { base: nextChannel++, geometry: undefined }
    const base = nextValue++
    return { base, geometry: values[base - 1]! }
  })
  const channels = operands.filter((operand) => operand.geometry === undefined)
  const bases = { weights, out: nextChannel, scratch: nextChannel + 1 }
  const nest = { problem, plan, a, out, operands, epilogue, bases }
  const body = (fma: boolean) => [loop('n', a.n, bands({ ...nest, fma }))]
  return {
    name,
    parameters: [
      'x',
      ...values.map((_, i) => `value${i}`),
      'weights',
      ...channels.map((_, i) => `channel${i}`),
      'out',
      'scratch',
    ],
    extents: [
      a.sizeBytes,
      ...values.map((g) => g.sizeBytes),
      plan.weightBytes * POSITIONS,
      ...channels.map(() => plan.outChannels * 4),
      out.sizeBytes,
      plan.scratchBytes,
    ],
    body: body(false),
    relaxed: body(true),
  }
}

interface Operand {
  readonly base: number
  /** Undefined where there is one number per channel. */
  readonly geometry: NhwcGeometry | undefined
}

interface Nest {
  readonly problem: WinogradProblem
  readonly plan: WinogradPlan
  readonly a: NhwcGeometry
  readonly out: NhwcGeometry
  readonly operands: readonly Operand[]
  readonly epilogue: Epilogue
  readonly bases: { readonly weights: number; readonly out: number; readonly scratch: number }
  readonly fma: boolean
}

// The last band stands alone when it is shorter, or when its last row has no partner. Here and below
// what stands alone is a loop of one iteration, so that addresses are the same everywhere.
function bands(nest: Nest): TileStatement[] {
  const { tileRows, bandRows } = nest.plan
  const isOdd = nest.problem.output[2]! % 2 === 1
  const whole = Math.floor((isOdd ? tileRows - 1 : tileRows) / bandRows)
  const rest = tileRows - whole * bandRows
  return [
    loop('band', whole, band(nest, { start: 0, rows: bandRows, isOdd: false })),
    loop('band', Math.min(rest, 1), band(nest, { start: whole * bandRows, rows: rest, isOdd })),
  ]
}

interface Band {
  /** First tile row; the loop over bands adds to it. */
  readonly start: number
  readonly rows: number
  /** The last tile row has only its upper outputs. */
  readonly isOdd: boolean
}

function band(nest: Nest, { start, rows, isOdd }: Band): TileStatement[] {
  const full = isOdd ? rows - 1 : rows
  return [
    loop('row', rows, [loop('x', nest.plan.tileColumns, [transformIn(nest, start)])]),
    ...products(nest, rows * nest.plan.tileColumns),
    loop('row', full, rowOut(nest, { start, row: 0, heights: 2 })),
    loop('row', rows - full, rowOut(nest, { start, row: full, heights: 1 })),
  ]
}

// Bᵀ d B with Bᵀ = [1 0 −1 0; 0 1 1 0; 0 −1 1 0; 0 1 0 −1], one or two rows at a time: eight vectors are
// alive, and reading an input row twice from the first-level cache costs less than spilling.
function transformIn({ problem, plan, a, bases }: Nest, start: number): TileStatement {
  const origin = a.origin + (2 * start - problem.top) * a.rowBytes - problem.left * a.pixelBytes
  const from = at(0, origin, {
    n: a.imageBytes,
    band: 2 * plan.bandRows * a.rowBytes,
    row: 2 * a.rowBytes,
    x: 2 * a.pixelBytes,
    c: 16,
  })
  const pixelBytes = plan.inChannels * 4
  const to = at(bases.scratch, 0, {
    row: plan.tileColumns * pixelBytes,
    x: pixelBytes,
    c: 16,
  })
  const read = (y: number, x: number) => load(shift(from, y * a.rowBytes + x * a.pixelBytes))
  const write = (y: number, x: number, value: TileExpr) =>
    store(shift(to, (y * 4 + x) * plan.inStep), value)
  const columns = [0, 1, 2, 3]
  const across = (y: number, t: (x: number) => TileExpr): TileStatement[] => [
    write(y, 0, sub(t(0), t(2))),
    write(y, 1, add(t(1), t(2))),
    write(y, 2, sub(t(2), t(1))),
    write(y, 3, sub(t(1), t(3))),
  ]
  const t = (x: number) => get(`t${x}`)
  const difference = (y: number, upper: number, lower: number): TileStatement[] => [
    ...columns.map((x) => set(`t${x}`, sub(read(upper, x), read(lower, x)))),
    ...across(y, t),
  ]
  return loop('c', plan.inChannels / 4, [
    ...difference(0, 0, 2),
    ...columns.flatMap((x) => [
      set('d1', read(1, x)),
      set('d2', read(2, x)),
      set(`t${x}`, add(get('d1'), get('d2'))),
      set(`u${x}`, sub(get('d2'), get('d1'))),
    ]),
    ...across(1, t),
    ...across(2, (x) => get(`u${x}`)),
    ...difference(3, 1, 3),
  ])
}

// One matrix product per position: tiles × input channels by input channels × output channels.
function products({ problem, plan, bases, fma }: Nest, tiles: number): TileStatement[] {
  const { inChannels, outChannels, inStep, outStep } = plan
  return gemmStatements(
    {
      a: { base: bases.scratch, offset: 0 },
      weights: { base: bases.weights, offset: 0 },
      out: { base: bases.scratch, offset: inStep * POSITIONS },
      epilogue: { covers: [], output: '', formula: input(0), operands: [] },
      operands: [],
      outer: [
        { count: POSITIONS, a: inStep, out: outStep, operands: [], weights: plan.weightBytes },
      ],
      pixels: { count: tiles, a: inChannels * 4, out: outChannels * 4, operands: [] },
      taps: [{ count: problem.input[1]!, a: 4 }],
      channels: outChannels,
      panels: plan.panels,
      tail: 'zeros',
      fma,
    },
    'g',
  )
}

interface RowOut {
  readonly start: number
  readonly row: number
  /** Output rows of the tiles: 2, or 1 at the end of an odd height. */
  readonly heights: number
}

function rowOut(nest: Nest, where: RowOut): TileStatement[] {
  const width = nest.problem.output[3]!
  const full = Math.floor(width / 2)
  return [
    loop('x', full, tileOut(nest, where, { column: 0, widths: 2 })),
    loop('x', width % 2, tileOut(nest, where, { column: full, widths: 1 })),
  ]
}

interface TileOut {
  readonly column: number
  readonly widths: number
}

// Aᵀ m A with Aᵀ = [1 1 1 0; 0 1 −1 −1], then the epilogue.
function tileOut(nest: Nest, where: RowOut, { column, widths }: TileOut): TileStatement[] {
  const { plan, out, epilogue, operands, bases } = nest
  const { start, row, heights } = where
  const blocks = plan.outChannels / 4
  const whole = out.c % 4 === 0 ? blocks : blocks - 1
  const pixelBytes = plan.outChannels * 4
  const block = (first: number, lanes: number): TileStatement[] => {
    const channel = first * 16
    const offset =
      plan.inStep * POSITIONS + (row * plan.tileColumns + column) * pixelBytes + channel
    const from = at(bases.scratch, offset, {
      row: plan.tileColumns * pixelBytes,
      x: pixelBytes,
      c: 16,
    })
    const pixel = (base: number, g: NhwcGeometry, y: number, x: number): Address =>
      at(
        base,
        g.origin + (2 * (start + row) + y) * g.rowBytes + (2 * column + x) * g.pixelBytes + channel,
        {
          n: g.imageBytes,
          band: 2 * plan.bandRows * g.rowBytes,
          row: 2 * g.rowBytes,
          x: 2 * g.pixelBytes,
          c: 16,
        },
      )
    const operandAt = ({ base, geometry }: Operand, y: number, x: number) =>
      geometry ? pixel(base, geometry, y, x) : at(base, channel, { c: 16 })
    const body: TileStatement[] = []
    for (let x = 0; x < (widths === 2 ? 4 : 3); x++) {
      const m = (y: number) => get(`m${y}`)
      const rows = heights === 2 ? 4 : 3
      for (let y = 0; y < rows; y++)
        body.push(set(`m${y}`, load(shift(from, (y * 4 + x) * plan.outStep))))
      body.push(set(`t${x}`, add(add(m(0), m(1)), m(2))))
      if (heights === 2) body.push(set(`u${x}`, sub(sub(m(1), m(2)), m(3))))
    }
    for (let y = 0; y < heights; y++)
      for (let x = 0; x < widths; x++) {
        const t = (i: number) => get(`${y === 0 ? 't' : 'u'}${i}`)
        const sum = x === 0 ? add(add(t(0), t(1)), t(2)) : sub(sub(t(1), t(2)), t(3))
        const loaded = operands.map((operand) => load(operandAt(operand, y, x)))
        body.push(set('y', sum))
        const value = applyEpilogue(epilogue, get('y'), loaded)
        body.push(store(pixel(bases.out, out, y, x), keepLanes(value, lanes)))
      }
    return body
  }
  return [loop('c', whole, block(0, 4)), loop('c', blocks - whole, block(whole, out.c - whole * 4))]
}
