// Scenes and the judge of detectors that the papers' checks use.
import { describe, expect, it } from 'vitest'
import { boxesOf, type Found, meanAveragePrecision } from '../bench/papers/detection.ts'
import { CELLS, CHANNELS, drawScenes, KINDS, overlap, type Thing } from '../bench/papers/scenes.ts'
import { floatData } from '../src/tensor/tensor.ts'

const square = (x: number, kind = 0): Thing => ({ kind, x, y: 20, width: 20, height: 20 })
const find = (x: number, score: number, kind = 0): Found => ({ ...square(x, kind), score })

/** The answer of a detector that knows. */
function knowing(target: Float32Array): Float32Array {
  const classes = KINDS * CELLS * CELLS
  return target.map((value, i) => (i < classes ? 20 * value - 10 : value))
}

describe('scenes', () => {
  const scenes = drawScenes(40, 7)

  it('are the same for a seed, and others for another', () => {
    expect(drawScenes(2, 7)[1]).toEqual(scenes[1])
    expect(drawScenes(2, 8)[1]).not.toEqual(scenes[1])
  })

  it('say in their targets what is in them: boxes read back are those drawn', () => {
    for (const { things, sample } of scenes) {
      const target = floatData(sample.target!)
      expect(target).toHaveLength(CHANNELS * CELLS * CELLS)
      const found = boxesOf(knowing(target))
      expect(found).toHaveLength(things.length)
      for (const thing of things) {
        const alike = found.filter(({ kind }) => kind === thing.kind)
        expect(Math.max(...alike.map((box) => overlap(thing, box)))).toBeGreaterThan(0.999)
      }
    }
  })
})

describe('mean average precision', () => {
  const scene = { things: [square(20), square(60), square(20, 1), square(20, 2)] }
  const others = [find(20, 0.9, 1), find(20, 0.9, 2)]

  it('is 1 where everything is found and nothing else, 0 where nothing is', () => {
    const found = [[find(20, 0.9), find(60, 0.8), ...others]]
    expect(meanAveragePrecision(found, [scene])).toBe(1)
    expect(meanAveragePrecision([[]], [scene])).toBe(0)
  })

  it('counts a thing once, and needs half of the overlap', () => {
    // Hit, the same again, hit: precision 1, ½, ⅔ at recall ½, ½, 1.
    const twice = [[find(20, 0.9), find(21, 0.8), find(60, 0.7), ...others]]
    expect(meanAveragePrecision(twice, [scene])).toBeCloseTo((0.5 + 0.5 * (2 / 3) + 2) / 3, 9)
    // Shifted by 6 of 20: 14 ÷ 26 is enough; by 7: 13 ÷ 27 is not.
    const off = (by: number) => [[find(20 + by, 0.9), find(60, 0.8), ...others]]
    expect(meanAveragePrecision(off(6), [scene])).toBe(1)
    expect(meanAveragePrecision(off(7), [scene])).toBeCloseTo((0.5 * 0.5 + 2) / 3, 9)
  })

  it('does not depend on the order of scenes, but on that of scores', () => {
    const empty = { things: [] }
    const wrong = [find(50, 0.95)]
    const right = [find(20, 0.9), find(60, 0.8), ...others]
    const first = meanAveragePrecision([wrong, right], [empty, scene])
    expect(first).toBeCloseTo(meanAveragePrecision([right, wrong], [scene, empty]), 9)
    // 0, ½, ⅔, and what is behind counts as much as before: ⅔ throughout.
    expect(first).toBeCloseTo((2 / 3 + 2) / 3, 9)
  })
})
