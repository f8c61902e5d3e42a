import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Dataset, subset } from '../src/data/dataset.ts'
import { presetImage } from '../src/data/describe.ts'
import { preprocess } from '../src/data/preprocess.ts'
import { generateImages } from '../src/data/readers/generated.ts'
import { createEngine } from '../src/exec/create.ts'
import type { Engine } from '../src/exec/engine.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import { int, intList, type Model } from '../src/ir/graph.ts'
import { floatData, floats } from '../src/tensor/tensor.ts'
import { recalibrateBatchNorm } from '../src/train/batch-norm.ts'
import { bindBatch } from '../src/train/bind.ts'
import { checkDescription } from '../src/train/check-description.ts'
import { readCheckpoint, writeCheckpoint } from '../src/train/checkpoint.ts'
import { crossEntropy, distillation, type Loss, meanSquaredError } from '../src/train/losses.ts'
import { evaluate, predict, shareEqual } from '../src/train/metrics.ts'
import { adam, type Optimizer, sgd } from '../src/train/optimizers.ts'
import { constantRate, cosine, stepped, warmUp } from '../src/train/schedules.ts'
import { train } from '../src/train/train.ts'
import { DataError, OptionError } from '../src/util/errors.ts'
import { smallNet } from './train-net.ts'

const description = presetImage('imagenet-half', { shape: [1, 3, 32, 32] })
const data = generateImages({ seed: 1, part: 'train', length: 96 })
const net = smallNet({ seed: 1, width: 4 })
const weightsOf = (model: Model, name: string) => floatData(model.weights.get(name))
let engine: Engine
let folder: string

beforeAll(async () => {
  engine = await createEngine({ threads: 2 })
  folder = mkdtempSync(join(tmpdir(), 'tersor-train-'))
})
afterAll(async () => {
  await engine.close()
  rmSync(folder, { recursive: true })
})

describe('optimizers', () => {
  /** Weight after updates with the given gradients, all at rate 0.1. */
  function follow(optimizer: Optimizer, gradients: readonly number[], decays = true): number {
    const weight = Float32Array.of(1)
    const slots = optimizer.slots.map(() => new Float32Array(1))
    gradients.forEach((g, i) => {
      const gradient = Float32Array.of(g)
      optimizer.updateInPlace({ weight, gradient, slots, rate: 0.1, count: i + 1, decays })
    })
    return weight[0]!
  }

  test('sgd follows the gradient, with momentum, Nesterov and decay', () => {
    expect(follow(sgd({ momentum: 0 }), [2, 3])).toBeCloseTo(1 - 0.2 - 0.3, 6)
    expect(follow(sgd(), [2, 3])).toBeCloseTo(1 - 0.2 - 0.1 * (0.9 * 2 + 3), 6)
    expect(follow(sgd({ nesterov: true }), [2])).toBeCloseTo(1 - 0.1 * (2 + 0.9 * 2), 6)
    expect(follow(sgd({ weightDecay: 0.5 }), [2])).toBeCloseTo(1 - 0.1 * 2.5, 6)
    expect(follow(sgd({ weightDecay: 0.5 }), [2], false)).toBeCloseTo(0.8, 6)
  })

  test('adam takes a first step of the learning rate, whatever the gradient', () => {
    expect(follow(adam(), [1e-3])).toBeCloseTo(0.9, 4)
    expect(follow(adam(), [-50])).toBeCloseTo(1.1, 4)
    // Second step by hand: m̂ = (0.9·0.1·2 + 0.1·4)/0.19, v̂ = (0.999·0.001·4 + 0.001·16)/0.001999.
    const expected =
      0.9 -
      (0.1 * ((0.9 * 0.1 * 2 + 0.1 * 4) / 0.19)) / Math.sqrt((0.999 * 0.004 + 0.016) / 0.001999)
    expect(follow(adam(), [2, 4])).toBeCloseTo(expected, 5)
    expect(follow(adam({ weightDecay: 0.5 }), [0])).toBeCloseTo(1 - 0.1 * 0.5, 6)
  })
})

test('schedules give the rates they are named after', () => {
  expect(constantRate(0.3).rateAt(7, 10)).toBe(0.3)
  expect([0, 5, 10].map((step) => cosine(0.4, { final: 0.2 }).rateAt(step, 10))).toEqual([
    0.4,
    expect.closeTo(0.3, 10),
    0.2,
  ])
  expect([4, 5, 8].map((step) => stepped(1, { at: [0.5, 0.8] }).rateAt(step, 10))).toEqual([
    1,
    expect.closeTo(0.1, 10),
    expect.closeTo(0.01, 10),
  ])
  expect([0, 1, 2].map((step) => warmUp(constantRate(1), 0.2).rateAt(step, 10))).toEqual([
    0.5, 1, 1,
  ])
  expect(() => cosine(-1)).toThrow(OptionError)
})

