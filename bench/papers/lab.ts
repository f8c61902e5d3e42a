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
}

/** Which tasks there are: DS1, DS2, DS3 pooled and whole, as the specifications name them, and drawn digits. */
export type TaskName = 'mnist' | 'fashion-mnist' | 'cifar10-16' | 'cifar10' | 'glyph16'

/** How a dense network is trained. */
export interface DenseOptions {
  readonly epochs: number
  /** Peak learning rate (default 0.05), cosine to zero after a short warm-up. */
  readonly rate?: number
  readonly seed: number
}

/** Figures of 8-bit gray and colour images: roughly zero mean, unit spread. */
const GRAY = { scale: 1 / 255, mean: [0.2], std: [0.35] }
const COLOUR = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }

/** Folder and sample counts per task. */
const TASKS = {
  mnist: { folder: 'mnist', train: 5000, test: 1000, pool: 1 },
  'fashion-mnist': { folder: 'fashion-mnist', train: 10_000, test: 2000, pool: 1 },
  'cifar10-16': { folder: 'cifar-10-batches-bin', train: 10_000, test: 1000, pool: 2 },
  cifar10: { folder: 'cifar-10-batches-bin', train: 20_000, test: 1000, pool: 1 },
} as const satisfies Record<Exclude<TaskName, 'glyph16'>, unknown>

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
    const { epochs, seed, rate = 0.05 } = options
    const key = fingerprintOf([fingerprintOfModel(untrained), task.name, epochs, rate, seed])
    const folder = join(homedir(), '.cache', 'tersor', 'bench')
    const path = join(folder, `${key}.onnx`)
    if (existsSync(path)) return readOnnxFile(path)
    const { model } = await train(untrained, {
      ...this.trainingOf(task, seed),
      schedule: warmUp(cosine(rate), 0.05),
      epochs,
    })
    mkdirSync(folder, { recursive: true })
    writeOnnxFile(path, model)
    return model
  }

  /** Options of a training run on a task; add schedule and epochs, and whatever is tried. */
  trainingOf(task: Task, seed: number) {
    const { description, augment } = task
    return {
      data: task.train,
      description,
      engine: this.engine,
      optimizer: sgd({ momentum: 0.9, nesterov: true, weightDecay: 1e-4 }),
      batch: 64,
      seed,
      ...(augment && { augment }),
    }
  }

  /** Returns the accuracy on the task's test samples, 0…1. */
  async accuracy(model: Model, { test, description }: Task): Promise<number> {
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
    const { folder, train: trained, test: tested, pool } = TASKS[name]
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
      test: part(opened.test, tested),
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
  return { ...set, length: Math.min(count, set.length), read: (index) => set.read(index) }
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
