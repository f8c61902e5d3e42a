// Grouping of outputs by their masks, and the patterns of kernels.
import { describe, expect, it } from 'vitest'
import { groupings } from '../../src/ir/grouping.ts'
import { patternOf, patternSet } from '../../src/ir/patterns.ts'
import { recogniseSparsity, type SparseWeight, structureName } from '../../src/ir/sparsity.ts'
import { createRandom } from '../../src/util/random.ts'

/** Outputs with the given masks, a character per column. */
function weightOf(masks: readonly string[]): SparseWeight {
  const columns = masks[0]!.length
  const data = Float32Array.from(masks.join(''), (c) => (c === '.' ? 0 : 1))
  return { data, outputs: masks.length, columns, taps: 1 }
}

/** `outputs` rows in groups of `width` with a common random mask, then shuffled. */
function shuffled(outputs: number, columns: number, { width = 2, keep = 0.2, seed = 1 } = {}) {
  const random = createRandom(seed)
  const data = new Float32Array(outputs * columns)
  const order = random.permutation(outputs)
  for (let first = 0; first < outputs; first += width)
    for (let column = 0; column < columns; column++)
      if (random.uniform() < keep)
        for (let i = first; i < Math.min(outputs, first + width); i++)
          data[order[i]! * columns + column] = 1 + random.uniform()
  return { data, outputs, columns, taps: 1 }
}

/** The columns that groups store, counted from the weight itself. */
function storedBy({ data, columns }: SparseWeight, groups: readonly (readonly number[])[]): number {
  let count = 0
  for (const group of groups)
    for (let column = 0; column < columns; column++)
      if (group.some((output) => data[output * columns + column] !== 0)) count++
  return count
}

/** The groups that an order means: whole ones, then a pair, then one alone. */
function groupsIn(order: Int32Array, width: number): number[][] {
  const groups: number[][] = []
  for (let at = 0; at < order.length; ) {
    const size = [width, 2, 1].find((n) => n <= width && at + n <= order.length)!
    groups.push([...order.subarray(at, at + size)])
    at += size
  }
  return groups
}

describe('groupings', () => {
  it('finds outputs with equal masks wherever they stand', () => {
    const weight = weightOf(['x..x', '.xx.', 'x..x', '.xx.', 'x..x', '.xx.', 'x..x', '.xx.'])
    const pairs = groupings(weight)[2]
    expect([...pairs.order]).toEqual([0, 2, 1, 3, 4, 6, 5, 7])
    expect(pairs).toMatchObject({ stored: 8, isAdjacent: false })
    const fours = groupings(weight)[4]
    expect(fours.stored).toBe(4)
    expect([...fours.order.subarray(0, 4)].sort()).toEqual([0, 2, 4, 6])
  })

  it('leaves neighbours in their order where that is as good', () => {
    const same = weightOf(['x.x', 'x.x', '.x.', '.x.', 'xxx'])
    for (const width of [1, 2, 4] as const) {
      const { order, isAdjacent } = groupings(same)[width]
      expect([[...order], isAdjacent]).toEqual([[0, 1, 2, 3, 4], true])
    }
  })

  it('pairs what is most alike where nothing is equal', () => {
    const weight = weightOf(['xxxx....', '....xxxx', 'xxx.....', '.....xxx'])
    expect([...groupings(weight)[2].order]).toEqual([0, 2, 1, 3])
    expect(groupings(weight)[2].stored).toBe(8)
  })

  it('lists every output once and counts the union of each group', () => {
    for (const outputs of [1, 2, 3, 5, 7, 8, 13, 64])
      for (const width of [1, 2, 4] as const) {
        const weight = shuffled(outputs, 33, { width: 2, keep: 0.3, seed: outputs })
        const { order, stored } = groupings(weight)[width]
        expect([...order].sort((a, b) => a - b)).toEqual([...order.keys()])
        expect(stored).toBe(storedBy(weight, groupsIn(order, width)))
      }
  })

  it('undoes any shuffle of outputs that share masks', () => {
    for (const width of [2, 4] as const)
      for (const seed of [1, 2, 3]) {
        const weight = shuffled(128, 200, { width, seed })
        const kept = weight.data.filter((x) => x !== 0).length
        expect(groupings(weight)[width].stored).toBe(kept / width)
        const { structure } = recogniseSparsity(weight)
        expect(structureName(structure)).toBe(`shared by ${width}`)
      }
  })

  it('recovers most of what nearly equal masks share, in layers of thousands of outputs', () => {
    const weight = shuffled(3000, 512, { width: 2, keep: 0.15 })
    const random = createRandom(9)
    const kept = weight.data.map((x) => (x !== 0 && random.uniform() < 0.05 ? 0 : x))
    const { stored } = groupings({ ...weight, data: kept })[2]
    const ideal = 1500 * 512 * 0.15
    expect(stored).toBeLessThan(1.35 * ideal)
  })
})

describe('patternSet', () => {
  it('counts a part of a shape as that shape', () => {
    const shapes = [0b000011011, 0b110110000]
    const whole = Array.from({ length: 8 }, () => shapes).flat()
    expect(patternSet([...whole, 0b000011010, 0, 0b110000000], 9)).toEqual(shapes)
    expect(patternOf(0b000011010, shapes)).toBe(shapes[0])
    expect(patternOf(0b100000010, shapes)).toBeUndefined()
  })

  it('finds none in dense, empty, tiny or arbitrary kernels', () => {
    expect(patternSet([0b111111111, 0b11011], 9)).toBeUndefined()
    expect(patternSet([0, 0], 9)).toBeUndefined()
    expect(patternSet([1], 1)).toBeUndefined()
    const random = createRandom(1)
    const arbitrary = Array.from({ length: 500 }, () => random.integer(511))
    expect(patternSet(arbitrary, 9)).toBeUndefined()
    // Nine shapes of eight taps contain all of these, but hardly one fills its shape.
    const eights = Array.from({ length: 9 }, (_, tap) => 511 ^ (1 << tap))
    expect(patternSet([...eights, ...arbitrary.slice(0, 50)], 9)).toBeUndefined()
  })
})