describe('losses', () => {
  const rows = [
    [1, 2, 3],
    [0, 0, 5],
  ]
  const softmax = (row: readonly number[], t = 1) => {
    const e = row.map((value) => Math.exp(value / t))
    return e.map((value) => value / e.reduce((a, b) => a + b))
  }

  async function lossOf(
    loss: Loss,
    feeds: { labels?: number[]; teacher?: number[] },
  ): Promise<number> {
    const b = new GraphBuilder()
    const output = b.input('output', 'float32', [2, 3])
    const labels = feeds.labels && b.input('labels', 'float32', [2, 3])
    const teacher = feeds.teacher && b.input('teacher', 'float32', [2, 3])
    b.output(loss.build(b, { output, labels, teacher }), 'loss')
    const session = await engine.session(b.build())
    const tensors = Object.entries({ output: rows.flat(), ...feeds })
    const results = await session.run(
      Object.fromEntries(tensors.map(([name, values]) => [name, floats([2, 3], values)])),
    )
    await session.release()
    return floatData(results.loss!)[0]!
  }

  test('cross-entropy is the mean of −log q of the label', async () => {
    const expected = -(Math.log(softmax(rows[0]!)[1]!) + Math.log(softmax(rows[1]!)[2]!)) / 2
    const labels = [0, 1, 0, 0, 0, 1]
    expect(await lossOf(crossEntropy(), { labels })).toBeCloseTo(expected, 5)
    const uniform =
      -rows.flatMap((row) => softmax(row)).reduce((sum, q) => sum + Math.log(q), 0) / 6
    expect(await lossOf(crossEntropy({ smoothing: 0.3 }), { labels })).toBeCloseTo(
      0.7 * expected + 0.3 * uniform,
      5,
    )
  })

  test('distillation is zero for equal logits and T²·KL otherwise', async () => {
    expect(await lossOf(distillation({ temperature: 3 }), { teacher: rows.flat() })).toBeCloseTo(
      0,
      6,
    )
    const teacher = [3, 0, 0, 1, 1, 1]
    const kl = [0, 1].map((i) => {
      const p = softmax(teacher.slice(3 * i, 3 * i + 3), 2)
      const q = softmax(rows[i]!, 2)
      return p.reduce((sum, value, k) => sum + value * Math.log(value / q[k]!), 0)
    })
    const expected = (4 * (kl[0]! + kl[1]!)) / 2
    expect(await lossOf(distillation({ temperature: 2 }), { teacher })).toBeCloseTo(expected, 5)
    const labels = [0, 1, 0, 0, 0, 1]
    const mixed = await lossOf(distillation({ temperature: 2, share: 0.25 }), { teacher, labels })
    expect(mixed).toBeCloseTo(
      0.25 * expected + 0.75 * (await lossOf(crossEntropy(), { labels })),
      5,
    )
  })

  test('mean squared error averages over all elements', async () => {
    expect(await lossOf(meanSquaredError(), { teacher: [1, 2, 3, 0, 3, 5] })).toBeCloseTo(1.5, 6)
  })
})

describe('checkpoints', () => {
  const saved = {
    fingerprint: 'f',
    state: { step: 3, nested: [1, 'x'] },
    tensors: { weights: { a: Float32Array.of(1, 2), 'b/c': new Float32Array(0) }, moments: {} },
  }

  test('come back as they were', () => {
    const path = join(folder, 'deep', 'run.ckpt')
    writeCheckpoint(path, saved)
    expect(readCheckpoint(path, 'f')).toEqual({
      ...saved,
      tensors: { weights: saved.tensors.weights },
    })
    expect(readdirSync(join(folder, 'deep'))).toEqual(['run.ckpt'])
    expect(readCheckpoint(join(folder, 'none'), 'f')).toBeUndefined()
  })

  test('of another run, or damaged, are refused by name', () => {
    const path = join(folder, 'bad.ckpt')
    writeCheckpoint(path, saved)
    expect(() => readCheckpoint(path, 'g')).toThrow(/belongs to another run/)
    const bytes = readFileSync(path)
    for (const [content, reason] of [
      [bytes.subarray(0, -1), /truncated/],
      [bytes.subarray(0, 20), /truncated/],
      [Buffer.from('something else'), /does not start like one/],
    ] as const) {
      writeFileSync(path, content)
      expect(() => readCheckpoint(path, 'f')).toThrow(reason)
    }
  })
})

