// What a training step is fed: batches in a seeded order, one-hot labels, the teacher's outputs or targets.
import { type Batch, batchCount, batches } from '../data/dataset.ts'
import type { Tensors } from '../exec/engine.ts'
import { floats } from '../tensor/tensor.ts'
import { DataError } from '../util/errors.ts'
import { createRandom, deriveSeed } from '../util/random.ts'
import type { Feeder } from './loop.ts'
import { drawMixture, type Mixture, mixRows } from './mixup.ts'
import type { TrainRequest } from './request.ts'
import type { StepGraph } from './step-graph.ts'
import { createTeacher, type Teacher } from './teacher.ts'

/** A feeder, and how to let go of what it holds. */
export interface OpenFeeder {
  readonly feeds: Feeder
  release(): Promise<void>
}

/** Returns the feeder of a run; it may begin at any step, and goes on in order from there. */
export async function openFeeder(request: TrainRequest, graph: StepGraph): Promise<OpenFeeder> {
  const { data, description, augment, mixup, seed, batch } = request
  const teacher = await openTeacher(request, graph)
  const perEpoch = batchCount(data, { batch, rest: 'drop' })
  let source: { epoch: number; batches: AsyncGenerator<Batch> } | undefined
  return {
    release: async () => teacher?.release(),
    feeds: async (step) => {
      const epoch = Math.floor(step / perEpoch)
      if (source?.epoch !== epoch) {
        const start = step % perEpoch
        const order = { batch, description, seed, epoch, start, rest: 'drop' } as const
        source = { epoch, batches: batches(data, augment ? { ...order, augment } : order) }
      }
      const { value } = await source.batches.next()
      const random = createRandom(deriveSeed(seed, `mixture of step ${step}`))
      const mixture = mixup === undefined ? undefined : drawMixture(batch, mixup, random)
      return feedsOf(value as Batch, graph, { teacher, mixture })
    },
  }
}

async function feedsOf(
  batch: Batch,
  { input, labels, teacher: taught, classes, model }: StepGraph,
  { teacher, mixture }: { teacher: Teacher | undefined; mixture: Mixture | undefined },
): Promise<Tensors> {
  const mix = (rows: Tensors[string]) => (mixture === undefined ? rows : mixRows(rows, mixture))
  const shapes = Object.fromEntries(model.graph.inputs.map(({ name, shape }) => [name, shape]))
  const feeds: Record<string, Tensors[string]> = { [input]: mix(batch.input) }
  if (labels !== undefined) feeds[labels] = mix(oneHot(batch.labels!, classes))
  const outputs = await teacher?.outputs({ ...batch, input: feeds[input]! })
  for (const [output, name] of Object.entries(taught))
    feeds[name] =
      outputs === undefined ? mix(targetsFor(output, batch, shapes[name]!)) : outputs[output]!
  return feeds
}

function targetsFor(
  output: string,
  { targets }: Batch,
  expected: readonly (number | string)[] | undefined,
): Tensors[string] {
  const [, ...shape] = targets!.shape
  if (`${shape}` === `${expected?.slice(1)}`) return targets!
  throw new DataError(
    `The samples have targets of the shape [${shape}], "${output}" has [${expected?.slice(1)}]`,
  )
}

async function openTeacher(
  { loss, teacher, engine, description, data, augment, mixup, batch, steps }: TrainRequest,
  graph: StepGraph,
): Promise<Teacher | undefined> {
  if (!loss.needs.teacher || teacher === undefined) return undefined
  const repeats = steps > 1.5 * batchCount(data, { batch, rest: 'drop' })
  return createTeacher(teacher, {
    engine,
    description,
    batch,
    outputs: Object.keys(graph.teacher),
    ...(augment === undefined && mixup === undefined && repeats && { cache: data }),
  })
}

function oneHot(labels: Int32Array, classes: number): Tensors[string] {
  const data = new Float32Array(labels.length * classes)
  labels.forEach((label, i) => {
    if (label >= classes)
      throw new DataError(`A sample has the label ${label}, the model gives ${classes} classes`)
    data[i * classes + label] = 1
  })
  return floats([labels.length, classes], data)
}
