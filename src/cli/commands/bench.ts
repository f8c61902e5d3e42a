// `tersor bench`: files and bundles on targets, timed interleaved in one run.
import { load } from '@tersor/runtime'
import { readOnnxFile } from '../../onnx/file.ts'
import { deviceFacts } from '../../profile/device.ts'
import { type Candidate, candidateOf, compare } from '../../profile/measure.ts'
import { Workbench } from '../../profile/prepare.ts'
import { type TargetName, targetNames } from '../../profile/target.ts'
import { DataError, didYouMean, OptionError } from '../../util/errors.ts'
import { number, option, text } from '../../util/options.ts'
import { defineCommand } from '../command.ts'
import { comparisonTable } from '../comparison.ts'
import { exitCodes } from '../exit.ts'
import { isBundle } from '../paths.ts'

/** The command. */
export const bench = defineCommand({
  name: 'bench',
  summary: 'time models and bundles side by side on one or more targets',
  arguments: [
    { name: 'FILE', help: 'ONNX files and bundles; the first is the baseline', variadic: true },
  ],
  options: {
    target: option(
      text().optional(),
      'NAMES',
      `targets of ONNX files, separated by commas: ${targetNames.join(', ')}`,
      'wasm',
    ),
    threads: option(
      number({ min: 1, integer: true }).default(1),
      'N',
      'threads of foreign runtimes and of bundles; models compiled for the bench run on one',
    ),
    rounds: option(number({ min: 3, integer: true }).default(7), 'N', 'interleaved rounds'),
  },
  example: 'tersor bench model.onnx small.onnx model.tersor/bundle --target wasm,ort-web',
  run: async (paths, options, terminal) => {
    const targets = targetsOf(options.target)
    const workbench = new Workbench({ threads: options.threads })
    const candidates: Candidate[] = []
    try {
      for (const target of targets) {
        const reason = await workbench.missing(target)
        if (reason !== undefined) throw new DataError(`Cannot time on ${target}: ${reason}`)
      }
      for (const path of paths) {
        if (isBundle(path)) candidates.push(await bundleCandidate(path, options.threads))
        else {
          const model = readOnnxFile(path)
          for (const target of targets)
            candidates.push(await workbench.candidate(model, target, `${path} on ${target}`))
        }
      }
      const title = `interleaved, ${options.threads} thread${options.threads === 1 ? '' : 's'} (ONNX files on wasm: 1)`
      const comparison = await compare(title, candidates, { rounds: options.rounds })
      terminal.emit({ device: deviceFacts(), comparison })
      const { cpu, node } = deviceFacts()
      terminal.print(`${cpu}, Node ${node}; ${title}`)
      terminal.print(comparisonTable(comparison))
      return exitCodes.ok
    } finally {
      for (const candidate of candidates) await candidate.close?.()
      await workbench.close()
    }
  },
})

async function bundleCandidate(path: string, threads: number): Promise<Candidate> {
  const bundle = await load(path, { threads })
  const label = bundle.onlyOne === undefined ? '' : `, one thread: ${bundle.onlyOne}`
  const inputs = Object.fromEntries(
    bundle.inputs.map(({ name, shape }) => [
      name,
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i) / 2),
    ]),
  )
  const run = bundle.runSync
  if (run === undefined) throw new DataError(`The bundle "${path}" does not run on this thread`)
  return {
    ...candidateOf(`${path} on wasm${label}`, () => run(inputs)),
    close: async () => bundle.dispose(),
  }
}

function targetsOf(given: string | undefined): TargetName[] {
  return (given ?? 'wasm').split(',').map((word) => {
    const name = targetNames.find((target) => target === word.trim())
    if (name === undefined)
      throw new OptionError(
        `Unknown target "${word}"${didYouMean(word, targetNames)}; there are ${targetNames.join(', ')}`,
      )
    return name
  })
}
