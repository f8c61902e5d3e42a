// Loop nests over strided operands: axes ordered and merged, the innermost one in vectors of four.
import { at, keepLanes, loadLanes, loadSplat, loop, splat, store } from '../tile/build.ts'
import type { Address, TileExpr, TileStatement, VectorType } from '../tile/nodes.ts'

/** A strided operand: parameter index, byte offset and byte stride per axis of the nest. */
export interface Strided {
  readonly base: number
  readonly offset: number
  readonly strides: readonly number[]
}

/** How many lanes an access touches. */
export type Lanes = 1 | 2 | 3 | 4

/** Where the body of a nest stands. */
export interface Point {
  readonly lanes: Lanes
  /** The operand's element(s); one element is splat where the operand does not vary here. */
  load(operand: number, type?: VectorType): TileExpr
  /** The address of an operand's element(s), moved. */
  addressAt(operand: number, move: Shift): Address
  /** Loads from an operand at an address derived from its own: further loops, another offset. */
  loadAt(operand: number, move: Shift, type?: VectorType): TileExpr
  /** Stores to the last operand. */
  store(value: TileExpr): TileStatement
  /** Stores to the last operand at an address derived from its own. */
  storeAt(move: Shift, value: TileExpr): TileStatement
}

/** A change of address: bytes, and bytes per unit of further loops. */
export interface Shift {
  readonly offset?: number
  readonly strides?: Readonly<Record<string, number>>
}

/** How a nest is built. */
export interface NestOptions {
  readonly type?: VectorType
  /** Stores zeros in the lanes beyond the last one, up to four: channels of an nhwc output. */
  readonly padLanes?: boolean
}

/** Gives out loop and register names that are unique in one function. */
export interface Names {
  fresh(prefix: string): string
}

/** Returns a source of unique names. */
export function createNames(): Names {
  let next = 0
  return { fresh: (prefix) => `${prefix}${next++}` }
}

/** Axes of a nest after ordering and merging. */
export interface MergedAxes {
  readonly dims: readonly number[]
  readonly operands: readonly Strided[]
}

/** Drops axes of size 1, orders the others by the last operand's stride, and merges what is contiguous in all operands. */
export function mergeAxes(dims: readonly number[], operands: readonly Strided[]): MergedAxes {
  const last = operands[operands.length - 1]!
  const order = dims
    .map((_, axis) => axis)
    .filter((axis) => dims[axis] !== 1)
    .sort((a, b) => Math.abs(last.strides[b]!) - Math.abs(last.strides[a]!) || a - b)
  const merged: { count: number; strides: number[] }[] = []
  for (const axis of order) {
    const count = dims[axis]!
    const strides = operands.map((operand) => operand.strides[axis]!)
    const outer = merged[merged.length - 1]
    if (outer?.strides.every((stride, i) => stride === strides[i]! * count)) {
      outer.count *= count
      outer.strides = strides
    } else merged.push({ count, strides })
  }
  return {
    dims: merged.map((axis) => axis.count),
    operands: operands.map((operand, i) => ({
      ...operand,
      strides: merged.map((axis) => axis.strides[i]!),
    })),
  }
}

/** Wraps a body in loops over some axes; the body gets the loop names. */
export function loopsOver(
  names: Names,
  dims: readonly number[],
  body: (loops: readonly string[]) => readonly TileStatement[],
): readonly TileStatement[] {
  const loops = dims.map(() => names.fresh('i'))
  return dims.reduceRight<readonly TileStatement[]>(
    (inner, count, axis) => [loop(loops[axis]!, count, inner)],
    body(loops),
  )
}

/** Returns an operand's address at the given loops, plus a constant. */
export function addressAt(
  operand: Strided,
  loops: readonly (string | undefined)[],
  extra = 0,
): Address {
  const strides: Record<string, number> = {}
  loops.forEach((name, axis) => {
    const stride = operand.strides[axis]!
    if (name !== undefined && stride !== 0) strides[name] = stride
  })
  return at(operand.base, operand.offset + extra, strides)
}

/** Splits an axis into a loop of full vectors and a tail; a part that is empty is left out. */
export function vectorParts(count: number): { start: number; count: number; lanes: Lanes }[] {
  const full = count - (count % 4)
  const parts: { start: number; count: number; lanes: Lanes }[] = []
  if (full > 0) parts.push({ start: 0, count: full, lanes: 4 })
  if (count > full) parts.push({ start: full, count: 1, lanes: (count - full) as Lanes })
  return parts
}

/** Emits a body for every element of a box: in vectors where the last operand is contiguous and the others are contiguous or constant along it. */
export function elementNest(
  names: Names,
  box: { dims: readonly number[]; operands: readonly Strided[] },
  body: (point: Point) => readonly TileStatement[],
  { type = 'f32x4', padLanes = false }: NestOptions = {},
): readonly TileStatement[] {
  const { dims, operands } = mergeAxes(box.dims, box.operands)
  const out = operands.length - 1
  const inner = dims.length - 1
  const isVector =
    inner >= 0 &&
    operands[out]!.strides[inner] === 4 &&
    operands.every(({ strides }) => strides[inner] === 4 || strides[inner] === 0)
  if (padLanes && !isVector && operands[out]!.strides[inner] === 4)
    return [
      ...elementNest(names, { dims, operands }, body, { type }),
      ...zeroBeyond(names, { dims, out: operands[out]! }, type),
    ]
  const outer = isVector ? dims.slice(0, -1) : dims
  const parts: { start: number; count: number; lanes: Lanes }[] = isVector
    ? vectorParts(dims[inner]!)
    : [{ start: 0, count: 1, lanes: 1 }]
  return loopsOver(names, outer, (loops) =>
    parts.flatMap(({ start, count, lanes }) => {
      const vector = isVector && count > 1 ? names.fresh('v') : undefined
      const where = isVector ? [...loops, vector] : loops
      const address = (operand: Strided) =>
        addressAt(operand, where, isVector ? start * operand.strides[inner]! : 0)
      const moved = (operand: Strided, { offset = 0, strides = {} }: Shift): Address => {
        const own = address(operand)
        return at(own.base, own.offset + offset, { ...own.strides, ...strides })
      }
      const loadAt: Point['loadAt'] = (i, move, as = type) =>
        isVector && operands[i]!.strides[inner] === 4
          ? loadLanes(moved(operands[i]!, move), lanes, as)
          : loadSplat(moved(operands[i]!, move), as)
      const storeAt: Point['storeAt'] = (move, value) =>
        padLanes
          ? store(moved(operands[out]!, move), keepLanes(value, lanes), 4)
          : store(moved(operands[out]!, move), value, lanes)
      const statements = body({
        lanes,
        addressAt: (i, move) => moved(operands[i]!, move),
        load: (i, as) => loadAt(i, {}, as),
        loadAt,
        store: (value) => storeAt({}, value),
        storeAt,
      })
      return vector === undefined ? statements : [loop(vector, count, statements, 4)]
    }),
  )
}

// The lanes between the end of the innermost axis and the next multiple of four.
function zeroBeyond(
  names: Names,
  { dims, out }: { dims: readonly number[]; out: Strided },
  type: VectorType,
): readonly TileStatement[] {
  const count = dims[dims.length - 1]!
  const missing = (4 - (count % 4)) % 4
  if (missing === 0) return []
  const operands = [{ ...out, offset: out.offset + count * 4 }]
  return elementNest(
    names,
    { dims: [...dims.slice(0, -1), missing], operands },
    (p) => [p.store(splat(0, type))],
    { type },
  )
}
