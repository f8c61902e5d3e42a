// How much of a Gaussian weight's energy structures keep, against figures computed apart from this code
// (iid weights; the rows of the last ones have log-normal scales of deviation 0.7).
import { describe, expect, it } from 'vitest'
import { structures } from '../../src/compress/registry.ts'
import { levelFor } from '../../src/compress/structures/densities.ts'
import {
  DEFAULT_LIBRARY,
  patternLibrary,
  patternName,
  patternUniverse,
  patternUsage,
} from '../../src/compress/structures/pattern.ts'
import { readOnnxFile } from '../../src/onnx/file.ts'
import { largest } from '../../src/tensor/largest.ts'
import { type FloatTensor, floatData, floats, sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'

const WITHIN = 0.01

function energies(shape: readonly number[], { seed = 1, rowSigma = 0 } = {}): FloatTensor {
  const random = createRandom(seed)
  const inner = sizeOf(shape.slice(1))
  const data = new Float32Array(sizeOf(shape))
  for (let row = 0; row < shape[0]!; row++) {
    const scale = Math.exp(rowSigma * random.normal())
    for (let i = 0; i < inner; i++) data[row * inner + i] = (scale * random.normal()) ** 2
  }
  return floats(shape, data)
}

// Part of the kernels' energy that the best shape of each keeps.
function keptBy(kernels: readonly FloatTensor[], library: readonly number[]): number {
  let [kept, all] = [0, 0]
  for (const { data } of kernels)
    for (let first = 0; first < data.length; first += 9) {
      let best = 0
      for (const shape of library) {
        let sum = 0
        for (let tap = 0; tap < 9; tap++) if ((shape >> tap) & 1) sum += data[first + tap]!
        best = Math.max(best, sum)
      }
      kept += best
      for (let tap = 0; tap < 9; tap++) all += data[first + tap]!
    }
  return kept / all
}

function keptPart(name: string, score: FloatTensor, keep: number): number {
  const structure = structures.named(name)
  const level = levelFor(structure, score.shape, keep)
  expect(structure.levels(score.shape)[level]).toBeCloseTo(keep, 6)
  const mask = structure.project(score, level)
  let [kept, all] = [0, 0]
  score.data.forEach((value, i) => {
    kept += value * mask[i]!
    all += value
  })
  return kept / all
}

describe('patterns on iid kernels', () => {
  const score = energies([48, 64, 3, 3])
  const random = createRandom(3)
  const someOf = (size: number) =>
    Array.from(random.permutation(56).slice(0, size), (i) => patternUniverse[i]!)

  /** The centre with its neighbours: four squares and four T shapes. */
  const compact = [0x01b, 0x036, 0x0d8, 0x1b0, 0x03a, 0x0b2, 0x0b8, 0x09a]
  it.each([
    ['one of them', 0.446, Array.from({ length: 10 }, () => someOf(1))],
    ['the eight compact ones', 0.698, [compact]],
    ['all 56', 0.829, [patternUniverse]],
  ])('%s keep %f', (_, expected, libraries) => {
    const parts = libraries.map((library) => keptPart(patternName(library), score, 4 / 9))
    const mean = parts.reduce((a, b) => a + b) / parts.length
    expect(Math.abs(mean - expected)).toBeLessThan(WITHIN)
  })

  it('the best four keep 0.633 and more', () => {
    const library = patternLibrary([score], 4)
    expect(keptPart(patternName(library), score, 4 / 9)).toBeGreaterThan(0.633)
  })

  it('a library made for the kernels keeps more than any of 50 at random', () => {
    const own = keptPart(patternName(patternLibrary([score], 8)), score, 4 / 9)
    for (let i = 0; i < 50; i++)
      expect(own).toBeGreaterThan(keptPart(patternName(someOf(8)), score, 4 / 9))
  })

  it('no exchange of one shape for another keeps more than the library made', () => {
    const few = [2, 3, 4].map((seed) => energies([12, 8, 3, 3], { seed }))
    for (const kernels of few) {
      const library = patternLibrary([kernels], 8)
      const most = keptBy([kernels], library)
      library.forEach((_, place) => {
        for (const shape of patternUniverse.filter((one) => !library.includes(one)))
          expect(keptBy([kernels], library.with(place, shape))).toBeLessThanOrEqual(most + 1e-9)
      })
    }
  })

  it('any four of nine keep 0.867', () => {
    const values = Array.from({ length: 3072 }, (_, k) => score.data.subarray(k * 9, k * 9 + 9))
    const best = values.map((kernel) =>
      [...kernel]
        .sort((a, b) => b - a)
        .slice(0, 4)
        .reduce((a, b) => a + b),
    )
    const part = best.reduce((a, b) => a + b) / score.data.reduce((a, b) => a + b)
    expect(Math.abs(part - 0.867)).toBeLessThan(WITHIN)
  })

  it('no shape is preferred: the counts of the universe are uniform (chi-square, 55 degrees)', () => {
    const usage = patternUsage([score], patternUniverse)
    const expected = 3072 / 56
    expect(usage.reduce((a, b) => a + b)).toBe(3072)
    const chi = usage.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
    expect(chi).toBeLessThan(93.2) // 0.999 quantile
  })
})

const shared = process.env.TERSOR_SHARED
describe.skipIf(shared === undefined)('patterns on trained networks (needs TERSOR_SHARED)', () => {
  it.each(['resnet20-cifar10', 'resnet56-cifar10'])(
    'the library of %s keeps more than any of 100 at random',
    async (name) => {
      const model = await readOnnxFile(`${shared}/models/${name}.onnx`)
      const scores = model.graph.constants
        .filter(({ dtype, shape }) => dtype === 'float32' && shape.length === 4)
        .map((value) => model.weights.get(value.name))
        .map((weight) =>
          floats(
            weight.shape,
            floatData(weight).map((w) => w * w),
          ),
        )
      const kernels = scores.filter(({ shape }) => shape[2] === 3)
      const partOf = (library: readonly number[]) => keptBy(kernels, library)
      const random = createRandom(7)
      const parts = Array.from({ length: 100 }, () =>
        partOf(Array.from(random.permutation(56).slice(0, 8), (i) => patternUniverse[i]!)),
      )
      const mean = parts.reduce((a, b) => a + b) / parts.length
      const deviation = Math.sqrt(parts.reduce((sum, part) => sum + (part - mean) ** 2, 0) / 99)
      const own = patternLibrary(scores, 8)
      expect(own).toEqual(DEFAULT_LIBRARY)
      // 2.6 deviations above the mean; no exchange of one shape for another keeps more.
      expect(partOf(own)).toBeGreaterThan(mean + 2.4 * deviation)
      expect(partOf(own)).toBeGreaterThan(Math.max(...parts))
      const usage = patternUsage(scores)
      const frequent = largest(usage, 8)
      expect(partOf(own)).toBeGreaterThanOrEqual(
        partOf(Array.from(frequent, (i) => patternUniverse[i]!)),
      )
    },
  )
})

describe('matrices of 512 × 1024, iid', () => {
  const score = energies([512, 1024])
  it.each([
    ['element', 1 / 8, 0.502],
    ['nm:64', 1 / 8, 0.492],
    ['bmwm', 1 / 8, 0.432],
    ['block-punched:8/8', 1 / 8, 0.164],
    ['element', 1 / 16, 0.325],
    ['nm:64', 1 / 16, 0.314],
    ['bmwm', 1 / 16, 0.284],
    ['block-punched:8/8', 1 / 16, 0.086],
  ])('%s at %f keeps %f', (name, keep, expected) => {
    expect(Math.abs(keptPart(name, score, keep) - expected)).toBeLessThan(WITHIN)
  })

  it('darb keeps what bmwm keeps, within 0.02', () => {
    expect(
      Math.abs(keptPart('darb', score, 1 / 16) - keptPart('bmwm', score, 1 / 16)),
    ).toBeLessThan(0.02)
  })
})

describe('matrices whose rows differ', () => {
  const scores = [2, 3, 4].map((seed) => energies([512, 1024], { rowSigma: 0.7, seed }))
  const meanOf = (name: string) =>
    scores.reduce((sum, score) => sum + keptPart(name, score, 1 / 16), 0) / scores.length

  // How much free pruning keeps depends on the largest of the scales; what part of it the others keep does not.
  it('darb keeps 0.542 where free pruning keeps 0.632, bmwm 0.286', () => {
    const [element, darb, bmwm] = [meanOf('element'), meanOf('darb'), meanOf('bmwm')]
    expect(Math.abs(darb / element - 0.542 / 0.632)).toBeLessThan(WITHIN)
    expect(Math.abs(bmwm - 0.286)).toBeLessThan(WITHIN)
    expect(darb).toBeGreaterThan(1.5 * bmwm)
  })
})
