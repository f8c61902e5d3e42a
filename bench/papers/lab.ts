// What checks share: an engine, small data sets, and dense networks that are trained once per seed.
import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Augment } from '../../src/data/augment.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { ImageDescription, InputDescription } from '../../src/data/describe.ts'
import { openDataset } from '../../src/data/open.ts'
import type { ImageSample } from '../../src/data/sample.ts'
import { createEngine } from '../../src/exec/create.ts'
import type { Engine } from '../../src/exec/engine.ts'
import type { Model } from '../../src/ir/graph.ts'
import { readOnnxFile, writeOnnxFile } from '../../src/onnx/file.ts'
import { fingerprintOf, fingerprintOfModel } from '../../src/recipes/steps.ts'
import type { Loss } from '../../src/train/losses.ts'
import { predict, shareEqual } from '../../src/train/metrics.ts'
import { sgd } from '../../src/train/optimizers.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { glyphDescription, glyphs } from './glyph16.ts'

/** A classification task small enough for minutes on two cores. */
export interface Task {
  readonly name: string
  readonly train: Dataset
  readonly test: Dataset
  readonly description: InputDescription
  readonly augment: Augment | undefined
  readonly classes: number
  /** What is trained for and judged by instead of classes. */
  readonly other?: {
    readonly loss: Loss
    judge(model: Model, engine: Engine): Promise<number>
  }
}

/**
 * Which tasks there are: DS1, DS2, DS3 pooled and whole, as the specifications name them; MNIST in full
 * and pooled CIFAR-10 with 5,000 pictures to judge by, for margins of a point; and drawn digits.
 */
export type TaskName = keyof typeof TASKS | 'glyph16'

/** How a dense network is trained. */
export interface DenseOptions {
  readonly epochs: number
  /** Peak learning rate (default 0.05), cosine to zero after a short warm-up. */
  readonly rate?: number
  /** Samples per step, default 64. */
  readonly batch?: number
  readonly seed: number
}

/** Figures of 8-bit gray and colour images: roughly zero mean, unit spread. */
const GRAY = { scale: 1 / 255, mean: [0.2], std: [0.35] }
const COLOUR = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }

/** Folder and sample counts per task; `held` counts the test samples that follow those of training. */
const TASKS = {
  mnist: { folder: 'mnist', train: 5000, test: 1000, pool: 1 },
  'mnist-whole': { folder: 'mnist', train: 60_000, test: 10_000, pool: 1 },
  'fashion-mnist': { folder: 'fashion-mnist', train: 10_000, test: 2000, pool: 1 },
  'fashion-mnist-14': { folder: 'fashion-mnist', train: 10_000, test: 10_000, pool: 2 },
  'cifar10-16': { folder: 'cifar-10-batches-bin', train: 10_000, test: 1000, pool: 2 },
  'cifar10-16-judged': { folder: 'cifar-10-batches-bin', train: 15_000, held: 5000, pool: 2 },
  cifar10: { folder: 'cifar-10-batches-bin', train: 20_000, test: 1000, pool: 1 },
} as const satisfies Record<string, Figures>

/** Sample counts of a task: its test samples are those of the test files, or held out of the others. */
type Figures = { folder: string; train: number; pool: number } & (
  | { test: number }
  | { held: number }
)

/** Where dense networks and finished seeds are kept between calls. */
export const labFolder = join(homedir(), '.cache', 'tersor', 'bench')

/** Opens the lab. Throws where TERSOR_DATA names no folder with the data sets. */
export async function openLab({ threads }: { readonly threads: number }): Promise<Lab> {
  const folder = process.env.TERSOR_DATA
  if (!folder || !existsSync(folder))
    throw new Error('TERSOR_DATA names no folder; it has to hold mnist, fashion-mnist and CIFAR-10')
  return new Lab(await createEngine({ threads }), folder)
}

/** Shared equipment of all checks. */
export class Lab {
  readonly engine: Engine
  readonly #folder: string
  readonly #tasks = new Map<TaskName, Promise<Task>>()

  constructor(engine: Engine, folder: string) {
    this.engine = engine
    this.#folder = folder
  }

  /** Returns a task; opened once. */
  task(name: TaskName): Promise<Task> {
    const known = this.#tasks.get(name) ?? this.#open(name)
    this.#tasks.set(name, known)
    return known
  }

