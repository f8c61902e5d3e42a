// What sparse products over plain rows share: parameters, and the epilogue over what was stored.
import type { TileFunction, TileStatement } from '../tile/nodes.ts'
import { applyEpilogue, type Epilogue, epilogueValues } from './epilogue.ts'
import { createNames, elementNest, type Strided } from './nest.ts'

/** x · Wᵀ for `m` rows of `k` numbers, and `n` outputs. */
export interface RowsProblem {
  readonly m: number
  readonly k: number
  readonly n: number
  readonly epilogue: Epilogue
}

/** Indices of the parameters: x is 0, the epilogue's values follow. */
export interface RowsFrame {
  readonly table: number
  readonly bias: number
  readonly y: number
  readonly scratch: number
  /** The function around the statements that store the sums of products. */
  wrap(name: string, body: readonly TileStatement[]): TileFunction
}

/** Lays out a function's parameters: x, values, table, bias, numbers per output, y, scratch memory. */
export function rowsFrame(
  { m, k, n, epilogue }: RowsProblem,
  bytes: { readonly table: number; readonly scratch: number },
): RowsFrame {
  const values = epilogueValues(epilogue).map((_, i) => `value${i}`)
  const channels = epilogue.operands.filter(({ kind }) => kind === 'channel')
  const perOutput = ['bias', ...channels.map((_, i) => `channel${i}`)]
  const table = 1 + values.length
  const y = table + 1 + perOutput.length
  const scratch = bytes.scratch > 0 ? ['scratch'] : []
  let [nextValue, nextChannel] = [1, table + 2]
  const operands = epilogue.operands.map(
    ({ kind }): Strided =>
      kind === 'value'
        ? { base: nextValue++, offset: 0, strides: [n * 4, 4] }
        : { base: nextChannel++, offset: 0, strides: [0, 4] },
  )
  const isIdentity = epilogue.formula.kind === 'input' && epilogue.formula.index === 0
  const out: Strided = { base: y, offset: 0, strides: [n * 4, 4] }
  const finish = () =>
    elementNest(createNames(), { dims: [m, n], operands: [...operands, out] }, (point) => {
      const loaded = operands.map((_, i) => point.load(i))
      return [point.store(applyEpilogue(epilogue, point.load(operands.length), loaded))]
    })
  return {
    table,
    bias: table + 1,
    y,
    scratch: y + 1,
    wrap: (name, body) => ({
      name,
      parameters: ['x', ...values, 'table', ...perOutput, 'y', ...scratch],
      extents: [
        m * k * 4,
        ...values.map(() => m * n * 4),
        bytes.table,
        ...perOutput.map(() => Math.ceil(n / 4) * 16),
        m * n * 4,
        ...scratch.map(() => bytes.scratch),
      ],
      body: [...body, ...(isIdentity ? [] : finish())],
    }),
  }
}
