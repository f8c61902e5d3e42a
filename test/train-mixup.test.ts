import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { presetImage } from '../src/data/describe.ts'
import { generateImages } from '../src/data/readers/generated.ts'
import { createEngine } from '../src/exec/create.ts'
import type { Engine } from '../src/exec/engine.ts'
import type { Model } from '../src/ir/graph.ts'
import { floatData, floats } from '../src/tensor/tensor.ts'
import { averageWeights } from '../src/train/average.ts'
import { crossEntropy, distillation } from '../src/train/losses.ts'
import { drawMixture, mixRows } from '../src/train/mixup.ts'
import { train } from '../src/train/train.ts'
import { OptionError } from '../src/util/errors.ts'
import { createRandom } from '../src/util/random.ts'
import { smallNet } from './train-net.ts'

const description = presetImage('imagenet-half', { shape: [1, 3, 32, 32] })
const data = generateImages({ seed: 1, part: 'train', length: 96 })
const net = smallNet({ seed: 1, width: 4 })
const weightsOf = (model: Model, name: string) => floatData(model.weights.get(name))
let engine: Engine
let folder: string

beforeAll(async () => {
  engine = await createEngine({ threads: 1 })
  folder = mkdtempSync(join(tmpdir(), 'tersor-mixup-'))
})
afterAll(async () => {
  await engine.close()
  rmSync(folder, { recursive: true })
})

test('rows become means of themselves and their partners', () => {
  const rows = floats([2, 2], Float32Array.of(1, 2, 5, 6))
  const mixed = mixRows(rows, {
    partners: Int32Array.of(1, 0),
    shares: Float32Array.of(0.75, 1),
  })
  expect([...floatData(mixed)]).toEqual([2, 3, 5, 6])
})

test('shares follow Beta(α, α): mean 1/2, variance 1 / (8 α + 4)', () => {
  for (const alpha of [0.2, 0.5, 1]) {
    const { partners, shares } = drawMixture(20000, alpha, createRandom(3))
    expect([...partners].sort((a, b) => a - b)[19999]).toBe(19999)
    const mean = shares.reduce((sum, one) => sum + one, 0) / shares.length
    const variance = shares.reduce((sum, one) => sum + (one - mean) ** 2, 0) / shares.length
    expect(mean).toBeCloseTo(0.5, 1)
    expect(variance * (8 * alpha + 4)).toBeCloseTo(1, 1)
  }
})

test('training on mixed samples resumes to the same bytes, with a teacher or with labels', async () => {
  for (const loss of [crossEntropy(), distillation()]) {
    const plainly = {
      data,
      description,
      engine,
      loss,
      teacher: net,
      seed: 4,
      batch: 32,
      steps: 6,
    }
    const options = { ...plainly, mixup: 0.5 }
    const path = join(folder, `mixup-${loss.name}`)
    const whole = await train(net, options)
    const stop = new AbortController()
    const halfway = ({ step }: { step: number }) => {
      if (step === 3) stop.abort()
    }
    const checkpoint = { path, everySteps: 1 }
    const { signal } = stop
    await train(net, { ...options, checkpoint, signal, onProgress: halfway })
    const resumed = await train(net, { ...options, checkpoint })
    const plain = await train(net, plainly)
    const [name] = net.graph.constants.map((one) => one.name)
    expect(weightsOf(resumed.model, name!)).toEqual(weightsOf(whole.model, name!))
    expect(weightsOf(plain.model, name!)).not.toEqual(weightsOf(whole.model, name!))
  }
})

test('what cannot be mixed is refused', async () => {
  const options = { data, description, engine, seed: 4, batch: 32, steps: 1 }
  await expect(train(net, { ...options, mixup: 2 })).rejects.toThrow(OptionError)
  const whole = { dtype: 'int64' as const, shape: [1], data: BigInt64Array.of(1n) }
  expect(() => mixRows(whole, drawMixture(1, 1, createRandom(1)))).toThrow(/mixup off/)
})

test('averageWeights() takes the mean of every float weight, and refuses other shapes', () => {
  const [first] = net.graph.constants.filter(({ dtype }) => dtype === 'float32')
  const name = first!.name
  const twice = { ...net, weights: net.weights.copy() }
  const doubled = weightsOf(net, name).map((value) => 3 * value)
  twice.weights.set(name, floats(first!.shape, doubled))
  const mean = averageWeights([net, twice])
  expect(weightsOf(mean, name)[0]).toBeCloseTo(2 * weightsOf(net, name)[0]!, 6)
  expect(() => averageWeights([net, smallNet({ seed: 1, width: 8 })])).toThrow(/Cannot average/)
})
