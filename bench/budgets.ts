// What accuracy a network keeps under a budget of arithmetic or of weights: whole runs on real data,
// judged on the test set and timed. HALP's rounds on multiply-accumulates (arXiv 2210.06659, section 4),
// or masks of one structure met by a solver.
// Usage: npm run bench:budgets -- NAME MODEL.onnx --data FOLDER --work FOLDER
//   --channels 0.73                      keep this share of the multiply-accumulates
//   --masks pattern/2 --factor 8         so many times fewer weights in the 3×3 convolutions but the first
//   [--kernel 1]                         in those of another size
//   [--solver gradual --allocator erk|uniform|global] [--epochs 12 --rate 0.05 --seed 1 --threads 2]
//   [--from FOLDER/00-solve.onnx]   goes on from what an earlier run left, its zeros held
//   [--mean]   with --from: the mean of what an earlier run left and of what comes of it
//   [--cycles 2]   with --from: so many trainings one after the other, and the mean of all their ends
//   [--reconstruct]   instead of a solver: masks at once, layers reconstructed, then training under the masks
//   [--preset imagenet] [--shift 0.1 --mirror] [--mixup 1]   how pictures are prepared, and varied
//   [--norms running]                    statistics that norms use while masks come about
import { readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { applyPlan } from '../src/compress/apply.ts'
import type { Plan } from '../src/compress/plan.ts'
import { allocators, solvers } from '../src/compress/registry.ts'
import { choicesOf } from '../src/compress/score.ts'
import { findUnits, planShapes } from '../src/compress/units.ts'
import { analyze } from '../src/ir/analyze.ts'
import type { Model } from '../src/ir/graph.ts'
import { findOp } from '../src/ir/ops/index.ts'
import { readOnnxFile, writeOnnxFile } from '../src/onnx/file.ts'
import { clean, deploy, runPasses } from '../src/passes/index.ts'
import { deviceFacts } from '../src/profile/device.ts'
import { Workbench } from '../src/profile/prepare.ts'
import { compareEverywhere } from '../src/recipes/compare-everywhere.ts'
import { type Progress, untouched } from '../src/recipes/context.ts'
import { observeGains } from '../src/recipes/gains.ts'
import { madeUp } from '../src/recipes/make-up.ts'
import { maskByMagnitude } from '../src/recipes/masking.ts'
import { type Recovering, recover } from '../src/recipes/recover.ts'
import { settle } from '../src/recipes/settle.ts'
import { Steps } from '../src/recipes/steps.ts'
import { averageWeights } from '../src/train/average.ts'
import { kernelsOf, planMasks, trainMasked, weightsOf } from './lib/masked.ts'
import { currentLoad, writeResult } from './lib/results.ts'
import { revision } from './lib/revision.ts'
import { openTask } from './lib/task.ts'
import { timingsOf } from './lib/timings.ts'

/** Rounds of narrowing, and the share of the epochs spent between them. */
const ROUNDS = 4
const ROUND_SHARE = 0.3

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: 'string' },
    work: { type: 'string' },
    channels: { type: 'string' },
    masks: { type: 'string' },
    from: { type: 'string' },
    mean: { type: 'boolean' },
    reconstruct: { type: 'boolean', default: false },
    cycles: { type: 'string', default: '1' },
    factor: { type: 'string', default: '8' },
    kernel: { type: 'string', default: '3' },
    preset: { type: 'string', default: 'cifar10' },
    shift: { type: 'string' },
    mirror: { type: 'boolean', default: false },
    mixup: { type: 'string' },
    norms: { type: 'string', default: 'batch' },
    solver: { type: 'string', default: 'gradual' },
    allocator: { type: 'string', default: 'erk' },
    epochs: { type: 'string', default: '12' },
    rate: { type: 'string', default: '0.05' },
    seed: { type: 'string', default: '1' },
    threads: { type: 'string', default: '2' },
  },
})
const [name, path] = positionals
const { data, work } = options
if (
  !name ||
  !path ||
  !data ||
  !work ||
  (options.channels === undefined) === (options.masks === undefined)
)
  throw new Error(
    'Give NAME MODEL.onnx --data FOLDER --work FOLDER and one of --channels and --masks',
  )