  /** Returns a network trained on a task, from disk where the same was trained before. */
  async dense(untrained: Model, task: Task, options: DenseOptions): Promise<Model> {
    const { epochs, seed, rate = 0.05, batch } = options
    const how = batch === undefined ? [rate] : [rate, batch]
    const key = fingerprintOf([fingerprintOfModel(untrained), task.name, epochs, ...how, seed])
    const path = join(labFolder, `${key}.onnx`)
    if (existsSync(path)) return readOnnxFile(path)
    const { model } = await train(untrained, {
      ...this.trainingOf(task, seed, batch),
      schedule: warmUp(cosine(rate), 0.05),
      epochs,
    })
    mkdirSync(labFolder, { recursive: true })
    writeOnnxFile(path, model)
    return model
  }

  /** Options of a training run on a task; add schedule and epochs, and whatever is tried. */
  trainingOf(task: Task, seed: number, batch = 64) {
    const { description, augment, other } = task
    return {
      data: task.train,
      description,
      engine: this.engine,
      optimizer: sgd({ momentum: 0.9, nesterov: true, weightDecay: 1e-4 }),
      batch,
      seed,
      ...(augment && { augment }),
      ...(other && { loss: other.loss }),
    }
  }

  /** Returns the accuracy on the task's test samples, or what it is judged by instead, 0…1. */
  async accuracy(model: Model, { test, description, other }: Task): Promise<number> {
    if (other !== undefined) return other.judge(model, this.engine)
    const { classes, labels } = await predict(model, {
      dataset: test,
      description,
      engine: this.engine,
    })
    return shareEqual(classes, labels!)
  }

  close(): Promise<void> {
    return this.engine.close()
  }

  async #open(name: TaskName): Promise<Task> {
    if (name === 'glyph16')
      return {
        name,
        train: glyphs(8000, 1),
        test: glyphs(2000, 2),
        description: glyphDescription,
        augment: undefined,
        classes: 10,
      }
    const figures: Figures = TASKS[name]
    const { folder, train: trained, pool } = figures
    const opened = await openDataset(join(this.#folder, folder))
    const size = opened.train.size!.width / pool
    const isGray = folder !== 'cifar-10-batches-bin'
    const description: ImageDescription = {
      kind: 'image',
      width: size,
      height: size,
      colour: isGray ? 'gray' : 'rgb',
      layout: 'nchw',
      ...(isGray ? GRAY : COLOUR),
    } as ImageDescription
    const part = (set: Dataset, count: number) => pooled(firstSamples(set, count), pool)
    return {
      name,
      train: part(opened.train, trained),
      test:
        'held' in figures
          ? pooled(slice(opened.train, trained, figures.held), pool)
          : part(opened.test, figures.test),
      description,
      augment: isGray ? undefined : { crop: size / 8, flip: true },
      classes: 10,
    }
  }
}

/** Returns the task with only its first training samples. */
export function firstOf(task: Task, count: number): Task {
  return { ...task, name: `${task.name} ${count}`, train: firstSamples(task.train, count) }
}

function firstSamples(set: Dataset, count: number): Dataset {
  return slice(set, 0, Math.min(count, set.length))
}

function slice(set: Dataset, from: number, length: number): Dataset {
  if (from + length > set.length)
    throw new Error(`"${set.name}" has ${set.length} samples, ${from + length} are needed`)
  return { ...set, length, read: (index) => set.read(from + index) }
}

// Averages squares of pixels.
function pooled(set: Dataset, by: number): Dataset {
  if (by === 1) return set
  const { width, height } = set.size!
  return {
    ...set,
    size: { width: width / by, height: height / by },
    read: async (index) => shrink((await set.read(index)) as ImageSample, by),
  }
}

function shrink(sample: ImageSample, by: number): ImageSample {
  const { width, height, channels, pixels } = sample
  const [w, h] = [width / by, height / by]
  const small = new Uint8Array(channels * w * h)
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) {
        let sum = 0
        for (let i = 0; i < by; i++)
          for (let k = 0; k < by; k++)
            sum += pixels[(c * height + y * by + i) * width + x * by + k]!
        small[(c * h + y) * w + x] = Math.round(sum / by ** 2)
      }
  return { ...sample, width: w, height: h, pixels: small }
}
