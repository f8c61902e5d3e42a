// Laws of recipes: the neutral goal changes nothing; without data nothing is trained and it says so.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { presetImage } from '../../src/data/describe.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { compress } from '../../src/recipes/compress.ts'
import { recipes } from '../../src/recipes/index.ts'
import { resnetCifar } from '../../src/zoo/resnet-cifar.ts'

const model = resnetCifar({ blocks: 1, widths: [8, 12], size: 16, seed: 4 })
const description = {
  format: 1 as const,
  inputs: { image: presetImage('unit', { shape: [1, 3, 16, 16] }) },
  outputs: { logits: { kind: 'logits' as const } },
}

// One table of prices for all: what one recipe measured, the next reads.
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tersor-recipe-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe.each(recipes.all.map((recipe) => [recipe.name, recipe] as const))('%s', (_, recipe) => {
  const run = (speedup: number) =>
    compress(model, {
      recipe,
      description,
      budget: { speedup },
      threads: 1,
      timing: { rounds: 3, roundMs: 3, warmupMs: 5 },
      workFolder: join(folder, `${recipe.name} ${speedup}`),
      cacheFolder: join(folder, 'prices'),
    })

  it('names its paper', () => {
    expect(recipe.paper).toMatch(/^https:\/\//)
  })

  it('a goal that the model meets already leaves it as it is, bit for bit', async () => {
    const { small, original, plan, notes } = await run(1)
    expect(writeOnnx(small)).toEqual(writeOnnx(original))
    expect(plan.keep).toEqual({})
    expect(notes.join()).toMatch(/nothing was pruned/)
  }, 120_000)

  it('without data it narrows by the weights alone and says that nothing was recovered', async () => {
    const { notes, layers, quality, training } = await run(1.5)
    expect(notes.join()).toMatch(/nothing could be recovered/)
    expect(layers.some(({ done }) => done !== 'unchanged')).toBe(true)
    expect(quality).toBeUndefined()
    expect(training).toEqual([])
  }, 120_000)
})
