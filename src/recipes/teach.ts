// What a model learns from, decided once: the loss, its outputs, and how good a model is.
import type { Dataset } from '../data/dataset.ts'
import type { Description, InputDescription } from '../data/describe.ts'
import type { Engine } from '../exec/engine.ts'
import type { Model } from '../ir/graph.ts'
import { floatData } from '../tensor/tensor.ts'
import { distillation, type Loss, meanSquaredError } from '../train/losses.ts'
import { predict, scoresOf, shareEqual } from '../train/metrics.ts'
import { OptionError } from '../util/errors.ts'
import type { Quality } from './recipe.ts'

/** How a compressed model is taught and judged. */
export interface Lesson {
  readonly input: InputDescription
  /** Outputs the loss applies to. */
  readonly outputs: readonly string[]
  readonly loss: Loss
  /** True when the first output holds class scores, so that predictions can be counted. */
  readonly countsClasses: boolean
  readonly usesLabels: boolean
}

/** Share of the loss that the original model gives where labels give the rest. */
const TEACHER_SHARE = 0.7

/**
 * Returns what to teach with: class scores imitate the original at temperature 3 (with labels for
 * the rest where there are any), other outputs imitate it by squared error.
 */
export function lessonFor(
  model: Model,
  description: Description,
  { labels }: { readonly labels: boolean },
): Lesson {
  const names = model.graph.outputs.map(({ name }) => name)
  const first = names[0]
  const input = description.inputs[model.graph.inputs[0]?.name ?? '']
  if (first === undefined || input === undefined)
    throw new OptionError('The description lacks the input that samples feed; run with --input')
  const countsClasses = ['logits', 'probabilities'].includes(description.outputs[first]?.kind ?? '')
  if (description.outputs[first]?.kind === 'logits') {
    const share = labels ? TEACHER_SHARE : 1
    const loss = distillation({ temperature: 3, share })
    return { input, outputs: [first], loss, countsClasses, usesLabels: labels }
  }
  return { input, outputs: names, loss: meanSquaredError(), countsClasses, usesLabels: false }
}

/** Judges models on one dataset: accuracy where labels may be used, agreement with the original otherwise. */
export interface Judge {
  readonly kind: Quality['kind']
  /** 0…1; higher is better. */
  score(model: Model): Promise<number>
}

/** Returns a judge. Without class scores, agreement is 1 − relative squared error of the first output, at least 0. */
export async function judgeFor(
  original: Model,
  lesson: Lesson,
  { dataset, engine }: { readonly dataset: Dataset; readonly engine: Engine },
): Promise<Judge> {
  const options = { dataset, engine, description: lesson.input }
  if (!lesson.countsClasses) return imitationJudge(original, options)
  if (lesson.usesLabels && dataset.labelled)
    return {
      kind: 'accuracy',
      score: async (model) => {
        const { classes, labels } = await predict(model, options)
        return shareEqual(classes, labels!)
      },
    }
  const reference = (await predict(original, options)).classes
  return {
    kind: 'agreement',
    score: async (model) => shareEqual((await predict(model, options)).classes, reference),
  }
}

async function imitationJudge(
  original: Model,
  options: { dataset: Dataset; engine: Engine; description: InputDescription },
): Promise<Judge> {
  const collect = async (model: Model): Promise<Float32Array[]> => {
    const all: Float32Array[] = []
    for await (const { batch, scores } of scoresOf(model, options)) {
      const row = scores.data.length / scores.shape[0]!
      all.push(floatData(scores).slice(0, batch.indices.length * row))
    }
    return all
  }
  const reference = await collect(original)
  return {
    kind: 'agreement',
    score: async (model) => {
      const found = await collect(model)
      let error = 0
      let energy = 0
      reference.forEach((values, i) => {
        for (let k = 0; k < values.length; k++) {
          error += (values[k]! - found[i]![k]!) ** 2
          energy += values[k]! ** 2
        }
      })
      return Math.max(0, 1 - error / Math.max(energy, Number.MIN_VALUE))
    },
  }
}