describe('train()', () => {
  const base = { data, description, batch: 16, seed: 1 }

  test('lowers the loss and tells how it goes', async () => {
    const seen: { step: number; leftMs: number | undefined }[] = []
    const { model, history, finished } = await train(net, {
      ...base,
      engine,
      epochs: 10,
      schedule: cosine(0.1),
      onProgress: (progress) => seen.push(progress),
    })
    expect(finished).toBe(true)
    expect(history.at(-1)!.loss).toBeLessThan(0.85 * history[0]!.loss)
    expect(seen.map(({ step }) => step)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
    expect(seen.at(-1)!.leftMs).toBe(0)
    expect(seen[30]!.leftMs).toBeGreaterThan(0)
    expect(model.graph).toBe(net.graph)
    expect(weightsOf(net, 'stem.mean')).toEqual(new Float32Array(4))
  })

  test('keeps running statistics as PyTorch does', async () => {
    const x = Float32Array.from({ length: 16 * 3 * 1024 })
    const sole: Dataset = subset(
      data,
      Array.from({ length: 16 }, (_, i) => i),
      'sole',
    )
    for (let i = 0; i < 16; i++)
      x.set(floatData(preprocess(await sole.read(i), description)), i * 3072)
    const stem = net.graph.nodes.find(({ inputs }) => inputs[1] === 'stem.weight')!
    const graph = {
      ...net.graph,
      outputs: [{ name: stem.outputs[0]!, dtype: 'float32', shape: undefined }],
    } as const
    const session = await engine.session({ ...net, graph })
    const { data: y, shape } = Object.values(
      await session.run({ image: floats([16, 3, 32, 32], x) }),
    )[0]!
    const area = shape[2]! * shape[3]!
    const channel = Array.from({ length: 16 }, (_, n) => [
      ...(y as Float32Array).subarray(n * 4 * area, n * 4 * area + area),
    ]).flat()
    const mean = channel.reduce((a, b) => a + b) / channel.length
    const variance = channel.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (channel.length - 1)

    const { model } = await train(net, { ...base, data: sole, engine, steps: 1 })
    expect(weightsOf(model, 'stem.mean')[0]).toBeCloseTo(0.1 * mean, 4)
    expect(weightsOf(model, 'stem.variance')[0]).toBeCloseTo(0.9 + 0.1 * variance, 4)

    const { model: again } = {
      model: await recalibrateBatchNorm(net, { dataset: sole, description, engine, batch: 16 }),
    }
    expect(weightsOf(again, 'stem.mean')[0]).toBeCloseTo(mean, 4)
    expect(weightsOf(again, 'stem.variance')[0]).toBeCloseTo(variance, 4)
  })

  test('holds masked weights at zero and trains only what it is told to', async () => {
    const mask = Uint8Array.from({ length: weightsOf(net, 'inner.weight').length }, (_, i) => i % 2)
    const { model } = await train(net, {
      ...base,
      engine,
      steps: 3,
      optimizer: adam({ weightDecay: 0.1 }),
      masks: { 'inner.weight': mask },
      trainable: ['inner.weight', 'classifier.bias'],
    })
    const inner = weightsOf(model, 'inner.weight')
    expect(inner.every((value, i) => (value === 0) === (mask[i] === 0))).toBe(true)
    expect(weightsOf(model, 'classifier.bias')).not.toEqual(weightsOf(net, 'classifier.bias'))
    expect(weightsOf(model, 'stem.weight')).toEqual(weightsOf(net, 'stem.weight'))
  })

  test('imitates a teacher without labels', async () => {
    const teacher = smallNet({ seed: 9, width: 4 })
    const unlabelled: Dataset = { ...data, labelled: false }
    const { history } = await train(net, {
      ...base,
      data: unlabelled,
      engine,
      epochs: 5,
      loss: distillation(),
      teacher,
      schedule: cosine(0.1),
    })
    expect(history.at(-1)!.loss).toBeLessThan(0.3 * history[0]!.loss)
  })

  test('under running statistics an imitation of itself changes nothing, under those of batches it does', async () => {
    const moved = async (norms: 'batch' | 'running') => {
      const loss = meanSquaredError()
      const how = { ...base, engine, steps: 3, loss, teacher: net, optimizer: sgd(), norms }
      const { model } = await train(net, how)
      const floats = net.graph.constants.filter(({ dtype }) => dtype === 'float32')
      const worst = floats.map(({ name }) => {
        const before = weightsOf(net, name)
        return weightsOf(model, name).reduce((m, v, i) => Math.max(m, Math.abs(v - before[i]!)), 0)
      })
      return Math.max(...worst)
    }
    expect(await moved('running')).toBeLessThan(1e-5)
    expect(await moved('batch')).toBeGreaterThan(1e-3)
  })

  test('returns the best model that was scored', async () => {
    const scores = [0.2, 0.9, 0.4]
    const models: Model[] = []
    const { model, score } = await train(net, {
      ...base,
      engine,
      steps: 6,
      select: {
        everySteps: 2,
        score: async (candidate) => {
          models.push(candidate)
          return scores[models.length - 1]!
        },
      },
    })
    expect(score).toBe(0.9)
    expect(weightsOf(model, 'stem.weight')).toEqual(weightsOf(models[1]!, 'stem.weight'))
    expect(weightsOf(model, 'stem.weight')).not.toEqual(weightsOf(models[2]!, 'stem.weight'))
  })

  test('stops normally when asked, and continues later', async () => {
    const stop = new AbortController()
    const checkpoint = { path: join(folder, 'stopped.ckpt'), everySteps: 100 }
    const request = { ...base, engine, steps: 4, checkpoint }
    const onProgress = ({ step }: { step: number }) => step === 2 && stop.abort()
    const half = await train(net, { ...request, onProgress, signal: stop.signal })
    expect([half.steps, half.finished]).toEqual([2, false])
    const seen: number[] = []
    const done = await train(net, { ...request, onProgress: ({ step }) => seen.push(step) })
    expect([seen, done.finished]).toEqual([[3, 4], true])
    await expect(train(net, { ...request, seed: 2 })).rejects.toThrow(/another run/)
  })

  test('refuses at the door what cannot work', async () => {
    const request = { ...base, engine, steps: 1 }
    await expect(train(net, { ...request, epochs: 1 })).rejects.toThrow(
      /exactly one of steps and epochs/,
    )
    await expect(train(net, { ...request, batch: 500 })).rejects.toThrow(
      /96 samples, fewer than a batch/,
    )
    await expect(train(net, { ...request, data: { ...data, labelled: false } })).rejects.toThrow(
      DataError,
    )
    await expect(train(net, { ...request, loss: distillation() })).rejects.toThrow(
      /needs a teacher/,
    )
    await expect(train(net, { ...request, trainable: ['stem.weigth'] })).rejects.toThrow(
      /did you mean "stem.weight"/,
    )
    const small = presetImage('unit', { shape: [1, 3, 16, 16] })
    await expect(train(net, { ...request, description: small })).rejects.toThrow(
      /32×32, the input takes 16×16/,
    )
  })

  test('gives the same weights on ort-web, up to rounding', async () => {
    const web = await createEngine({ name: 'ort-web' })
    const request = { ...base, steps: 2, schedule: constantRate(0.01) }
    const there = await train(net, { ...request, engine: web })
    const here = await train(net, { ...request, engine })
    await web.close()
    const [a, b] = [there.model, here.model].map((model) => weightsOf(model, 'inner.weight'))
    const worst = a!.reduce((most, value, i) => Math.max(most, Math.abs(value - b![i]!)), 0)
    // Two steps of rate 0.01 over sums of 4096 products in another order.
    expect(worst).toBeLessThan(1e-4)
  })

  test('says when it diverges', async () => {
    const weights = net.weights.copy()
    weights.set('stem.weight', floats([4, 3, 3, 3], new Float32Array(108).fill(Number.NaN)))
    const failed = train({ ...net, weights }, { ...base, engine, steps: 1 })
    await expect(failed).rejects.toThrow(/Training diverged: the loss of "model" is NaN at step 0/)
  })
})

describe('metrics', () => {
  test('count the last, smaller batch once', async () => {
    const { classes, labels } = await predict(net, {
      dataset: data,
      description,
      engine,
      batch: 40,
    })
    const whole = await predict(net, { dataset: data, description, engine, batch: 96 })
    expect(classes).toEqual(whole.classes)
    expect([...labels!.slice(0, 3)]).toEqual([0, 1, 2])
    const { value, kind, samples } = await evaluate(net, { dataset: data, description, engine })
    expect([value, kind, samples]).toEqual([shareEqual(classes, labels!), 'accuracy', 96])
  })

  test('are agreement, not accuracy, against a reference', async () => {
    const options = { dataset: { ...data, labelled: false }, description, engine }
    await expect(evaluate(net, options)).rejects.toThrow(/has no labels/)
    const { classes } = await predict(net, options)
    classes[0] = (classes[0]! + 1) % 10
    expect(await evaluate(net, { ...options, reference: classes })).toEqual({
      kind: 'agreement',
      value: 95 / 96,
      samples: 96,
    })
  })
})

test('a linear model learns next to nothing of the generated set', async () => {
  const b = new GraphBuilder()
  const x = b.op('Flatten', [b.input('image', 'float32', ['n', 3, 32, 32])], { axis: int(1) })
  const w = b.constant(floats([10, 3072], new Float32Array(30720)), 'w')
  b.output(
    b.op('Gemm', [x, w, b.constant(floats([10], new Float32Array(10)), 'bias')], {
      transB: int(1),
    }),
    'y',
  )
  const many = generateImages({ seed: 1, part: 'train', length: 2000 })
  const options = { data: many, description, engine, epochs: 4, seed: 1, schedule: cosine(0.003) }
  const { model, history } = await train(b.build(), options)
  expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss)
  const unseen = generateImages({ seed: 1, part: 'test', length: 500 })
  const { value } = await evaluate(model, { dataset: unseen, description, engine })
  expect(value).toBeLessThan(0.6)
})

