// Depthwise convolutions and pools: vectors over channels, several pixels of a row at once.
//
// A tile is P pixels × 4 channels. Every input column under the tile is loaded once and used by all
// pixels it belongs to; the rows of the window are a loop. P is chosen so that sums, the weights of one
// window row, an input and a product fit the registers.
import {
  add,
  at,
  get,
  keepLanes,
  load,
  loop,
  madd,
  max,
  mul,
  set,
  splat,
  store,
} from '../tile/build.ts'
import { VECTOR_REGISTERS } from '../tile/check.ts'
import type { Address, TileExpr, TileStatement } from '../tile/nodes.ts'
import type { NhwcGeometry } from '../layout.ts'
import { applyEpilogue, type Epilogue } from './epilogue.ts'

/** Output positions of one axis that share their taps. */
export interface WindowRun {
  readonly start: number
  readonly count: number
  /** Input position of the first tap of the first output, and steps per output and per tap. */
  readonly inStart: number
  readonly inStep: number
  readonly taps: number
  readonly tapStep: number
  /** Elements that a mean divides by along this axis. */
  readonly divisor: number
}

/** What to compute over each window. */
export type Reduction =
  /** Weights per block of 4 channels: the bias, then a vector per tap. */
  | { readonly kind: 'weights'; readonly base: number }
  | { readonly kind: 'max' }
  | { readonly kind: 'mean' }

/** A placed buffer: parameter index and geometry. */
export interface Placed {
  readonly base: number
  readonly geometry: NhwcGeometry
}

/** What to emit. */
export interface WindowNest {
  readonly input: Placed
  readonly output: Placed
  readonly rows: readonly WindowRun[]
  readonly columns: readonly WindowRun[]
  readonly reduction: Reduction
  readonly epilogue: Epilogue
  /** Per operand of the epilogue: its buffer, or the parameter of its numbers per channel. */
  readonly operands: readonly (Placed | number)[]
  /** Multiply-add is one instruction. */
  readonly fma: boolean
}

/** Windows wider than this are walked by a loop instead of being unrolled. */
const UNROLL_LIMIT = 7
/**
 * Pixels per tile; more gains nothing measurable and grows the code. With few taps and without fused
 * multiply-add V8 11 keeps four better apart: 32 instead of 29 GFLOP/s for 3×3.
 */
const pixelLimit = (columns: WindowRun, fma: boolean) => (columns.taps <= 3 && !fma ? 4 : 8)

/** Returns the statements of a nest. */
export function windowStatements(nest: WindowNest): TileStatement[] {
  const { channels, c, n } = nest.output.geometry
  const blocks = channels / 4
  const full = c % 4 === 0 ? blocks : blocks - 1
  const blocksOf = (where: Omit<TileWhere, 'block'>): TileStatement[] => [
    ...(full > 0 ? [loop('b', full, emitTile(nest, { ...where, block: undefined }))] : []),
    ...(full < blocks ? emitTile(nest, { ...where, block: full }) : []),
  ]
  const row = (rows: WindowRun) => nest.columns.flatMap((c) => rowTiles(nest, rows, c, blocksOf))
  const runs = nest.rows.map((run) => loop('y', run.count, row(run)))
  return [loop('n', n, runs)]
}

// Splits a row into tiles of nearly equal width. All channels of a tile come before the next tile:
// lines are read whole and in order (165 instead of 260 µs for 32 channels at 112×112).
function rowTiles(
  nest: WindowNest,
  rows: WindowRun,
  columns: WindowRun,
  tile: (where: Omit<TileWhere, 'block'>) => TileStatement[],
): TileStatement[] {
  const weights = nest.reduction.kind === 'weights' ? Math.min(columns.taps, UNROLL_LIMIT) : 0
  const most = Math.min(pixelLimit(columns, nest.fma), VECTOR_REGISTERS - 2 - weights)
  const tiles = Math.ceil(columns.count / most)
  const width = Math.ceil(columns.count / tiles)
  const whole = Math.floor(columns.count / width)
  const rest = columns.count - whole * width
  const run = { rows, columns }
  return [
    ...(whole > 0
      ? [loop('x', whole * width, tile({ ...run, pixels: width, first: 0, x: 'x' }), width)]
      : []),
    ...(rest > 0 ? tile({ ...run, pixels: rest, first: whole * width, x: undefined }) : []),
  ]
}

interface TileWhere {
  readonly rows: WindowRun
  readonly columns: WindowRun
  /** The one block of channels to compute, instead of the loop's. */
  readonly block: number | undefined
  readonly pixels: number
  readonly first: number
  readonly x: string | undefined
}