const seed = Number(options.seed)
const epochs = Number(options.epochs)
const norms = normsOf(options.norms)
const mixup = options.mixup === undefined ? {} : { mixup: Number(options.mixup) }
const startedAt = new Date().toISOString()
const load = currentLoad()
const task = await openTask(path, {
  data,
  preset: options.preset,
  ...(options.shift !== undefined && {
    variation: { shift: Number(options.shift), mirror: options.mirror },
  }),
  threads: Number(options.threads),
})
const { original, training, test, engine, lesson, judge } = task
const start = options.from ? runPasses(readOnnxFile(options.from), clean).model : original
const key = [name, path, { ...options, data: '', work: '', mean: undefined }]
const steps = new Steps(work, key, (event) => {
  if (event.kind === 'end')
    console.log(`${event.step}: ${event.summary} (${(event.tookMs / 1000).toFixed(0)} s)`)
})
const before = await judge.score(original)
console.log(`${(macsOf(original) / 1e6).toFixed(2)} M multiply-accumulates, ${percent(before)}`)
const context: Recovering = {
  ...{ request: { training }, original, lesson, engine, steps },
  offer: () => undefined,
}
const found = await (options.from ? again() : options.masks ? masked() : narrowed())
const small = runPasses(found, deploy).model
const after = await judge.score(found)
console.log(
  `${percent(before)} → ${percent(after)}, ${weightsOf(original)} → ${weightsOf(found)} weights`,
)
await engine.close()
const file = join(work, `${name}.onnx`)
writeOnnxFile(file, small)
const bench = new Workbench({ threads: 1 })
const { comparisons } = await compareEverywhere(readOnnxFile(path), small, {
  bench,
  target: 'wasm',
  onProgress: () => undefined,
})
await bench.close()
const code = revision()
const written = writeResult(`budget-${name}`, {
  format: 1,
  kind: 'compress',
  name,
  startedAt,
  ...(code !== undefined && { revision: code }),
  device: deviceFacts(),
  conditions: {
    rounds: comparisons[0]?.timings[0]?.rounds.length ?? 0,
    roundMs: 0,
    threads: 1,
    load: [load, currentLoad()],
  },
  engines: [{ name: engine.name, version: engine.version }],
  command: `npm run bench:budgets -- ${commandText()}`,
  tersor: JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version,
  goal: goalText(),
  before: {
    sizeBytes: statSync(path).size,
    parameters: weightsOf(original),
    macs: macsOf(original),
  },
  after: { sizeBytes: statSync(file).size, parameters: weightsOf(found), macs: macsOf(found) },
  quality: { kind: judge.kind, before, after, samples: test.length, dataset: test.name },
  comparisons: comparisons.map((one) => ({ title: one.title, timings: timingsOf(one) })),
})
console.log(`wrote ${written}`)

/** Goes on from what an earlier run left: what is zero stays so. */
async function again(): Promise<Model> {
  const cycles = Number(options.cycles)
  const mask = Object.fromEntries(
    options.masks === undefined
      ? []
      : kernelsOf(original, Number(options.kernel)).map(({ name }) => [
          name,
          { structure: options.masks!, level: 0 },
        ]),
  )
  const begun = untouched(start)
  let progress: Progress = { ...begun, plan: { ...begun.plan, mask } }
  const stations = [start]
  for (let i = 0; i < cycles; i++) {
    const stretch = { name: `recover-again-${i + 1}`, title: 'Recovering', isLast: true }
    const how = { ...stretch, epochs: epochs / cycles, seed: seed + i, ...mixup }
    progress = await recover(context, progress, how)
    stations.push(progress.model)
  }
  return cycles > 1 || options.mean ? averageWeights(stations) : progress.model
}

/** Masks at once, layers reconstructed, then training under the masks. */
async function reconstructed(plan: Plan): Promise<Model> {
  const shot = maskByMagnitude(original, plan.mask)
  const { model } = await steps.run(
    { name: 'reconstruct', title: 'Reconstructing layers' },
    async () => {
      const request = { training, seed }
      const made = await madeUp({ request, engine, lesson }, original, { model: shot, kept: {} })
      const { model: settled } = await settle(context, made, seed)
      const [plain, after] = [await judge.score(shot), await judge.score(settled)]
      return { data: null, model: settled, summary: `${percent(plain)} → ${percent(after)}` }
    },
  )
  const begun = { ...untouched(model!), plan }
  const stretch = { name: 'recover', title: 'Recovering', isLast: true, epochs, seed, ...mixup }
  return (await recover(context, begun, stretch)).model
}

