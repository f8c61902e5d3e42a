// Losses, built as graphs on a model's output. Targets are graph inputs that the loop feeds.
import type { GraphBuilder } from '../ir/builder.ts'
import { int } from '../ir/graph.ts'
import { OptionError } from '../util/errors.ts'

/** What a loss compares. */
export interface LossInputs {
  /** The model's output. */
  readonly output: string
  /** Probabilities of the true classes `[n, classes]`, where the loss needs labels. */
  readonly labels: string | undefined
  /** What the teacher gives for the same batch, or the samples' own targets, of the output's shape, where the loss needs it. */
  readonly teacher: string | undefined
}

/** What training makes small. */
export interface Loss {
  readonly name: string
  readonly needs: { readonly labels: boolean; readonly teacher: boolean }
  /** True when the output holds class scores: `[n, classes]`, trailing axes of size 1 removed. */
  readonly scoresClasses: boolean
  /** Settings, for the fingerprint of a checkpoint. */
  readonly settings: Readonly<Record<string, number>>
  /** Adds nodes; returns the name of a scalar, a mean over the batch. */
  build(b: GraphBuilder, inputs: LossInputs): string
}

/** Cross-entropy −Σ p log q with the labels, smoothed by a share of the uniform distribution. */
export function crossEntropy({ smoothing = 0 }: { smoothing?: number } = {}): Loss {
  return {
    name: 'cross-entropy',
    needs: { labels: true, teacher: false },
    scoresClasses: true,
    settings: { smoothing },
    build: (b, { output, labels }) => {
      const classes = classesOf(b, output)
      const smooth =
        smoothing === 0
          ? labels!
          : b.op('Add', [
              b.op('Mul', [labels!, b.scalar(1 - smoothing)]),
              b.scalar(smoothing / classes),
            ])
      return meanCrossEntropy(b, smooth, b.op('LogSoftmax', [output], { axis: int(-1) }))
    },
  }
}

/**
 * Distillation: `share` · T² · KL(teacher ‖ student at temperature T) + (1 − share) · cross-entropy
 * with the labels. A share of 1 needs no labels. @see Hinton, Vinyals and Dean 2015
 */
export function distillation(options: { temperature?: number; share?: number } = {}): Loss {
  const { temperature = 2, share = 1 } = options
  if (!(temperature > 0))
    throw new OptionError(`temperature must be positive, found ${temperature}`)
  if (!(share > 0 && share <= 1))
    throw new OptionError(`share must be above 0 and at most 1, found ${share}`)
  return {
    name: 'distillation',
    needs: { labels: share < 1, teacher: true },
    scoresClasses: true,
    settings: { temperature, share },
    build: (b, { output, labels, teacher }) => {
      classesOf(b, output)
      const soften = (logits: string) =>
        temperature === 1 ? logits : b.op('Mul', [logits, b.scalar(1 / temperature)])
      const student = b.op('LogSoftmax', [soften(output)], { axis: int(-1) })
      const logTeacher = b.op('LogSoftmax', [soften(teacher!)], { axis: int(-1) })
      const p = b.op('Exp', [logTeacher])
      const divergence = meanCrossEntropy(b, p, b.op('Sub', [student, logTeacher]))
      const soft = b.op('Mul', [divergence, b.scalar(share * temperature ** 2)])
      if (share === 1) return soft
      const hard = meanCrossEntropy(b, labels!, b.op('LogSoftmax', [output], { axis: int(-1) }))
      return b.op('Add', [soft, b.op('Mul', [hard, b.scalar(1 - share)])])
    },
  }
}

/** Mean of (output − teacher)²: for outputs that are not class scores. */
export function meanSquaredError(): Loss {
  return {
    name: 'mean-squared-error',
    needs: { labels: false, teacher: true },
    scoresClasses: false,
    settings: {},
    build: (b, { output, teacher }) => {
      const difference = b.op('Sub', [output, teacher!])
      return b.op('ReduceMean', [b.op('Mul', [difference, difference])], { keepdims: int(0) })
    },
  }
}

/** −mean over rows of Σ p · logq. */
function meanCrossEntropy(b: GraphBuilder, p: string, logq: string): string {
  const [rows] = b.type(logq).shape
  const total = b.op('ReduceSum', [b.op('Mul', [p, logq])], { keepdims: int(0) })
  return b.op('Mul', [total, b.scalar(-1 / rows!)])
}

function classesOf(b: GraphBuilder, output: string): number {
  const { shape } = b.type(output)
  if (shape.length === 2) return shape[1]!
  throw new OptionError(
    `"${output}" has the shape [${shape}]; class losses need [n, classes], use meanSquaredError with a teacher`,
  )
}

/** Adds a reshape to `[n, classes]` where class scores carry trailing axes of size 1. */
export function asClassScores(b: GraphBuilder, output: string): string {
  const { shape } = b.type(output)
  const isPadded = shape.length > 2 && shape.slice(2).every((dim) => dim === 1)
  return isPadded ? b.op('Reshape', [output, b.ints([shape[0]!, shape[1]!])]) : output
}
