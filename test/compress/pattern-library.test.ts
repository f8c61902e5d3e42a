// The library of patterns shrinks step by step: phases nest, and every kernel is counted in each.
import { describe, expect, it } from 'vitest'
import { patternUniverse } from '../../src/compress/structures/pattern.ts'
import { withLibrary } from '../../src/recipes/patdnn.ts'
import { shrinkLibrary } from '../../src/recipes/pattern-library.ts'
import { resnet8Thin } from '../../src/zoo/bench-nets.ts'

const model = resnet8Thin(3)
const weights = ['stage1.block1.conv1.weight', 'stage3.block1.conv2.weight']
const kernels = weights.reduce((sum, name) => {
  const [outputs, inputs] = model.weights.get(name).shape
  return sum + outputs! * inputs!
}, 0)

describe('shrinkLibrary', () => {
  it('nests libraries of 56, 32, 16 and 8 shapes and counts every kernel in each phase', async () => {
    const asked: string[] = []
    const phases = await shrinkLibrary(weights, async ({ mask }) => {
      asked.push(...Object.values(mask).map(({ structure }) => structure))
      return model
    })
    expect(phases.map(({ left }) => left.length)).toEqual([32, 16, 8])
    expect(phases[0]!.library).toEqual(patternUniverse)
    phases.forEach(({ library, usage, left }, i) => {
      expect(usage.reduce((a, b) => a + b)).toBe(kernels)
      expect(library).toEqual(expect.arrayContaining([...left]))
      const dropped = library.map((shape, s) => (left.includes(shape) ? 0 : usage[s]!))
      const kept = library.map((shape, s) => (left.includes(shape) ? usage[s]! : kernels))
      expect(Math.max(...dropped)).toBeLessThanOrEqual(Math.min(...kept))
      if (i > 0) expect(library).toEqual(phases[i - 1]!.left)
    })
    expect(asked).toHaveLength(3 * weights.length)
    expect(new Set(asked).size).toBe(3)
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
