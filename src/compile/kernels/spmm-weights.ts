// A weight tensor as the sparse kernels see it: its zeros are looked at once, however often it is asked for.
import type { GroupWidth } from '../../ir/grouping.ts'
import { recogniseSparsity, type SparseWeight, type Sparsity } from '../../ir/sparsity.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { floatsOf } from './floats.ts'
import { planTable, type TablePlan } from './spmm-table.ts'

/** Weights with fewer zeros are not worth asking about. */
const ZEROS_FROM = 0.2

/** A sparse weight with what was found in it. */
export interface SparseWeights extends Sparsity {
  readonly weight: SparseWeight
  /** Returns the plan of the table for groups of that many outputs. */
  table(width: GroupWidth): TablePlan
}

const known = new WeakMap<Tensor, SparseWeights | string>()

/** Returns what is in a weight, or why it is not worth treating as sparse. \`rows\` gives it output by output. */
export function sparseWeights(tensor: Tensor, rows: () => SparseWeight): SparseWeights | string {
  const found = known.get(tensor) ?? examine(tensor, rows)
  known.set(tensor, found)
  return found
}

function examine(tensor: Tensor, rows: () => SparseWeight): SparseWeights | string {
  const data = floatsOf(tensor)
  let zeros = 0
  for (const value of data) if (value === 0) zeros++
  const share = zeros / Math.max(1, data.length)
  if (share < ZEROS_FROM) return `${Math.round(share * 100)} % of its weights are zero`
  const weight = rows()
  const sparsity = recogniseSparsity(weight)
  const tables = new Map<GroupWidth, TablePlan>()
  return {
    ...sparsity,
    weight,
    table(width) {
      const plan = tables.get(width) ?? planTable(weight, sparsity.groups[width])
      tables.set(width, plan)
      return plan
    },
  }
}
