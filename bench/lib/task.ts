// What long trainings of benchmarks start from: a classifier, real data for it, and who judges.
import type { Dataset } from '../../src/data/dataset.ts'
import { type Description, presetImage } from '../../src/data/describe.ts'
import { openDataset } from '../../src/data/open.ts'
import { createEngine } from '../../src/exec/create.ts'
import type { Engine } from '../../src/exec/engine.ts'
import type { Model } from '../../src/ir/graph.ts'
import { readOnnxFile } from '../../src/onnx/file.ts'
import { clean, runPasses } from '../../src/passes/index.ts'
import { type Judge, judgeFor, type Lesson, lessonFor } from '../../src/recipes/teach.ts'
import { checkDescription } from '../../src/train/check-description.ts'

/** A classifier and everything to train and judge it with. Close the engine. */
export interface Task {
  readonly original: Model
  readonly training: Dataset
  readonly test: Dataset
  readonly engine: Engine
  readonly lesson: Lesson
  readonly judge: Judge
}

/** How its pictures are found and prepared. */
export interface TaskOptions {
  readonly data: string
  readonly preset: string
  /** How pictures vary in training; default the data set's own. */
  readonly variation?: Dataset['variation']
  readonly threads: number
}

/** Opens a task. Throws where the original does badly on pictures that are prepared so. */
export async function openTask(
  path: string,
  { data, preset, variation, threads }: TaskOptions,
): Promise<Task> {
  const original = runPasses(readOnnxFile(path), clean).model
  const image = original.graph.inputs[0]!
  const shape = image.shape!.map((dim) => (typeof dim === 'number' ? dim : 1))
  const description: Description = {
    format: 1,
    inputs: { [image.name]: presetImage(preset, { shape }) },
    outputs: { [original.graph.outputs[0]!.name]: { kind: 'logits' } },
  }
  const { train, test } = await openDataset(data)
  const training = variation === undefined ? train : { ...train, variation }
  const engine = await createEngine({ threads })
  const lesson = lessonFor(original, description, { labels: training.labelled })
  const given = { dataset: training, description: lesson.input, engine }
  const { verdict, message } = await checkDescription(original, given)
  if (verdict === 'doubtful') throw new Error(message)
  const judge = await judgeFor(original, lesson, { dataset: test, engine })
  return { original, training, test, engine, lesson, judge }
}
