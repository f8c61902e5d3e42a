// What sharing zeros costs and gains: single weights, and weights whose zeros 2 or 4 outputs share, as many
// of each; and as many single weights as take the time of the shared ones. All trained alike, timed together.
// Usage: npm run bench:sharing -- MODEL.onnx --data FOLDER --work FOLDER [--factor 4] [--kernel 3]
//   [--steps 600 --rate 0.05 --seed 1 --threads 2] [--preset cifar10]
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { allocators } from '../src/compress/registry.ts'
import { oneShot } from '../src/compress/solvers/one-shot.ts'
import type { Model } from '../src/ir/graph.ts'
import { deviceFacts } from '../src/profile/device.ts'
import { compare } from '../src/profile/measure.ts'
import { Workbench } from '../src/profile/prepare.ts'
import { maskByMagnitude } from '../src/recipes/masking.ts'
import { Steps } from '../src/recipes/steps.ts'
import { planMasks, trainMasked, weightsOf } from './lib/masked.ts'
import { currentLoad, type SharingResult, writeResult } from './lib/results.ts'
import { revision } from './lib/revision.ts'
import { openTask } from './lib/task.ts'
import { timingsOf } from './lib/timings.ts'

/** Factors that single weights are timed at, beside the one that is given: times between are interpolated. */
const STEPS_OF_FACTOR = [1, 1.1, 1.25, 1.45, 1.7, 2]
const ROUNDS = 9

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: 'string' },
    work: { type: 'string' },
    factor: { type: 'string', default: '4' },
    kernel: { type: 'string', default: '3' },
    steps: { type: 'string', default: '600' },
    rate: { type: 'string', default: '0.05' },
    seed: { type: 'string', default: '1' },
    threads: { type: 'string', default: '2' },
    preset: { type: 'string', default: 'cifar10' },
  },
})
const [path] = positionals
const { data, work } = options
if (!path || !data || !work) throw new Error('Give MODEL.onnx --data FOLDER --work FOLDER')
const [factor, kernel, steps, rate, seed] = (
  ['factor', 'kernel', 'steps', 'rate', 'seed'] as const
).map((name) => Number(options[name])) as [number, number, number, number, number]
const startedAt = new Date().toISOString()
const task = await openTask(path, {
  data,
  preset: options.preset,
  threads: Number(options.threads),
})
const { original, judge } = task
const runs = new Steps(work, [basename(path), kernel, steps, rate, seed], (event) => {
  if (event.kind === 'end') console.log(`${event.step}: ${event.summary}`)
})
const bench = new Workbench({ threads: 1 })

type Wanted = Pick<SharingResult['rows'][number], 'structure' | 'factor' | 'like'>
const given: Wanted[] = ['element', 'element/2', 'element/4'].map((structure) => ({
  structure,
  factor,
}))
const wanted = [...given, ...(await alike(given))]
const accuracies: number[] = []
const models: Model[] = []
for (const one of wanted) {
  const name = `${one.structure.replace('/', '-')}-${one.factor.toFixed(2)}`
  const { model, data } = await runs.run({ name, title: name }, async (_report, at) => {
    const trained = await trainMasked(task, planOf(one), {
      solver: oneShot(),
      rate,
      steps,
      seed,
      checkpoint: { path: at },
    })
    const accuracy = await judge.score(trained)
    return { data: { accuracy }, model: trained, summary: `${(100 * accuracy).toFixed(1)} %` }
  })
  models.push(model!)
  accuracies.push(data.accuracy)
}
const load = currentLoad()
const [dense, ...timings] = await timed([original, ...models])
const written = writeResult('sharing', {
  format: 1,
  kind: 'sharing',
  startedAt,
  revision: revision(),
  device: deviceFacts(),
  conditions: { rounds: ROUNDS, roundMs: 0, threads: 1, load: [load, currentLoad()] },
  engines: [{ name: 'wasm', version: process.versions.v8 }],
  model: basename(path, '.onnx'),
  kernel,
  steps,
  seed,
  dense: { accuracy: await judge.score(original), timing: dense! },
  samples: task.test.length,
  rows: wanted.map((one, i) => ({
    ...one,
    weights: weightsOf(models[i]!),
    accuracy: accuracies[i]!,
    timing: timings[i]!,
  })),
})
await bench.close()
await task.engine.close()
console.log(`wrote ${written}`)

/** Single weights in the times of the shared ones: the factors at which they take as long. */
async function alike(shared: readonly Wanted[]): Promise<Wanted[]> {
  const { data: found } = await runs.run({ name: 'factors', title: 'Factors' }, async () => {
    const singles = STEPS_OF_FACTOR.map((times) => ({
      structure: 'element',
      factor: factor * times,
    }))
    const masked = [...singles, ...shared.slice(1)].map((one) =>
      maskByMagnitude(original, planOf(one).mask),
    )
    const times = (await timed(masked)).map(({ minMs }) => minMs)
    const curve = singles.map((one, i) => ({ factor: one.factor, time: times[i]! }))
    const factors = shared.slice(1).map((_, i) => factorAt(curve, times[singles.length + i]!))
    return { data: { factors }, summary: factors.map((f) => f.toFixed(2)).join(', ') }
  })
  return shared.slice(1).map(({ structure }, i) => ({
    structure: 'element',
    factor: found.factors[i]!,
    like: structure,
  }))
}

// Between two factors the logarithms of factor and time lie on a line; beyond the last one it goes on.
function factorAt(curve: readonly { factor: number; time: number }[], time: number): number {
  const at = curve.findIndex((point) => point.time <= time)
  const right = at < 0 ? curve.length - 1 : Math.max(1, at)
  const [a, b] = [curve[right - 1]!, curve[right]!]
  const share = Math.log(time / a.time) / Math.log(b.time / a.time)
  return a.factor * (b.factor / a.factor) ** Math.max(0, share)
}

function planOf({ structure, factor }: Wanted) {
  return planMasks(original, { structure, kernel, factor, allocator: allocators.named('erk') })
}

async function timed(all: readonly Model[]) {
  const candidates = await Promise.all(
    all.map((model, i) => bench.candidate(model, 'wasm', String(i))),
  )
  return timingsOf(await compare('sharing', candidates, { rounds: ROUNDS }))
}
