// The teacher: another model's outputs for the same batches, computed as needed or once for all.
import { type Batch, batches, type Dataset } from '../data/dataset.ts'
import type { InputDescription } from '../data/describe.ts'
import type { Engine } from '../exec/engine.ts'
import type { Model } from '../ir/graph.ts'
import { floatData, floats, type Tensor } from '../tensor/tensor.ts'
import { OptionError } from '../util/errors.ts'
import { bindBatch } from './bind.ts'

/** Bytes of outputs that may be kept instead of computed again. */
const CACHE_LIMIT = 256 * 2 ** 20

/** Answers with the teacher's outputs, by name. */
export interface Teacher {
  outputs(batch: Batch): Promise<Record<string, Tensor>>
  release(): Promise<void>
}

/** What a teacher is asked with. */
export interface TeacherOptions {
  readonly engine: Engine
  readonly description: InputDescription
  readonly batch: number
  readonly outputs: readonly string[]
  /** Compute every sample's output ahead: right when samples repeat unchanged. */
  readonly cache?: Dataset
}

/** Prepares a model as a teacher. Throws OptionError when it lacks one of the outputs. */
export async function createTeacher(model: Model, options: TeacherOptions): Promise<Teacher> {
  const { engine, description, batch, outputs, cache } = options
  const { model: bound, input } = bindBatch(model, { batch, description })
  const known = bound.graph.outputs.map(({ name }) => name)
  const missing = outputs.find((name) => !known.includes(name))
  if (missing !== undefined)
    throw new OptionError(
      `The teacher has no output "${missing}" (it has ${known.join(', ')}); teacher and model need equal output names`,
    )
  const session = await engine.session(bound)
  const live: Teacher = {
    outputs: ({ input: samples }) => session.run({ [input]: samples }, outputs),
    release: () => session.release(),
  }
  return cache === undefined ? live : remember(live, cache, options)
}

/** In the dataset's own order, so that a resumed run computes the same bytes. */
async function remember(
  live: Teacher,
  dataset: Dataset,
  options: TeacherOptions,
): Promise<Teacher> {
  const { batch, description } = options
  const tables = new Map<string, { data: Float32Array; shape: readonly number[]; row: number }>()
  for await (const part of batches(dataset, { batch, description, rest: 'pad' })) {
    for (const [name, value] of Object.entries(await live.outputs(part))) {
      const row = value.data.length / batch
      if (4 * row * dataset.length > CACHE_LIMIT) return live
      const table = tables.get(name) ?? {
        data: new Float32Array(row * dataset.length),
        shape: value.shape.slice(1),
        row,
      }
      tables.set(name, table)
      part.indices.forEach((index, i) => {
        table.data.set(floatData(value).subarray(i * row, (i + 1) * row), index * row)
      })
    }
  }
  await live.release()
  return {
    release: async () => undefined,
    outputs: async ({ indices }) =>
      Object.fromEntries(
        [...tables].map(([name, { data, shape, row }]) => {
          const picked = new Float32Array(indices.length * row)
          indices.forEach((index, i) => {
            picked.set(data.subarray(index * row, (index + 1) * row), i * row)
          })
          return [name, floats([indices.length, ...shape], picked)]
        }),
      ),
  }
}
