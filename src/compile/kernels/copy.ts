// Strided copies: what every movement op comes down to. Transposes go through 4×4 blocks.
import { get, loadLanes, loop, set, shuffle, splat, store } from '../tile/build.ts'
import type { TileExpr, TileStatement, VectorType } from '../tile/nodes.ts'
import {
  addressAt,
  elementNest,
  type Lanes,
  loopsOver,
  mergeAxes,
  type Names,
  type NestOptions,
  type Strided,
  vectorParts,
} from './nest.ts'

/** A box of elements copied from one strided operand to another. */
export interface CopyBox {
  readonly dims: readonly number[]
  readonly from: Strided
  readonly to: Strided
}

/** A box of elements set to one value. */
export interface FillBox {
  readonly dims: readonly number[]
  readonly to: Strided
  readonly value: number
}

/** Emits a copy; `padLanes` zeroes the channels beyond the last in an nhwc output whose whole channel axis is copied. */
export function copyBox(
  names: Names,
  box: CopyBox,
  options: NestOptions = {},
): readonly TileStatement[] {
  if (box.dims.some((count) => count === 0)) return []
  const { dims, operands } = mergeAxes(box.dims, [box.from, box.to])
  const [from, to] = operands as [Strided, Strided]
  const inner = to.strides.indexOf(4)
  const across = from.strides.findIndex((stride, axis) => stride === 4 && axis !== inner)
  const direct = inner >= 0 && (from.strides[inner] === 4 || from.strides[inner] === 0)
  if (direct || inner < 0 || across < 0)
    return elementNest(names, { dims, operands }, (p) => [p.store(p.load(0))], options)
  return transposed(names, { dims, from, to }, { inner, across, ...options })
}

/** Emits a fill. */
export function fillBox(
  names: Names,
  box: FillBox,
  type: VectorType = 'f32x4',
): readonly TileStatement[] {
  if (box.dims.some((count) => count === 0)) return []
  const operands = [box.to]
  return elementNest(
    names,
    { dims: box.dims, operands },
    (p) => [p.store(splat(box.value, type))],
    { type },
  )
}

// Along `across` the source is contiguous, along `inner` the destination: blocks of 4×4 are loaded
// as four vectors, transposed by shuffles and stored as four.
function transposed(
  names: Names,
  { dims, from, to }: CopyBox,
  {
    inner,
    across,
    type = 'f32x4',
    padLanes = false,
  }: NestOptions & { inner: number; across: number },
): readonly TileStatement[] {
  const others = dims.map((_, axis) => axis).filter((axis) => axis !== inner && axis !== across)
  return loopsOver(
    names,
    others.map((axis) => dims[axis]!),
    (loops) => {
      const where: (string | undefined)[] = dims.map(() => undefined)
      others.forEach((axis, i) => {
        where[axis] = loops[i]
      })
      return vectorParts(dims[inner]!).flatMap((rows) =>
        vectorParts(dims[across]!).flatMap((columns) => {
          const rowLoop = rows.count > 1 ? names.fresh('r') : undefined
          const columnLoop = columns.count > 1 ? names.fresh('s') : undefined
          const here = where.slice()
          here[inner] = rowLoop
          here[across] = columnLoop
          const place = (operand: Strided, row: number, column: number) =>
            addressAt(
              operand,
              here,
              (rows.start + row) * operand.strides[inner]! +
                (columns.start + column) * operand.strides[across]!,
            )
          const block = transposeBlock(names, {
            rows: rows.lanes,
            columns: columns.lanes,
            type,
            load: (row) => loadLanes(place(from, row, 0), columns.lanes, type),
            store: (column, value) => store(place(to, 0, column), value, padLanes ? 4 : rows.lanes),
          })
          const inColumns =
            columnLoop === undefined ? block : [loop(columnLoop, columns.count, block, 4)]
          return rowLoop === undefined ? inColumns : [loop(rowLoop, rows.count, inColumns, 4)]
        }),
      )
    },
  )
}

interface Block {
  readonly rows: Lanes
  readonly columns: Lanes
  readonly type: VectorType
  load(row: number): TileExpr
  store(column: number, value: TileExpr): TileStatement
}

function transposeBlock(names: Names, block: Block): TileStatement[] {
  const { rows, columns, type } = block
  const loaded = Array.from({ length: 4 }, () => names.fresh('t'))
  const statements = loaded.map((register, row) =>
    set(register, row < rows ? block.load(row) : splat(0, type), type),
  )
  const [a, b, c, d] = loaded.map(get) as [TileExpr, TileExpr, TileExpr, TileExpr]
  const pairs = [
    { low: shuffle(a, b, [0, 4, 1, 5]), high: shuffle(c, d, [0, 4, 1, 5]), from: 0 },
    { low: shuffle(a, b, [2, 6, 3, 7]), high: shuffle(c, d, [2, 6, 3, 7]), from: 2 },
  ]
  for (const { low, high, from } of pairs) {
    if (from >= columns) break
    const [x, y] = [names.fresh('t'), names.fresh('t')]
    statements.push(set(x, low, type), set(y, high, type))
    statements.push(block.store(from, shuffle(get(x), get(y), [0, 1, 4, 5])))
    if (from + 1 < columns)
      statements.push(block.store(from + 1, shuffle(get(x), get(y), [2, 3, 6, 7])))
  }
  return statements
}
