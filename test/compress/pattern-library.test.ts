// The library of patterns shrinks step by step: phases nest, and every kernel is counted in each.
import { describe, expect, it } from 'vitest'
import { patternUniverse } from '../../src/compress/structures/pattern.ts'
import { withLibrary } from '../../src/recipes/patdnn.ts'
import { shrinkLibrary, shrunk } from '../../src/recipes/pattern-library.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { resnet8Thin } from '../../src/zoo/bench-nets.ts'

const model = resnet8Thin(3)
const weights = ['stage1.block1.conv1.weight', 'stage3.block1.conv2.weight']
const kernels = weights.reduce((sum, name) => {
  const [outputs, inputs] = model.weights.get(name).shape
  return sum + outputs! * inputs!
}, 0)

describe('shrinkLibrary', () => {
  it('nests libraries of 56 down to 8 shapes or more, and counts every kernel in each phase', async () => {
    const asked: string[] = []
    const phases = await shrinkLibrary(weights, async ({ mask }) => {
      asked.push(...Object.values(mask).map(({ structure }) => structure))
      return model
    })
    expect(phases[0]!.library).toEqual(patternUniverse)
    phases.forEach(({ library, usage, left }, i) => {
      expect(usage.reduce((a, b) => a + b)).toBe(kernels)
      expect(library).toEqual(expect.arrayContaining([...left]))
      const size = [32, 16, 8][i]!
      const isGuarded = (shape: number) => usage[library.indexOf(shape)]! > kernels / (2 * size)
      expect(library.filter((shape) => !left.includes(shape)).some(isGuarded)).toBe(false)
      expect(left.length === size || (left.length > size && left.every(isGuarded))).toBe(true)
      if (i > 0) expect(library).toEqual(phases[i - 1]!.left)
    })
    expect(asked).toHaveLength(3 * weights.length)
    expect(new Set(asked).size).toBe(3)
  })
})

describe('shrunk', () => {
  /** Kernels that fit one shape each: so many of each shape. */
  const kernelsOf = (counts: readonly (readonly [shape: number, count: number])[]) => {
    const kernels = counts.flatMap(([shape, count]) =>
      Array.from({ length: count }, () => Array.from({ length: 9 }, (_, t) => (shape >> t) & 1)),
    )
    return floats([kernels.length, 1, 3, 3], Float32Array.from(kernels.flat()))
  }
  const shapes = patternUniverse.slice(0, 16)

  it('keeps the shapes that most kernels take', () => {
    const score = kernelsOf(shapes.map((shape, i) => [shape, 1 + i]))
    expect(shrunk(shapes, 8, [score])).toEqual(shapes.slice(8))
  })

  it('keeps every shape that more than 1/(2k) of the kernels take', () => {
    const score = kernelsOf(shapes.slice(0, 10).map((shape) => [shape, 5]))
    expect(shrunk(shapes, 8, [score])).toEqual(shapes.slice(0, 10))
  })

  it('counts again after each shape that goes', () => {
    // The two rarest are neighbours (three taps in common): the first to go makes the second the most used.
    const [rare, near, ...others] = [0b000010111, 0b000110011, 0b111010000, 0b110110000]
    const score = kernelsOf([
      [rare!, 2],
      [near!, 3],
      [others[0]!, 4],
      [others[1]!, 91],
    ])
    expect(shrunk([rare!, near!, ...others], 2, [score])).toEqual([near, others[1]])
  })
})

it('withLibrary() names the library and leaves levels, shares and other structures', () => {
  const mask = {
    a: { structure: 'pattern/2', level: 3 },
    b: { structure: 'element', level: 5 },
  }
  expect(withLibrary(mask, [0x01b, 0x036])).toEqual({
    a: { structure: 'pattern:01b,036/2', level: 3 },
    b: { structure: 'element', level: 5 },
  })
})
