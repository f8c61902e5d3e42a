// `tersor eval`: accuracy of a model or a bundle on data, or its agreement with another model.
import { load } from '@tersor/runtime'
import { batches, type Dataset, subset } from '../../data/dataset.ts'
import type { InputDescription } from '../../data/describe.ts'
import { openDataset } from '../../data/open.ts'
import { createEngine } from '../../exec/create.ts'
import type { Engine } from '../../exec/engine.ts'
import { readOnnxFile } from '../../onnx/file.ts'
import { predict, shareEqual } from '../../train/metrics.ts'
import { DataError, OptionError } from '../../util/errors.ts'
import { number, oneOf, option, text } from '../../util/options.ts'
import { defineCommand } from '../command.ts'
import { describeOptions, findDescription } from '../describe.ts'
import { exitCodes } from '../exit.ts'
import { formatPercent } from '../../report/format.ts'
import { isBundle } from '../paths.ts'

/** The command. */
export const evaluate = defineCommand({
  name: 'eval',
  summary: 'accuracy on data, or agreement with another model',
  arguments: [{ name: 'MODEL', help: 'an ONNX file or a bundle' }],
  options: {
    data: option(text(), 'PATH', 'a data folder or file, or "generated"'),
    part: option(oneOf(['test', 'train']).default('test'), 'NAME', 'test or train'),
    ...describeOptions,
    reference: option(text().optional(), 'MODEL', 'another ONNX file: report agreement with it'),
    samples: option(number({ min: 1, integer: true }).optional(), 'N', 'only the first N samples'),
    engine: option(oneOf(['ort-node', 'ort-web']).optional(), 'NAME', 'runtime of ONNX files'),
    threads: option(number({ min: 1, integer: true }).optional(), 'N', 'threads of the runtime'),
  },
  example: 'tersor eval resnet20.onnx --data cifar10/ --preset cifar10',
  run: async ([path], options, terminal) => {
    const opened = await openDataset(options.data, { seed: options.seed })
    const whole = opened[options.part]
    const count = Math.min(whole.length, options.samples ?? whole.length)
    const indices = Int32Array.from({ length: count }, (_, i) => i)
    const dataset =
      count === whole.length ? whole : subset(whole, indices, `${whole.name}, first ${count}`)
    if (options.reference === undefined && !dataset.labelled)
      throw new DataError(`"${dataset.name}" has no labels; compare with --reference MODEL`)
    const { name: chosen, threads } = { name: options.engine, threads: options.threads }
    const engine = await createEngine({
      ...(chosen && { name: chosen }),
      ...(threads && { threads }),
      onFallback: (reason) => terminal.note(reason),
    })
    try {
      const ask = async (file: string): Promise<Int32Array> => {
        if (isBundle(file)) return predictBundle(file, dataset)
        const model = readOnnxFile(file)
        const found = findDescription(model, options, opened)
        if (found.guessed) terminal.note(`assuming ${found.source}; state it with --preset`)
        const description = soleInput(found.description.inputs)
        return (await predict(model, { dataset, description, engine, signal: terminal.signal }))
          .classes
      }
      const classes = await ask(path!)
      const expected =
        options.reference === undefined ? await labelsOf(dataset) : await ask(options.reference)
      const value = shareEqual(classes, expected)
      const kind = options.reference === undefined ? 'accuracy' : 'agreement'
      terminal.emit({
        kind,
        value,
        samples: count,
        dataset: dataset.name,
        engine: engineText(engine),
      })
      terminal.print(
        `${kind} ${formatPercent(value)} on ${count} samples of ${dataset.name} (standard error ${(Math.sqrt((value * (1 - value)) / count) * 100).toFixed(1)} points)`,
      )
      return exitCodes.ok
    } finally {
      await engine.close()
    }
  },
})

// A bundle knows how its inputs are prepared and runs one sample at a time.
async function predictBundle(path: string, dataset: Dataset): Promise<Int32Array> {
  const bundle = await load(path)
  try {
    const input = bundle.inputs[0]!
    const output = bundle.outputs[0]!.name
    const size = input.shape[0] ?? 1
    const description = input.description as InputDescription // the same fields, checked on loading
    const classes = new Int32Array(dataset.length)
    for await (const batch of batches(dataset, { batch: size, description, rest: 'pad' })) {
      const data = batch.input.data as Float32Array // images become float32
      const result = (await bundle.run({ [input.name]: data }))[output]!
      const row = result.data.length / size
      batch.indices.forEach((index, i) => {
        classes[index] = highest(result.data.subarray(i * row, (i + 1) * row) as ArrayLike<number>)
      })
    }
    return classes
  } finally {
    bundle.dispose()
  }
}

async function labelsOf(dataset: Dataset): Promise<Int32Array> {
  const labels = new Int32Array(dataset.length)
  for (let i = 0; i < dataset.length; i++) labels[i] = (await dataset.read(i)).label!
  return labels
}

function soleInput(inputs: Readonly<Record<string, InputDescription>>): InputDescription {
  const described = Object.values(inputs)
  if (described.length === 1) return described[0]!
  throw new OptionError(`The model has ${described.length} inputs; data can feed one`)
}

function highest(scores: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i
  return best
}

function engineText({ name, version, threads }: Engine): string {
  return `${name} ${version}, ${threads} threads`
}
