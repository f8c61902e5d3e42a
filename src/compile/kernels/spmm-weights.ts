// A weight tensor as the sparse kernels see it: its zeros are looked at once, however often it is asked for.
import type { GroupWidth } from '../../ir/grouping.ts'
import {
  recogniseSparsity,
  type SparseWeight,
  type Sparsity,
  structureName,
} from '../../ir/sparsity.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { formatSizes } from '../formats/index.ts'
import { floatsOf } from './floats.ts'
import { planTable, type TablePlan } from './spmm-table.ts'

/** Weights with fewer zeros are not worth asking about. */
const ZEROS_FROM = 0.2

/** A sparse weight with what was found in it. */
export interface SparseWeights extends Sparsity {
  readonly weight: SparseWeight
  /** Returns the plan of the table for groups of that many outputs. */
  table(width: GroupWidth): TablePlan
  /** Says what the zeros are, and the bytes they take as a table and in other formats. */
  note(width: GroupWidth, tableBytes: number): string
}

/** How a tensor is read: its weights output by output, and what tells this reading from another. */
export interface Reading {
  readonly key: string
  rows(): SparseWeight
}

const known = new WeakMap<Tensor, Map<string, SparseWeights | string>>()

/** Returns what is in a weight, or why it is not worth treating as sparse. */
export function sparseWeights(tensor: Tensor, reading: Reading): SparseWeights | string {
  const readings = known.get(tensor) ?? new Map<string, SparseWeights | string>()
  known.set(tensor, readings)
  const found = readings.get(reading.key) ?? examine(tensor, reading)
  readings.set(reading.key, found)
  return found
}

function examine(tensor: Tensor, reading: Reading): SparseWeights | string {
  const data = floatsOf(tensor)
  let zeros = 0
  for (let i = 0; i < data.length; i++) if (data[i] === 0) zeros++
  const share = zeros / Math.max(1, data.length)
  if (share < ZEROS_FROM) return `${Math.round(share * 100)} % of its weights are zero`
  const weight = reading.rows()
  const sparsity = recogniseSparsity(weight)
  const tables = new Map<GroupWidth, TablePlan>()
  const note = (width: GroupWidth, tableBytes: number) => {
    const { density, structure, groups } = sparsity
    const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`
    const sizes = formatSizes(weight, groups[width]).map(
      ({ format, bytes }) => `${format} ${kilobytes(bytes)}`,
    )
    return `${Math.round((1 - density) * 100)} % zeros (${structureName(structure)}), table ${kilobytes(tableBytes)}; ${sizes.join(', ')}`
  }
  return {
    note,
    ...sparsity,
    weight,
    table(width) {
      const plan = tables.get(width) ?? planTable(weight, sparsity.groups[width])
      tables.set(width, plan)
      return plan
    },
  }
}
