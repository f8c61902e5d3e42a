// @tersor/runtime/islands: bundles whose declined parts another runtime runs. Compiled stages and
// islands take turns; values are handed on by name.
import { InputError } from './errors.ts'
import { type LoadOptions, load, type Model, type ModelInputs } from './index.ts'
import type { OutputTensor } from './instance.ts'
import type { BundleSource } from './source.ts'

/** Runs a small model once. */
export type RunIsland = (
  inputs: Readonly<Record<string, OutputTensor>>,
) => Promise<Readonly<Record<string, OutputTensor>>>

/** Prepares an ONNX model for another runtime, such as onnxruntime-web. */
export type PrepareIsland = (model: Uint8Array) => Promise<RunIsland>

/**
 * Loads a bundle with islands, which `prepare` makes runnable. Throws BundleError as `load` does; a
 * bundle without islands is loaded like any other.
 *
 * @example
 * const model = await loadWithIslands('/bundle/', async (bytes) => {
 *   const session = await ort.InferenceSession.create(bytes)
 *   return async (inputs) => {
 *     const feeds = Object.entries(inputs).map(([name, { dtype, data, shape }]) =>
 *       [name, new ort.Tensor(dtype, data, shape)])
 *     const results = Object.entries(await session.run(Object.fromEntries(feeds)))
 *     return Object.fromEntries(results.map(([name, value]) =>
 *       [name, { dtype: value.type, shape: value.dims, data: value.data }]))
 *   }
 * })
 */
export async function loadWithIslands(
  source: BundleSource,
  prepare: PrepareIsland,
  options: LoadOptions = {},
): Promise<Model> {
  const { runSync: _, ...model } = await load(source, options)
  if (model.islands === undefined) return model
  const { steps, outputs } = model.islands
  const parts = await Promise.all(
    steps.map(async ({ entry, model: island, takes }) => ({
      entry,
      takes,
      island: island === undefined ? undefined : await prepare(bytesOf(island)),
    })),
  )
  return {
    ...model,
    run: async (inputs) => {
      const values: Record<string, ModelInputs[string] | OutputTensor> = { ...inputs }
      for (const { entry, island, takes } of parts) {
        const given = takes.map((name) => {
          const value = values[name]
          if (value !== undefined) return [name, value] as const
          throw new InputError(`Cannot run: the input "${name}" is missing`)
        })
        const made = island
          ? await island(Object.fromEntries(given.map(([name, v]) => [name, tensorOf(name, v)])))
          : await model.run(Object.fromEntries(given), entry === undefined ? {} : { entry })
        Object.assign(values, made)
      }
      // Every output is made by the last step that has it, or an earlier one.
      return Object.fromEntries(outputs.map((name) => [name, values[name] as OutputTensor]))
    },
  }
}

// An island right behind the model's inputs gets them as they were given.
function tensorOf(name: string, value: ModelInputs[string] | OutputTensor): OutputTensor {
  if ('dtype' in value) return value
  throw new InputError(`Cannot run: give "${name}" as { dtype, shape, data }, an island takes it`)
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
}