describe('bindBatch()', () => {
  /** A channel shuffle as exporters write it: the batch travels through the second axis. */
  function shuffle(batch: number | string): Model {
    const b = new GraphBuilder({ bindings: { n: 1 } })
    const x = b.input('x', 'float32', [batch, 4, 2, 3])
    const pairs = b.op('Reshape', [x, b.ints([2, 2, 6])])
    const turned = b.op('Transpose', [pairs], { perm: intList([1, 0, 2]) })
    const halves = b.op('Reshape', [turned, b.ints([2, 1, 2, 2, 3])])
    b.output(b.op('Transpose', [halves], { perm: intList([1, 0, 2, 3, 4]) }), 'y')
    return b.build()
  }

  test('frees a batch that constants of reshapes fix', async () => {
    const x = Float32Array.from({ length: 72 }, (_, i) => i)
    const session = await engine.session(shuffle(1))
    const single = await Promise.all(
      [0, 1, 2].map((i) => session.run({ x: floats([1, 4, 2, 3], x.slice(24 * i, 24 * i + 24)) })),
    )
    const { model, shape } = bindBatch(shuffle(1), { batch: 3, description: { kind: 'tensor' } })
    expect(shape).toEqual([3, 4, 2, 3])
    const { y } = await (await engine.session(model)).run({ x: floats([3, 4, 2, 3], x) })
    expect(y!.shape).toEqual([3, 2, 2, 2, 3])
    expect([...(y!.data as Float32Array)]).toEqual(
      single.flatMap((result) => [...(result.y!.data as Float32Array)]),
    )
  })

  test('refuses a model that mixes samples, and sizes that differ', () => {
    const b = new GraphBuilder()
    const x = b.input('x', 'float32', [1, 3, 32, 32])
    b.output(b.op('ReduceMean', [x, b.ints([0])], { keepdims: int(1) }), 'y')
    const mixing = b.build()
    expect(() => bindBatch(mixing, { batch: 4, description })).toThrow(
      /on 4 samples at once: the output "y" would have 1 rows/,
    )
    const small = presetImage('unit', { shape: [1, 3, 16, 16] })
    expect(() => bindBatch(mixing, { batch: 1, description: small })).toThrow(OptionError)
  })
})

test('checkDescription() finds a wrong preset by the statistics of norms', async () => {
  const model = await recalibrateBatchNorm(net, { dataset: data, description, engine, batch: 32 })
  const check = (preset: string) =>
    checkDescription(model, {
      dataset: data,
      engine,
      description: presetImage(preset, { shape: [1, 3, 32, 32] }),
    })
  expect(await check('imagenet-half')).toMatchObject({ verdict: 'fits', evidence: 'batch-norm' })
  const wrong = await check('raw')
  expect(wrong.verdict).toBe('doubtful')
  expect(wrong.message).toMatch(/the preset "imagenet-half" fits better/)
})
