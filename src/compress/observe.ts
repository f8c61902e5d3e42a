// Observe: a loss graph extended by statistics, run over batches, merged as they come.
import type { Session, Tensors } from '../exec/engine.ts'
import { GraphBuilder } from '../ir/builder.ts'
import type { Model } from '../ir/graph.ts'
import { type FloatTensor, floatData, floats, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { DataError } from '../util/errors.ts'
import { createRandom, deriveSeed, type Random } from '../util/random.ts'
import type { Statistic } from './contracts.ts'
import { slopesOf } from './slopes.ts'
import type { UnitMap } from './units.ts'

/** What to observe of which graph. */
export interface ObserveOptions {
  readonly statistics: readonly Statistic[]
  /** Units of the model inside the loss graph; weights are matched by name. */
  readonly units: UnitMap
  /** Name of the loss value, of one element. */
  readonly loss: string
  /** Sizes of dynamic dimensions (default 1). */
  readonly bindings?: Readonly<Record<string, number>>
  /** Weights fed at every run instead of stored in the graph: one session while they change. */
  readonly weightsAsInputs?: boolean | readonly string[]
}

/** A graph whose outputs are one batch of each statistic. */
export interface Observer {
  readonly model: Model
  /** Statistic → weight or class → output name. */
  readonly outputs: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly statistics: readonly Statistic[]
  /** Inputs that are fed random signs, with their shapes. */
  readonly probes: Readonly<Record<string, readonly number[]>>
}

/** Finished statistics: statistic → weight or class → mean over batches. */
export type Observed = Readonly<Record<string, Readonly<Record<string, FloatTensor>>>>

/** Returns a model that computes the statistics of one batch from a graph with a loss. */
export function observer(lossModel: Model, options: ObserveOptions): Observer {
  const { statistics, units, loss, bindings = {}, weightsAsInputs } = options
  const tapsOf = statistics.map((statistic) => statistic.taps(lossModel, units))
  const wrt = new Set(statistics.flatMap((s, i) => (s.needsGradients ? tapsOf[i]! : [])))
  const asInputs = weightsAsInputs === undefined ? {} : { weightsAsInputs }
  const slopes = slopesOf(lossModel, {
    loss,
    wrt: [...wrt],
    products: new Set(statistics.flatMap((statistic) => statistic.products ?? [])),
    options: { bindings, ...asInputs },
  })
  const b = new GraphBuilder({ base: slopes.model, bindings, prefix: 'observe/' })
  const outputs: Record<string, Record<string, string>> = {}
  statistics.forEach((statistic, i) => {
    outputs[statistic.name] = statistic.reduce(b, {
      model: lossModel,
      units,
      taps: tapsOf[i]!,
      gradients: slopes.gradients,
      products: slopes.products,
    })
  })
  const names = Object.values(outputs).flatMap((byKey) => Object.values(byKey))
  return { model: b.build([...new Set(names)]), outputs, statistics, probes: slopes.probes }
}

/**
 * Runs an observer's session over batches and returns the mean of every statistic; batches that are not
 * finite are skipped. Probes of the Hessian are drawn by `seed`.
 */
export async function observe(
  session: Session,
  { outputs, statistics, probes }: Observer,
  batches: AsyncIterable<Tensors> | Iterable<Tensors>,
  { seed = 0 }: { readonly seed?: number } = {},
): Promise<Observed> {
  const random = createRandom(deriveSeed(seed, 'probes'))
  const running = new Map<string, Tensor>()
  let count = 0
  for await (const feeds of batches) {
    const values = await session.run({ ...feeds, ...drawProbes(probes, random) })
    const finite = Object.values(values).every((value) => floatData(value).every(Number.isFinite))
    if (!finite) continue
    count++
    for (const statistic of statistics)
      for (const name of Object.values(outputs[statistic.name]!)) {
        const before = running.get(name)
        const batch = values[name]!
        running.set(name, before === undefined ? batch : statistic.merge(before, batch))
      }
  }
  if (count === 0)
    throw new DataError('Cannot observe the model: no batch gave finite values; check the data')
  const mean = (name: string): FloatTensor => {
    const total = running.get(name)!
    return floats(
      total.shape,
      floatData(total).map((value) => value / count),
    )
  }
  return Object.fromEntries(
    statistics.map((statistic) => [
      statistic.name,
      Object.fromEntries(
        Object.entries(outputs[statistic.name]!).map(([key, name]) => [
          key,
          statistic.finish?.(mean(name)) ?? mean(name),
        ]),
      ),
    ]),
  )
}

function drawProbes(probes: Observer['probes'], random: Random): Tensors {
  const signs = (shape: readonly number[]) =>
    floats(
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => (random.uniform() < 0.5 ? -1 : 1)),
    )
  return Object.fromEntries(Object.entries(probes).map(([name, shape]) => [name, signs(shape)]))
}
