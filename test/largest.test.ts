// Selection against sorting.
import { expect, it } from 'vitest'
import { kthLargest, largest } from '../src/tensor/largest.ts'
import { createRandom } from '../src/util/random.ts'

it('largest() equals sorting on 300 random lists with ties', () => {
  const random = createRandom(5)
  for (let trial = 0; trial < 300; trial++) {
    const values = Array.from({ length: 1 + random.integer(40) }, () => random.integer(8))
    const k = random.integer(values.length + 1)
    const order = values.map((_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b)
    expect(Array.from(largest(values, k))).toEqual(order.slice(0, k).sort((a, b) => a - b))
    if (k > 0) expect(kthLargest(Float64Array.from(values), k)).toBe(values[order[k - 1]!])
  }
})
