// Norms that an export folded come back for training, measured on data, without changing the function.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { presetImage } from '../src/data/describe.ts'
import { generateImages } from '../src/data/readers/generated.ts'
import { createEngine } from '../src/exec/create.ts'
import type { Engine } from '../src/exec/engine.ts'
import { deploy } from '../src/passes/index.ts'
import { runPasses } from '../src/passes/pass.ts'
import { hasNorms, renorm } from '../src/recipes/renorm.ts'
import { resnetCifar } from '../src/zoo/resnet-cifar.ts'
import { randomFeeds, runReference } from './support/ort.ts'

describe('renorm()', () => {
  let engine: Engine
  beforeAll(async () => {
    engine = await createEngine({ threads: 1 })
  })
  afterAll(() => engine.close())

  const options = () => ({
    dataset: generateImages({ seed: 2, part: 'train', length: 96 }),
    description: presetImage('unit', { shape: [1, 3, 32, 32] }),
    engine,
    seed: 1,
  })
  const network = resnetCifar({ blocks: 1, widths: [8, 12], size: 32, seed: 6 })

  it('puts a norm behind every folded convolution and computes the same', async () => {
    const { model: folded } = runPasses(network, deploy)
    expect(hasNorms(folded)).toBe(false)
    const normed = await renorm(folded, options())
    const count = (op: string) => normed.graph.nodes.filter((node) => node.op === op).length
    expect(count('BatchNormalization')).toBe(count('Conv'))
    const feeds = randomFeeds(folded, 3, { bindings: { batch: 1 } })
    const [before, after] = [await runReference(folded, feeds), await runReference(normed, feeds)]
    const expected = before.logits!.data as Float32Array
    const found = after.logits!.data as Float32Array
    // Two roundings per channel: sqrt(variance + ε) and the division by it.
    expected.forEach((value, i) => {
      expect(found[i]).toBeCloseTo(value, 4)
    })
  })

  it('leaves a model with norms as it is', async () => {
    expect(await renorm(network, options())).toBe(network)
  })
})
