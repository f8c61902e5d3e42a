// The structure laws: the density asked for, nested levels, the best projection, masks that are shared.
import { describe, expect, it } from 'vitest'
import type { Structure } from '../../src/compress/contracts.ts'
import { structures } from '../../src/compress/registry.ts'
import { type FloatTensor, floatData, floats, sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'

const even = [
  [8, 8, 3, 3],
  [16, 16, 1, 1],
  [16, 32],
]
const ragged = [[5, 7, 3, 3], [6, 3, 5, 5], [9, 13], [11]]

/** What the registry lists, and variants and shares that plans may name. */
const named = [
  'pattern:01b,0d8',
  'pattern:01b,0d8/8',
  'block-punched:8/8',
  'filter/2',
  'channel/4',
  'block:2x8',
  'block/2',
  'nm:8/4',
  'head:4',
]
const all: readonly Structure[] = [
  ...structures.all,
  ...named.map((name) => structures.named(name)),
]

function scoreOf(shape: readonly number[], seed: number): FloatTensor {
  const random = createRandom(seed)
  return floats(
    shape,
    Array.from({ length: sizeOf(shape) }, () => random.uniform()),
  )
}

const count = (mask: Uint8Array) => mask.reduce((sum, bit) => sum + bit, 0)
const keptScore = (score: FloatTensor, mask: Uint8Array) =>
  floatData(score).reduce((sum, value, i) => sum + value * mask[i]!, 0)

/** How far from its level a mask may lie that cannot meet it, as part of the tensor. */
const SLACK = 0.04

/** Level numbers to try: about ten of them, the first and the last too. */
function someOf(levels: readonly number[]): number[] {
  const last = levels.length - 1
  const tries = Array.from({ length: 11 }, (_, i) => Math.round((last * i) / 10))
  return [...new Set(tries)]
}

describe.each(all.map((structure) => [structure.name, structure] as const))(
  '%s',
  (name, structure) => {
    it('is found by its name', () => {
      expect(structures.named(name).name).toBe(name)
    })

    for (const shape of [...even, ...ragged]) {
      const levels = structure.levels(shape)
      const masks = (score: FloatTensor, order?: Int32Array) =>
        someOf(levels).map((level) => structure.project(score, level, order))

      it(`lists levels of [${shape}] from dense down, none empty, or says why not`, () => {
        expect(levels[0]).toBe(1)
        expect(levels.every((kept, i) => kept > 0 && (i === 0 || kept < levels[i - 1]!))).toBe(true)
        const refusal = structure.refuses(shape)
        if (refusal !== undefined) {
          expect(refusal.length).toBeGreaterThan(10)
          expect(levels).toEqual([1])
        }
        expect(structure.project(scoreOf(shape, 1), 0).every((bit) => bit === 1)).toBe(true)
      })

      it(`keeps of [${shape}] at a lower level only what a higher one kept, and less`, () => {
        const found = masks(scoreOf(shape, 2))
        for (let level = 1; level < found.length; level++) {
          expect(count(found[level]!)).toBeLessThan(count(found[level - 1]!))
          expect(count(found[level]!)).toBeGreaterThan(0)
          expect(found[level]!.every((bit, i) => bit <= found[level - 1]![i]!)).toBe(true)
        }
      })

      it(`gives outputs of [${shape}] that share the same mask, along an order too`, () => {
        const score = scoreOf(shape, 3)
        const order =
          structure.order?.(score, levels.length - 1) ?? createRandom(4).permutation(shape[0]!)
        expect([...order].sort((a, b) => a - b)).toEqual(Array.from(order.keys()))
        const inner = sizeOf(shape.slice(1))
        for (const mask of masks(score, order).slice(1))
          for (let at = 0; at < shape[0]!; at++) {
            const [own, first] = [order[at]!, order[at - (at % structure.share)]!].map(
              (o) => o * inner,
            )
            const same = mask
              .subarray(own, own! + inner)
              .every((bit, i) => bit === mask[first! + i])
            expect(same).toBe(true)
          }
      })

      it(`keeps whole groups of [${shape}] where it has groups`, () => {
        const order = createRandom(5).permutation(shape[0]!)
        const groups = structure.groups?.(shape, order)
        if (groups === undefined) return
        for (const mask of masks(scoreOf(shape, 6), order)) {
          const alive = groups.map((group) => {
            const some = new Uint8Array(Math.max(...group) + 1)
            group.forEach((g, i) => {
              if (mask[i] === 1) some[g] = 1
            })
            return some
          })
          const whole = Uint8Array.from(mask, (_, i) =>
            groups.every((group, p) => alive[p]![group[i]!] === 1) ? 1 : 0,
          )
          expect(whole).toEqual(mask)
        }
      })
    }

    for (const shape of even)
      it(`keeps of [${shape}] the density a level says`, () => {
        const score = scoreOf(shape, 7)
        const levels = structure.levels(shape)
        someOf(levels).forEach((level) => {
          const [kept, density] = [count(structure.project(score, level)), levels[level]!]
          const hasCutBlocks = /^bmwm/.test(name) && shape[2] === 3
          if (structure.exact === true && !hasCutBlocks)
            expect(kept).toBe(Math.round(density * sizeOf(shape)))
          const step = Math.max(SLACK, (levels[level - 1] ?? 1) - density)
          expect(Math.abs(kept / sizeOf(shape) - density)).toBeLessThan(step)
        })
      })

    it('is deterministic, with equal scores too', () => {
      for (const score of [
        scoreOf([8, 8, 3, 3], 8),
        floats([8, 8, 3, 3], new Float32Array(576).fill(1)),
      ])
        for (const level of someOf(structure.levels(score.shape))) {
          const mask = structure.project(score, level)
          expect(structure.project(score, level)).toEqual(mask)
          const other = count(structure.project(scoreOf(score.shape, 9), level))
          if (structure.exact === true) expect(count(mask)).toBe(other)
        }
    })

    it('projects a mask to itself', () => {
      // The blocks of its rows follow from how free pruning would rank weights, which a mask does not tell.
      if (name.startsWith('darb')) return
      const score = scoreOf([12, 8, 3, 3], 14)
      for (const level of someOf(structure.levels(score.shape))) {
        const mask = structure.project(score, level)
        const again = structure.project(floats(score.shape, Float32Array.from(mask)), level)
        expect(mask.every((bit, i) => bit <= again[i]!)).toBe(true)
      }
    })

    it('does not change what it keeps when scores are scaled', () => {
      const score = scoreOf([8, 8, 3, 3], 10)
      const scaled = floats(
        score.shape,
        floatData(score).map((value) => value * 8),
      )
      for (const level of someOf(structure.levels(score.shape)))
        expect(structure.project(scaled, level)).toEqual(structure.project(score, level))
    })

    it('refuses a level it does not have', () => {
      expect(() => structure.project(scoreOf([4, 4], 4), 99)).toThrow(/Cannot prune \[4,4\] to/)
      expect(() => structure.project(scoreOf([4, 4], 4), 99, undefined)).toThrow(name)
    })
  },
)

const subsets = (n: number, k: number): number[][] => {
  if (k === 0) return [[]]
  if (k > n) return []
  return [...subsets(n - 1, k), ...subsets(n - 1, k - 1).map((set) => [...set, n - 1])]
}

// Every mask a structure allows, by trying all choices of a small shape.
describe('projections equal brute force', () => {
  const shapes: Record<string, readonly number[]> = {
    default: [4, 3, 1, 1],
    kernel: [2, 3, 2, 2],
    'kernel/2': [4, 3, 2, 2],
    'kernel/4': [8, 3, 2, 2],
    'block-punched:8/8': [8, 16, 2, 1],
  }
  const grouped = all.filter(
    ({ exact, groups, name }) => exact === true && groups && !name.startsWith('pattern'),
  )
  it.each(grouped.map((structure) => [structure.name, structure] as const))(
    '%s, over all sets of groups',
    (name, structure) => {
      const shape = shapes[name] ?? (structure.share > 4 ? [8, 8, 2, 1] : shapes.default!)
      if (structure.refuses(shape)) throw new Error(`${name} refuses ${shape}`)
      const order = createRandom(11).permutation(shape[0]!)
      const score = scoreOf(shape, 12)
      const group = structure.groups!(shape, order)[0]!
      const sums = new Float64Array(Math.max(...group) + 1)
      floatData(score).forEach((value, i) => {
        sums[group[i]!]! += value
      })
      structure.levels(shape).forEach((density, level) => {
        const sets = subsets(sums.length, Math.round(density * sums.length))
        const best = Math.max(...sets.map((set) => set.reduce((sum, g) => sum + sums[g]!, 0)))
        expect(keptScore(score, structure.project(score, level, order))).toBeCloseTo(best, 5)
      })
    },
  )

  it('pattern, over all kernels and shapes', () => {
    const library = [0x01b, 0x036, 0x0d8]
    const structure = structures.named('pattern:01b,036,0d8')
    for (let seed = 0; seed < 200; seed++) {
      const score = scoreOf([2, 2, 3, 3], seed)
      const value = (kernel: number, shape: number) =>
        Array.from(
          { length: 9 },
          (_, tap) => ((shape >> tap) & 1) * score.data[kernel * 9 + tap]!,
        ).reduce((a, b) => a + b)
      structure.levels(score.shape).forEach((density, level) => {
        if (level === 0) return
        const kernels = Math.round((density * 36) / 4)
        let best = 0
        for (let choice = 0; choice < 4 ** 4; choice++) {
          const ids = Array.from({ length: 4 }, (_, k) => Math.floor(choice / 4 ** k) % 4)
          if (ids.filter((id) => id < 3).length !== kernels) continue
          best = Math.max(
            best,
            ids.reduce((sum, id, k) => sum + (id < 3 ? value(k, library[id]!) : 0), 0),
          )
        }
        expect(keptScore(score, structure.project(score, level))).toBeCloseTo(best, 5)
      })
    }
  })
})

describe('block-punched as published, 8 × 4', () => {
  const structure = structures.named('block-punched:4/8')

  // Scores of the 36 groups of [16, 8, 3, 3]: the sum of squares, and the published sum of four norms.
  const groupScores = (score: FloatTensor, byNorms: boolean) => {
    const squares = new Float64Array(36 * 4)
    score.data.forEach((value, i) => {
      const [tap, c, o] = [i % 9, Math.floor(i / 9) % 8, Math.floor(i / 72)]
      const group = ((o >> 3) * 2 + (c >> 2)) * 9 + tap
      squares[group * 4 + (c & 3)]! += value
    })
    return Array.from({ length: 36 }, (_, g) =>
      [0, 1, 2, 3].reduce((sum, c) => {
        const square = squares[g * 4 + c]!
        return sum + (byNorms ? Math.sqrt(square) : square)
      }, 0),
    )
  }
  const bestOf = (scores: readonly number[], k: number) =>
    scores
      .map((_, g) => g)
      .sort((a, b) => scores[b]! - scores[a]! || a - b)
      .slice(0, k)

  it('keeps the groups of most energy, where ranking by summed norms often keeps others', () => {
    let different = 0
    const level = structure.levels([16, 8, 3, 3]).findIndex((density) => density <= 0.25)
    for (let seed = 0; seed < 100; seed++) {
      const random = createRandom(seed)
      const data = Float32Array.from({ length: 1152 }, () => random.normal() ** 2)
      const score = floats([16, 8, 3, 3], data)
      const [squares, norms] = [groupScores(score, false), groupScores(score, true)]
      const best = bestOf(squares, 9)
      const energy = best.reduce((sum, g) => sum + squares[g]!, 0)
      expect(keptScore(score, structure.project(score, level))).toBeCloseTo(energy, 2)
      if (String(bestOf(norms, 9).sort()) !== String([...best].sort())) different++
    }
    expect(different).toBeGreaterThanOrEqual(50)
  })
})

// Structures that choose inside small sets: the best choice of each set is the best of all.
describe('projections equal the best of each set', () => {
  const bestOf = (values: readonly number[], k: number) =>
    Math.max(...subsets(values.length, k).map((set) => set.reduce((sum, i) => sum + values[i]!, 0)))

  it.each(['nm', 'nm/2', 'nm:8', 'nm:8/4'])('%s, over every group of inputs', (name) => {
    const structure = structures.named(name)
    const shape = [4, 20, 2, 1]
    const [m, order] = [name.includes('8') ? 8 : 4, createRandom(13).permutation(4)]
    const score = scoreOf(shape, 14)
    structure.levels(shape).forEach((_, level) => {
      let best = 0
      for (let row = 0; row < 4; row += structure.share)
        for (let tap = 0; tap < 2; tap++)
          for (let first = 0; first < 20; first += m) {
            const inputs = Array.from({ length: Math.min(m, 20 - first) }, (_, i) => first + i)
            const sums = inputs.map((i) =>
              Array.from(
                { length: structure.share },
                (_, j) => score.data[(order[row + j]! * 20 + i) * 2 + tap]!,
              ).reduce((a, b) => a + b),
            )
            best += bestOf(sums, Math.min(m - level, sums.length))
          }
      expect(keptScore(score, structure.project(score, level, order))).toBeCloseTo(best, 4)
    })
  })

  it('bmwm, over every block of columns', () => {
    const structure = structures.named('bmwm')
    const shape = [3, 3, 2, 2]
    const score = scoreOf(shape, 15)
    structure.levels(shape).forEach((density, level) => {
      let best = 0
      for (let row = 0; row < 3; row++)
        for (let first = 0; first < 12; first += 1 / density)
          best += bestOf(
            [
              ...score.data.subarray(
                row * 12 + first,
                row * 12 + Math.min(12, first + 1 / density),
              ),
            ],
            1,
          )
      expect(keptScore(score, structure.project(score, level))).toBeCloseTo(best, 5)
    })
  })
})

it('names that no structure has are refused', () => {
  expect(() => structures.named('elment/2')).toThrow(/did you mean "element"/)
  expect(() => structures.named('element:3')).toThrow(/takes no argument/)
  expect(() => structures.named('element/3')).toThrow(/expected 2, 4, 8/)
  expect(() => structures.named('pattern:fff')).toThrow(/expected "pattern:HEX/)
  expect(() => structures.named('')).toThrow(/Unknown structure/)
})
