// A network whose norms an export folded → the same function with norms, so that it trains like the original did.
import { batches, type Dataset } from '../data/dataset.ts'
import type { InputDescription } from '../data/describe.ts'
import type { Engine } from '../exec/engine.ts'
import { GraphBuilder } from '../ir/builder.ts'
import { int, type Model } from '../ir/graph.ts'
import { type Moments, runPasses, train, unfoldTargets } from '../passes/index.ts'
import { floatData } from '../tensor/tensor.ts'
import { bindBatch } from '../train/bind.ts'

/** What moments are measured on. */
export interface RenormOptions {
  readonly dataset: Dataset
  readonly description: InputDescription
  readonly engine: Engine
  readonly seed: number
  /** Samples in all (default 512) and per batch (default 32). */
  readonly samples?: number
  readonly batch?: number
}

/** True when a model has norms of its own. */
export function hasNorms(model: Model): boolean {
  return model.graph.nodes.some(({ op }) => op === 'BatchNormalization')
}

/** Returns the model with a norm behind every convolution that has none; a model with norms is returned as it is. */
export async function renorm(model: Model, options: RenormOptions): Promise<Model> {
  if (hasNorms(model)) return model
  const targets = unfoldTargets(model)
  if (targets.length === 0) return model
  const moments = await momentsOf(model, targets, options)
  return runPasses(model, train, { moments }).model
}

async function momentsOf(
  model: Model,
  targets: readonly string[],
  { dataset, description, engine, seed, samples = 512, ...options }: RenormOptions,
): Promise<Record<string, Moments>> {
  const batch = Math.min(options.batch ?? 32, dataset.length)
  const { model: bound, input, bindings } = bindBatch(model, { batch, description })
  const b = new GraphBuilder({ base: bound, bindings, prefix: 'moments/' })
  const outputs = targets.map((target) => {
    const others = b.type(target).shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]))
    const average = (value: string) =>
      b.op('ReduceMean', [value, b.ints(others)], { keepdims: int(0) })
    return { mean: average(target), square: average(b.op('Mul', [target, target])) }
  })
  const names = outputs.flatMap(({ mean, square }) => [mean, square])
  const session = await engine.session(b.build(names), { optimize: 'basic' })
  const sums = new Map<string, Float64Array>()
  let count = 0
  try {
    for await (const part of batches(dataset, { batch, description, seed, rest: 'drop' })) {
      const values = await session.run({ [input]: part.input }, names)
      for (const name of names) {
        const found = floatData(values[name]!)
        const sum = sums.get(name) ?? new Float64Array(found.length)
        sums.set(
          name,
          sum.map((total, i) => total + found[i]!),
        )
      }
      if (++count * batch >= samples) break
    }
  } finally {
    await session.release()
  }
  return Object.fromEntries(
    targets.map((target, t) => {
      const mean = sums.get(outputs[t]!.mean)!.map((total) => total / count)
      const square = sums.get(outputs[t]!.square)!.map((total) => total / count)
      const variance = square.map((value, i) => Math.max(0, value - mean[i]! ** 2))
      return [target, { mean, variance }]
    }),
  )
}