function emitTile(nest: WindowNest, where: TileWhere): TileStatement[] {
  const { reduction, epilogue } = nest
  const { rows, columns, block, pixels, first, x } = where
  const input = inputAddress(nest, where)
  const isUnrolled = columns.taps <= UNROLL_LIMIT
  const pixel = nest.input.geometry.pixelBytes
  const weight = (tap: number): TileExpr => {
    const { base } = reduction as Extract<Reduction, { kind: 'weights' }>
    const strides = { ky: columns.taps * 16, ...(isUnrolled ? {} : { kx: 16 }) }
    return load(blockAddress(nest, { base, block, offset: 16 + tap * 16, strides }))
  }
  const step = (p: number, value: TileExpr, tap: number): TileStatement => {
    const sum = get(`s${p}`)
    if (reduction.kind === 'weights') return set(`s${p}`, madd(value, get(`w${tap}`), sum))
    return set(`s${p}`, reduction.kind === 'max' ? max(value, sum) : add(sum, value))
  }
  const row: TileStatement[] = []
  if (isUnrolled) {
    if (reduction.kind === 'weights')
      for (let tap = 0; tap < columns.taps; tap++) row.push(set(`w${tap}`, weight(tap)))
    for (const { position, uses } of sharedColumns(columns, pixels)) {
      row.push(set('v', load({ ...input, offset: input.offset + position * pixel })))
      for (const { p, tap } of uses) row.push(step(p, get('v'), tap))
    }
  } else {
    const body: TileStatement[] = []
    if (reduction.kind === 'weights') body.push(set('w0', weight(0)))
    const strides = { ...input.strides, kx: columns.tapStep * pixel }
    for (let p = 0; p < pixels; p++) {
      const offset = input.offset + p * columns.inStep * pixel
      body.push(set('v', load({ ...input, offset, strides })), step(p, get('v'), 0))
    }
    row.push(loop('kx', columns.taps, body))
  }
  const result: TileStatement[] = []
  for (let p = 0; p < pixels; p++)
    result.push(set(`s${p}`, p === 0 ? initial(nest, block) : get('s0')))
  result.push(loop('ky', rows.taps, row))
  const scale = Math.fround(1 / (rows.divisor * columns.divisor))
  const lanes = block === undefined ? 4 : nest.output.geometry.c - block * 4
  for (let p = 0; p < pixels; p++) {
    const sum = reduction.kind === 'mean' ? mul(get(`s${p}`), splat(scale)) : get(`s${p}`)
    const position = { rows, columns, block, x, first: first + p }
    const operands = nest.operands.map((operand) =>
      load(
        typeof operand === 'number'
          ? blockAddress(nest, { base: operand, block })
          : outputAddress(operand, position),
      ),
    )
    const value = applyEpilogue(epilogue, sum, operands)
    result.push(store(outputAddress(nest.output, position), keepLanes(value, lanes)))
  }
  return result
}

function initial({ reduction, ...nest }: WindowNest, block: number | undefined): TileExpr {
  if (reduction.kind === 'max') return splat(Number.NEGATIVE_INFINITY)
  if (reduction.kind === 'mean') return splat(0)
  return load(blockAddress({ ...nest, reduction }, { base: reduction.base, block }))
}

// Input columns under a tile (relative to its first pixel's first tap) and the sums they enter.
function sharedColumns(columns: WindowRun, pixels: number) {
  const found = new Map<number, { p: number; tap: number }[]>()
  for (let p = 0; p < pixels; p++)
    for (let tap = 0; tap < columns.taps; tap++) {
      const position = p * columns.inStep + tap * columns.tapStep
      found.set(position, [...(found.get(position) ?? []), { p, tap }])
    }
  return [...found].sort(([a], [b]) => a - b).map(([position, uses]) => ({ position, uses }))
}

function inputAddress(nest: WindowNest, { rows, columns, block, first, x }: TileWhere): Address {
  const { base, geometry: g } = nest.input
  const column = columns.inStart + first * columns.inStep
  return at(
    base,
    g.origin + rows.inStart * g.rowBytes + column * g.pixelBytes + (block ?? 0) * 16,
    {
      n: g.imageBytes,
      y: rows.inStep * g.rowBytes,
      ky: rows.tapStep * g.rowBytes,
      ...(block === undefined ? { b: 16 } : {}),
      ...(x === undefined ? {} : { [x]: columns.inStep * g.pixelBytes }),
    },
  )
}

function outputAddress(
  { base, geometry: g }: Placed,
  { rows, columns, block, first, x }: Omit<TileWhere, 'pixels'>,
): Address {
  const column = columns.start + first
  return at(base, g.origin + rows.start * g.rowBytes + column * g.pixelBytes + (block ?? 0) * 16, {
    n: g.imageBytes,
    y: g.rowBytes,
    ...(block === undefined ? { b: 16 } : {}),
    ...(x === undefined ? {} : { [x]: g.pixelBytes }),
  })
}

// Numbers per block of channels: weights, or an operand with one number per channel.
function blockAddress(
  nest: WindowNest,
  where: {
    base: number
    block: number | undefined
    offset?: number
    strides?: Record<string, number>
  },
): Address {
  const { base, block, offset = 0, strides = {} } = where
  const { reduction } = nest
  const isWeights = reduction.kind === 'weights' && base === reduction.base
  const taps = nest.rows[0]!.taps * nest.columns[0]!.taps
  const bytes = isWeights ? (taps + 1) * 16 : 16
  return at(base, offset + (block ?? 0) * bytes, {
    ...strides,
    ...(block === undefined ? { b: bytes } : {}),
  })
}
