// Make up: weights that stay take over what went, from how the inputs of the original's layers go together.
import { observe, observer } from '../compress/observe.ts'
import { reconstruct } from '../compress/reconstruct.ts'
import { inputGram } from '../compress/statistics/gram.ts'
import { findUnits } from '../compress/units.ts'
import { batches, type Dataset } from '../data/dataset.ts'
import type { Tensors } from '../exec/engine.ts'
import { analyze } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import type { FloatTensor } from '../tensor/tensor.ts'
import { bindBatch } from '../train/bind.ts'
import type { FlowContext, Progress } from './context.ts'
import type { CompressRequest } from './recipe.ts'

/** Layers with more columns are left as they are: their systems take longer than training. */
const MOST_COLUMNS = 1200
/** Samples that are looked at: so many that the grams take about this many multiplications. */
const SAMPLES = { least: 32, most: 512 }
const WORK = 2e11
/** Windows of convolutions are laid out in memory: few at a time. */
const BATCH = 8

/** What of a flow it takes to look at samples. */
type Looking = Pick<FlowContext, 'engine' | 'lesson'> & {
  readonly request: Pick<CompressRequest, 'training' | 'seed' | 'state'>
}

/**
 * Returns a model that was cut (and masked) with the weights that make its layers' outputs nearest to
 * those before, by samples of the training data; without data as it is. Norms are to be measured anew.
 */
export async function madeUp(
  context: Looking,
  before: Model,
  { model, kept }: Pick<Progress, 'model' | 'kept'>,
): Promise<Model> {
  const { training, state = {} } = context.request
  if (training === undefined) return model
  const grams = await observeGrams(context, before, training)
  const analysis = analyze(before)
  return reconstruct(before, model, {
    kept,
    grams,
    analysis,
    units: findUnits(before, analysis, { state }),
  })
}

async function observeGrams(
  { request, engine, lesson }: Looking,
  before: Model,
  dataset: Dataset,
): Promise<Readonly<Record<string, FloatTensor>>> {
  const batch = Math.min(BATCH, dataset.length)
  const { model, input, bindings } = bindBatch(before, { batch, description: lesson.input })
  const watcher = observer(model, {
    statistics: [inputGram(MOST_COLUMNS)],
    units: findUnits(model, analyze(model, { bindings })),
    loss: model.graph.outputs[0]!.name,
    bindings,
  })
  if (watcher.model.graph.outputs.length === 0) return {}
  const count = Math.ceil(samplesFor(watcher.model, { batch, bindings }) / batch)
  const options = { batch, description: lesson.input, seed: request.seed, rest: 'drop' } as const
  async function* feeds(): AsyncGenerator<Tensors> {
    let done = 0
    for await (const part of batches(dataset, options)) {
      yield { [input]: part.input }
      if (++done === count) return
    }
  }
  const session = await engine.session(watcher.model, { optimize: 'basic' })
  try {
    const observed = await observe(session, watcher, feeds())
    return observed['input-gram']!
  } finally {
    await session.release()
  }
}

function samplesFor(
  model: Model,
  { batch, bindings }: { batch: number; bindings: Readonly<Record<string, number>> },
): number {
  const analysis = analyze(model, { bindings })
  const macs = model.graph.nodes.reduce((sum, node) => sum + analysis.cost(node).macs, 0)
  const wanted = Math.round((WORK * batch) / Math.max(1, macs))
  return Math.min(SAMPLES.most, Math.max(SAMPLES.least, wanted))
}
