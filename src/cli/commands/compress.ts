// `tersor MODEL`: the guided flow from a model and a goal to a smaller, faster model.
import { statSync } from 'node:fs'
import { cpus } from 'node:os'
import { openDataset } from '../../data/open.ts'
import { readOnnxFile } from '../../onnx/file.ts'
import { targetNames } from '../../profile/target.ts'
import { recipes } from '../../recipes/index.ts'
import type { Goal } from '../../recipes/recipe.ts'
import { OptionError } from '../../util/errors.ts'
import {
  explicitCommand,
  fraction,
  number,
  type OptionsOf,
  oneOf,
  option,
  ratio,
  text,
  toggle,
  untoggle,
} from '../../util/options.ts'
import { defineCommand } from '../command.ts'
import { describeOptions, findDescription } from '../describe.ts'
import { exitCodes } from '../exit.ts'
import { runFlow } from '../flow.ts'
import { runForecast } from '../forecast.ts'
import { checkWeights } from '../model-facts.ts'
import { nameOf } from '../paths.ts'
import { printRun } from '../result.ts'
import { packageVersion } from '../version.ts'
import { parseState, wayOptions } from '../ways.ts'

/** Options of the guided flow; the demo shares them. */
export const compressOptions = {
  data: option(
    text().optional(),
    'PATH',
    'samples to recover with: a folder, a file, or "generated"',
  ),
  ...describeOptions,
  target: option(
    oneOf(['wasm', 'ort-web', 'ort-node']).default('wasm'),
    'NAME',
    `where it must be fast: ${targetNames.join(', ')}`,
  ),
  speedup: option(
    ratio().optional(),
    'RATIO',
    'goal: times faster than the model as it is',
    '1.5 unless --latency is given',
  ),
  latency: option(
    number({ min: 0 }).optional(),
    'MS',
    'goal: milliseconds per run, instead of --speedup',
  ),
  accuracyDrop: option(
    fraction().optional(),
    'FRACTION',
    'largest acceptable loss: 0.01 is one point',
  ),
  epochs: option(
    number({ min: 0 }).optional(),
    'N',
    'passes over the data for recovery in all',
    "the recipe's",
  ),
  labels: untoggle('ignore the labels of the data: the original model teaches'),
  state: wayOptions.state,
  recipe: option(
    text().default(recipes.all[0]!.name),
    'NAME',
    `method: ${recipes.all.map(({ name }) => name).join(', ')}`,
  ),
  threads: option(
    number({ min: 1, integer: true }).default(cpus().length),
    'N',
    'threads of training',
    'all cores',
  ),
  out: option(text().optional(), 'DIR', 'folder to write', 'MODEL.tersor'),
  resume: toggle('continue the unfinished run in the folder'),
  dryRun: toggle('plan only: say what would be done, how fast it would be, and write nothing'),
}

/** The command. */
export const compress = defineCommand({
  name: 'compress',
  summary: 'make a model faster: measure, prune, recover, compile, report (the default command)',
  arguments: [{ name: 'MODEL', help: 'an ONNX file' }],
  options: compressOptions,
  example: 'tersor resnet20.onnx --data cifar10/ --preset cifar10 --speedup 1.8x',
  run: async ([path], options, terminal) => {
    const goal = goalOf(options)
    const model = readOnnxFile(path!)
    checkWeights(model)
    const opened =
      options.data === undefined
        ? undefined
        : await openDataset(options.data, { seed: options.seed })
    // A plan without samples feeds nothing: how pictures are prepared does not matter then.
    const stated = options.preset ?? options.input
    const preset = options.dryRun && !opened && !stated ? 'unit' : options.preset
    const found = findDescription(model, { ...options, preset }, opened)
    const name = nameOf(path!)
    const out = options.out ?? `${name}.tersor`
    const explicit = {
      ...options,
      out,
      speedup: goal.speedup,
      resume: false,
      dryRun: false,
      ...(found.guessed && { preset: opened?.preset }),
    }
    const command = explicitCommand(
      ['tersor', path!],
      { ...compressOptions, seed: seedOption },
      explicit,
    )
    terminal.note(command)
    if (found.guessed) terminal.note(`assuming ${found.source}; state it with --preset or --input`)
    const request = {
      model,
      name,
      description: found.description,
      training: opened?.train,
      evaluation: opened?.test,
      useLabels: options.labels,
      goal,
      target: options.target,
      threads: options.threads,
      seed: options.seed,
      ...(options.state !== undefined && { state: parseState(options.state) }),
      ...(options.epochs !== undefined && { epochs: options.epochs }),
    }
    const recipe = recipes.named(options.recipe)
    if (options.dryRun) {
      const { reachable } = await runForecast(recipe, request, terminal)
      return reachable ? exitCodes.ok : exitCodes.goalMissed
    }
    const run = await runFlow(
      {
        recipe,
        request,
        sizeBytes: statSync(path!).size,
        description: { source: found.source, value: found.description },
        data: opened,
        out,
        resume: options.resume,
        version: packageVersion(),
        command,
      },
      terminal,
    )
    terminal.emit(run)
    printRun(run, out, terminal)
    return run.goal?.reached === false ? exitCodes.goalMissed : exitCodes.ok
  },
})

const seedOption = option(number({ integer: true }).default(0), 'N', 'seed of everything random')

function goalOf(options: OptionsOf<typeof compressOptions>): Goal {
  const { speedup, latency, accuracyDrop } = options
  if (speedup !== undefined && latency !== undefined)
    throw new OptionError('Give --speedup or --latency, not both')
  return {
    ...(latency === undefined ? { speedup: speedup ?? 1.5 } : { latencyMs: latency }),
    ...(accuracyDrop !== undefined && { accuracyDrop }),
  }
}
