// Text by characters: what comes next, judged by perplexity. Text is read from the folder of data, where there is any.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Dataset } from '../../src/data/dataset.ts'
import { int, type Model } from '../../src/ir/graph.ts'
import type { FloatTensor } from '../../src/tensor/tensor.ts'
import type { Loss } from '../../src/train/losses.ts'
import { scoresOf } from '../../src/train/metrics.ts'
import { adam } from '../../src/train/optimizers.ts'
import { charLstm } from '../../src/zoo/bench-nets.ts'
import type { Lab } from './lab.ts'

/** Where the text lies under the folder of data. */
const FILE = join('text', 'tiny-shakespeare.txt')
/** Part of the samples that is trained on. */
const SHARE = 0.9

/** How much is read. */
export interface CharactersOptions {
  /** Characters from the start of the text, default 200,000. */
  readonly read?: number
  /** How many characters of a sample are to be foretold, default 32. */
  readonly length?: number
}

/** Samples of characters; every one but the first of a sample is to be foretold. */
export interface Characters {
  /** `tokens` int64 [length + 1]; the last tenth of the text is for testing. */
  readonly train: Dataset
  readonly test: Dataset
  readonly length: number
  readonly vocabulary: number
}

/** Returns why there is no text, or undefined where there is. */
export function lacksText(): string | undefined {
  const path = pathOf()
  return existsSync(path) ? undefined : `it needs the text ${path}`
}

/** Opens the text. Throws where `lacksText`. */
export function openCharacters(options: CharactersOptions = {}): Characters {
  const { read = 200_000, length: step = 32 } = options
  const text = readFileSync(pathOf(), 'utf8').slice(0, read)
  const alphabet = [...new Set(text)].sort()
  const tokens = BigInt64Array.from(text, (character) => BigInt(alphabet.indexOf(character)))
  const count = Math.floor((tokens.length - 1) / step)
  const middle = Math.floor(SHARE * count)
  const part = (name: string, first: number, length: number): Dataset => ({
    name: `characters, ${name}`,
    length,
    labelled: false,
    read: (index) => {
      const start = (first + index) * step
      const data = tokens.slice(start, start + step + 1)
      return { kind: 'tensor', tensor: { dtype: 'int64', shape: [step + 1], data } }
    },
  })
  return {
    train: part('train', 0, middle),
    test: part('test', middle, count - middle),
    length: step,
    vocabulary: alphabet.length,
  }
}

/** Returns the untrained LSTM of 128 units; its input is `tokens`, its answers are scores of what comes next. */
export function characterNet({ vocabulary, length }: Characters, seed: number): Model {
  return charLstm(seed, { length: length + 1, vocabulary })
}

/** Options of a training run on characters; add schedule and epochs, and whatever is tried. */
export function charactersTraining(lab: Lab, { train, length }: Characters, seed: number) {
  return {
    data: train,
    description: { kind: 'tensor' } as const,
    engine: lab.engine,
    loss: nextCharacter(length),
    optimizer: adam(),
    batch: 64,
    clipNorm: 1,
    seed,
  }
}

/** Returns e to the mean surprise over the test samples: as if so many characters were equally likely. */
export async function perplexity(
  lab: Lab,
  model: Model,
  { test, length }: Characters,
): Promise<number> {
  const run = { dataset: test, description: { kind: 'tensor' }, engine: lab.engine } as const
  let [surprise, count] = [0, 0]
  for await (const { batch, scores } of scoresOf(model, run)) {
    // The network's output is floats; the batch's tokens are what it was given.
    const values = (scores as FloatTensor).data
    const tokens = batch.input.data as BigInt64Array
    const classes = scores.shape[2]!
    for (let i = 0; i < batch.indices.length; i++)
      for (let t = 0; t < length; t++, count++) {
        const row = i * (length + 1) + t
        const own = values.subarray(row * classes, (row + 1) * classes)
        surprise += logOfSum(own) - own[Number(tokens[row + 1])]!
      }
  }
  return Math.exp(surprise / count)
}

/** −mean log p of each sample's next characters; the samples themselves say which they are. */
const nextCharacter = (length: number): Loss => ({
  name: 'next-character',
  needs: { labels: false, teacher: false },
  scoresClasses: false,
  settings: { length },
  build: (b, { output }) => {
    const part = (value: string, from: number, to: number) =>
      b.op('Slice', [value, b.ints([from]), b.ints([to]), b.ints([1])])
    const guesses = b.op('LogSoftmax', [part(output, 0, length)], { axis: int(-1) })
    const next = b.op('Unsqueeze', [part('tokens', 1, length + 1), b.ints([2])])
    const likelihood = b.op('GatherElements', [guesses, next], { axis: int(2) })
    return b.op('Neg', [b.op('ReduceMean', [likelihood], { keepdims: int(0) })])
  },
})

function logOfSum(values: Float32Array): number {
  const top = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  return top + Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0))
}

function pathOf(): string {
  return join(process.env.TERSOR_DATA ?? '', FILE)
}
