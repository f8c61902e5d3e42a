// Norms that an export folded come back for training, measured on data, without changing the function.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Dataset } from '../src/data/dataset.ts'
import { presetImage } from '../src/data/describe.ts'
import { generateImages } from '../src/data/readers/generated.ts'
import { createEngine } from '../src/exec/create.ts'
import type { Engine } from '../src/exec/engine.ts'
import type { Model } from '../src/ir/graph.ts'
import { deploy } from '../src/passes/index.ts'
import { runPasses } from '../src/passes/pass.ts'
import { hasNorms, renorm } from '../src/recipes/renorm.ts'
import { settle } from '../src/recipes/settle.ts'
import { lessonFor } from '../src/recipes/teach.ts'
import { floatData, floats } from '../src/tensor/tensor.ts'
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

describe('settle()', () => {
  let engine: Engine
  beforeAll(async () => {
    engine = await createEngine({ threads: 1 })
  })
  afterAll(() => engine.close())

  const network = resnetCifar({ blocks: 1, widths: [8, 12], size: 32, seed: 6 })
  const images = generateImages({ seed: 2, part: 'train', length: 96 })
  const description = {
    format: 1 as const,
    inputs: { image: presetImage('unit', { shape: [1, 3, 32, 32] }) },
    // An untrained network says the same of everything: its numbers tell more than its classes.
    outputs: { logits: { kind: 'tensor' as const } },
  }
  const contextOf = (original: Model, training: Dataset = images) => {
    const lesson = lessonFor(original, description, { labels: false })
    return { original, lesson, engine, request: { training } }
  }

  it('a folded network that lost nothing still says the same, whatever pictures vary', async () => {
    const { model: folded } = runPasses(network, deploy)
    for (const shift of [0, 0.4]) {
      const varied = { ...images, variation: { shift, mirror: true } }
      const { model, agreement } = await settle(contextOf(folded, varied), folded, 1)
      expect(hasNorms(model)).toBe(true)
      expect(agreement).toBeGreaterThan(0.998)
    }
  })

  it('measures anew what a cut or a training left wrong', async () => {
    const weights = network.weights.copy()
    for (const { name } of network.graph.constants)
      if (name.endsWith('running_mean'))
        weights.set(
          name,
          floats(
            weights.get(name).shape,
            floatData(weights.get(name)).map((v) => v + 1),
          ),
        )
    const context = contextOf(network)
    const [right, wrong] = await Promise.all([
      settle(context, network, 1),
      settle(context, { ...network, weights }, 1),
    ])
    expect(wrong.agreement).toBe(right.agreement)
  })
})
