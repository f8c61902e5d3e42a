// The structure laws: the density asked for, nested levels, and the best projection.
import { describe, expect, it } from 'vitest'
import { schedules, structures } from '../../src/compress/registry.ts'
import { largest } from '../../src/compress/structures/grouped.ts'
import { floats, sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'

const shapes = [[6, 4, 3, 3], [5, 7], [8]]

const scoreOf = (shape: readonly number[], seed: number) => {
  const random = createRandom(seed)
  return floats(
    shape,
    Array.from({ length: sizeOf(shape) }, () => random.uniform()),
  )
}

describe.each(structures.all.map((structure) => [structure.name, structure] as const))(
  '%s',
  (_name, structure) => {
    for (const shape of shapes) {
      const groups = structure.groups(shape)
      const levels = structure.levels(shape)
      const count = Math.max(...groups) + 1

      it(`keeps as many groups of [${shape}] as each level says, and whole ones`, () => {
        levels.forEach((kept, level) => {
          const mask = structure.project(scoreOf(shape, 1), level)
          const inside = new Set(Array.from(groups).filter((_, i) => mask[i] === 1))
          const outside = new Set(Array.from(groups).filter((_, i) => mask[i] === 0))
          expect(inside.size).toBe(kept)
          expect(inside.size + outside.size).toBe(count)
        })
      })

      it(`lists levels of [${shape}] from dense down, none empty`, () => {
        expect(levels[0]).toBe(count)
        expect(levels.every((kept, i) => kept > 0 && (i === 0 || kept < levels[i - 1]!))).toBe(true)
      })

      it(`keeps at a lower level of [${shape}] only what a higher one kept`, () => {
        const masks = levels.map((_, level) => structure.project(scoreOf(shape, 2), level))
        for (let level = 1; level < masks.length; level++)
          masks[level]!.forEach((bit, i) => expect(bit).toBeLessThanOrEqual(masks[level - 1]![i]!))
      })
    }

    it('equals brute force where it is exact', () => {
      if (structure.exact !== true) return
      const shape = [4, 3, 1, 1]
      const score = scoreOf(shape, 3)
      const groups = structure.groups(shape)
      const count = Math.max(...groups) + 1
      structure.levels(shape).forEach((kept, level) => {
        const sums = new Float64Array(count)
        groups.forEach((group, i) => {
          sums[group]! += score.data[i]!
        })
        let best = 0
        for (let set = 0; set < 1 << count; set++) {
          const chosen = Array.from(sums).filter((_, group) => (set >> group) & 1)
          if (chosen.length === kept)
            best = Math.max(
              best,
              chosen.reduce((a, b) => a + b, 0),
            )
        }
        const mask = structure.project(score, level)
        const total = score.data.reduce((sum, value, i) => sum + value * mask[i]!, 0)
        expect(total).toBeCloseTo(best, 5)
      })
    })

    it('refuses a level it does not have', () => {
      expect(() => structure.project(scoreOf([4, 4], 4), 99)).toThrow(/levels are 0…/)
    })
  },
)

it('largest() equals sorting on 300 random lists with ties', () => {
  const random = createRandom(5)
  for (let trial = 0; trial < 300; trial++) {
    const values = Array.from({ length: 1 + random.integer(40) }, () => random.integer(8))
    const k = random.integer(values.length + 1)
    const order = values.map((_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b)
    expect(Array.from(largest(values, k))).toEqual(order.slice(0, k).sort((a, b) => a - b))
  }
})

describe.each(schedules.all.map((schedule) => [schedule.name, schedule] as const))(
  'schedule %s',
  (_name, { keepAt }) => {
    it('ends at the final keep, never rises, and stays between it and 1', () => {
      for (const final of [0.1, 0.5, 1]) {
        expect(keepAt(1, final)).toBeCloseTo(final, 12)
        for (let t = 0; t <= 20; t++) {
          const [now, next] = [keepAt(t / 20, final), keepAt((t + 1) / 20, final)]
          expect(now).toBeGreaterThanOrEqual(final - 1e-12)
          expect(now).toBeLessThanOrEqual(1)
          expect(next).toBeLessThanOrEqual(now + 1e-12)
        }
      }
    })
  },
)
