// MatMul, Gemm (+ element-wise) whose constant operand is mostly zero → sparse products over rows.
import type { SparseWeight } from '../../ir/sparsity.ts'
import type { Kernel, Offer } from '../kernel.ts'
import { PLAIN } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import { epilogueKey, epilogueValues, packEpilogue } from './epilogue.ts'
import { type Packed, type Product, productParts, rowsIn } from './matmul.ts'
import type { RowsProblem } from './rows-frame.ts'
import { spmmCost } from './spmm-nest.ts'
import { planeBytes, scratchBytes, spmmRows } from './spmm-rows.ts'
import { packTable } from './spmm-table.ts'
import { type SparseWeights, sparseWeights } from './spmm-weights.ts'
import { chainsFor, spmv } from './spmv.ts'
import { packVectors, type VectorTable } from './spmv-table.ts'

/** What a number costs that is transposed, read and written across rows, in dense multiply-adds. */
const TRANSPOSE_PRICE = 4
/** A vector of four weights with its column, in dense multiply-adds. */
const VECTOR_PRICE = 8

/** Matrix products with a sparse constant right operand. */
export const spmmMatmul: Kernel = {
  name: 'spmm-matmul-f32',
  offer(node, context) {
    const parts = productParts(node, context)
    if (typeof parts === 'string') return parts
    const { product, epilogue, packed } = parts
    if (packed === undefined) return 'the right operand is not constant'
    if (packed.matrices > 1) return `it multiplies with ${packed.matrices} matrices`
    const weights = sparseWeights(context.constant(node.inputs[1]!)!, {
      key: packed.key,
      rows: () => rowsOf(product, packed),
    })
    if (typeof weights === 'string') return weights
    const problem = { m: rowsIn(product), k: product.k, n: product.n, epilogue }
    const bias = Float32Array.from({ length: product.n }, (_, column) => packed.bias(column))
    return [manyRows(problem, weights, bias), fewRows(problem, weights, bias)].map(
      (way): Offer => ({
        ...way,
        covers: epilogue.covers,
        inputs: [node.inputs[0]!, ...epilogueValues(epilogue)].map((value) => ({
          value,
          layout: PLAIN,
        })),
        outputs: [{ value: epilogue.output, layout: 'plain' }],
        // The sums are stored before the epilogue reads its values.
        inPlace: [],
        tolerance: (product.k + 4) * 2 ** -24,
      }),
    )
  },
}

// The weights of each output over all rows of the operand.
function rowsOf({ k, n }: Product, packed: Packed): SparseWeight {
  const data = new Float32Array(n * k)
  for (let output = 0; output < n; output++)
    for (let row = 0; row < k; row++) data[output * k + row] = packed.at(0, row, output)
  return { data, outputs: n, columns: k, taps: 1 }
}

type Way = Pick<Offer, 'kernel' | 'note' | 'cost' | 'scratchBytes' | 'codeKey' | 'pack' | 'emit'>

function manyRows(problem: RowsProblem, weights: SparseWeights, bias: Float32Array): Way {
  const { m, k, n, epilogue } = problem
  const costs = ([1, 2, 4] as const).map((width) => {
    const { stored } = weights.groups[width]
    return { width, cost: spmmCost({ plane: { rows: 1, columns: m }, width, stored, outputs: n }) }
  })
  const { width, cost } = costs.reduce((a, b) => (b.cost < a.cost ? b : a))
  return {
    kernel: 'spmm-rows-f32',
    note: () => weights.note(width, weights.table(width).bytes),
    cost: cost + m * (k + n) * TRANSPOSE_PRICE,
    scratchBytes: scratchBytes(problem),
    codeKey: () => JSON.stringify([m, k, n, weights.table(width).sections, epilogueKey(epilogue)]),
    pack: () => {
      const table = weights.table(width)
      return [
        packTable(table, (column) => column * planeBytes(m)),
        biasIn(table.order, bias),
        ...packEpilogue(epilogue),
      ]
    },
    emit: () => spmmRows(problem, weights.table(width)),
  }
}

function fewRows(problem: RowsProblem, weights: SparseWeights, bias: Float32Array): Way {
  const { m, k, n, epilogue } = problem
  const grouping = weights.groups[4]
  let last: VectorTable | undefined
  const table = () => {
    last ??= packVectors(weights.weight, grouping, chainsFor(m))
    return last
  }
  return {
    kernel: 'spmv-f32',
    note: () => weights.note(4, table().bytes.length),
    cost: m * (grouping.stored * VECTOR_PRICE + n * 4),
    scratchBytes: 0,
    codeKey: () => {
      const { bytes, ...shape } = table()
      return JSON.stringify([m, k, n, shape.entries, shape.isAdjacent, epilogueKey(epilogue)])
    },
    pack: () => [table().bytes, biasIn(table().order, bias), ...packEpilogue(epilogue)],
    emit: () => spmv(problem, table()),
  }
}

function biasIn(order: Int32Array, bias: Float32Array): Uint8Array {
  const placed = new Float32Array(Math.ceil(order.length / 4) * 4)
  order.forEach((output, i) => {
    placed[i] = bias[output]!
  })
  return bytesOfView(flushSubnormals(placed))
}
