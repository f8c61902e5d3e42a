// Plain CSR, which checks of papers compare with, and what is counted in loops.
import { describe, expect, it } from 'vitest'
import { countsOf, csrCandidates, csrLoops } from '../bench/papers/csr.ts'
import { packTable, planTable } from '../src/compile/kernels/spmm-table.ts'
import { checkTile } from '../src/compile/tile/check.ts'
import { interpret } from '../src/compile/tile/interpret.ts'
import { groupings } from '../src/ir/grouping.ts'
import type { SparseWeight } from '../src/ir/sparsity.ts'
import { createRandom } from '../src/util/random.ts'

const SIDE = 8
const random = createRandom(5)
// Outputs 0 and 2 keep the same kernels, 1 and 3 too: groups of two are found out of order.
const kept = Array.from({ length: 2 }, () =>
  Uint8Array.from({ length: 27 }, () => +(random.uniform() < 0.3)),
)
const weight: SparseWeight = {
  data: Float32Array.from(
    { length: 4 * 27 },
    (_, i) => kept[Math.floor(i / 27) % 2]![i % 27]! * (1 + random.uniform()),
  ),
  outputs: 4,
  columns: 27,
  taps: 9,
}
const entries = weight.data.reduce((sum, value) => sum + +(value !== 0), 0)
const vectors = SIDE ** 2 / 4

describe('csrLoops', () => {
  it('loads a place, a weight and a vector for each entry and four pixels', () => {
    const fn = csrLoops({ weight, side: SIDE }, 1)
    expect(checkTile(fn)).toEqual([])
    expect(countsOf(fn.body)).toEqual({
      loads: vectors * (3 * entries + 2 * 4),
      macs: 4 * vectors * entries,
    })
  })

  it('of pairs loads places and vectors once for both', () => {
    const fn = csrLoops({ weight, side: SIDE }, 2)
    expect(checkTile(fn)).toEqual([])
    // Limits of two rows, and for every store where its output lies.
    const others = vectors * (2 * 2 + 4)
    expect(countsOf(fn.body)).toEqual({
      loads: vectors * 2 * entries + others,
      macs: 4 * vectors * entries,
    })
  })

  it.each([1, 2] as const)('counts what the interpreter counts, in groups of %i', (width) => {
    const fn = csrLoops({ weight, side: SIDE }, width)
    const plan = planTable(weight, groupings(weight)[width])
    const memory = new ArrayBuffer(1 << 16)
    const addresses = [0, 8192, 32768]
    new Uint8Array(memory).set(
      packTable(plan, () => 0),
      addresses[1],
    )
    const counted = { macs: 0 }
    interpret(fn, memory, addresses, { counted })
    expect(counted.macs).toBe(countsOf(fn.body).macs)
  })
})

it('csrCandidates() computes the same in WebAssembly and JavaScript, or throws', () => {
  expect(csrCandidates({ weight, side: SIDE }, 1).map(({ label }) => label)).toEqual([
    'CSR',
    'CSR in JavaScript',
  ])
})