/** Rounds of scores, knapsack, cut and recovery until the share of the arithmetic is left. */
async function narrowed(): Promise<Model> {
  const share = Number(options.channels)
  let progress: Progress = untouched(original)
  for (let index = 1; index <= ROUNDS; index++) {
    const isLast = index === ROUNDS
    const budget = macsOf(original) * share ** (index / ROUNDS)
    const { model } = await steps.run({ name: `cut-${index}`, title: 'Cutting' }, async () => {
      const cut = await cutTo(progress.model, { budget, round: index })
      return { data: null, model: cut, summary: `${(macsOf(cut) / 1e6).toFixed(2)} M` }
    })
    progress = await recover(
      context,
      { ...progress, model: model! },
      {
        name: `recover-${index}`,
        title: 'Recovering',
        epochs: epochs * (isLast ? 1 - ROUND_SHARE : ROUND_SHARE / (ROUNDS - 1)),
        isLast,
        seed: seed + 100 * index,
        ...mixup,
      },
    )
  }
  return progress.model
}

async function cutTo(model: Model, { budget, round }: { budget: number; round: number }) {
  const scores = await observeGains(model, {
    dataset: training,
    engine,
    lesson,
    seed: seed + round,
  })
  const analysis = analyze(model)
  const units = findUnits(model, analysis)
  const price = (plan: Plan): number => {
    const { type } = planShapes(units, analysis, plan)
    return model.graph.nodes.reduce((sum, node) => {
      if (analysis.cost(node).macs === 0) return sum
      const inputs = node.inputs.map((input) => (input === '' ? undefined : type(input)))
      return sum + findOp(node)!.cost!(inputs, node.outputs.map(type), node).macs
    }, 0)
  }
  const classes = choicesOf(units, scores, { grid: 2 })
  const plan = allocators.named('knapsack').allocate({ classes, price, budget })
  return applyPlan(model, plan, scores, { analysis, units }).model
}

/** Masks of one structure on every convolution of a size but those of images, met while training. */
async function masked(): Promise<Model> {
  const plan = planMasks(original, {
    structure: options.masks!,
    kernel: Number(options.kernel),
    factor: Number(options.factor),
    allocator: allocators.named(options.allocator),
  })
  if (options.reconstruct) return reconstructed(plan)
  const { model } = await steps.run({ name: 'solve', title: 'Training' }, async (_report, at) => {
    const trained = await trainMasked(task, plan, {
      solver: solvers.named(options.solver),
      rate: Number(options.rate),
      epochs,
      seed,
      ...mixup,
      norms,
      checkpoint: { path: at },
    })
    return { data: null, model: trained, summary: `${weightsOf(trained)} weights` }
  })
  return model!
}

function normsOf(given: string): 'batch' | 'running' {
  if (given === 'batch' || given === 'running') return given
  throw new Error(`--norms is batch or running, not ${given}`)
}

function macsOf(model: Model): number {
  const analysis = analyze(model)
  return model.graph.nodes.reduce((sum, node) => sum + analysis.cost(node).macs, 0)
}

function goalText(): string {
  if (options.channels !== undefined)
    return `${percent(Number(options.channels))} of the multiply-accumulates, channels`
  const how = options.reconstruct ? 'at once, layers reconstructed' : `by ${options.solver}`
  return `${options.factor} times fewer weights in ${options.kernel}×${options.kernel} convolutions, ${options.masks} ${how}, spread by ${options.allocator}`
}

// What repeats the run, without the paths of one machine.
function commandText(): string {
  const given = Object.entries({ ...options, data: undefined, work: undefined })
  const forMasks = ['masks', 'factor', 'kernel', 'solver', 'allocator', 'rate', 'norms']
  const flags = given.flatMap(([flag, value]) => {
    if (!value || (options.masks === undefined && forMasks.includes(flag))) return []
    if (value === true) return `--${flag}`
    return `--${flag} ${flag === 'from' ? basename(String(value)) : value}`
  })
  return [name, basename(path!), ...flags].join(' ')
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
