// 1-A3 DARB and BMWM (Ren et al. 2019, arXiv 1911.08020): accuracy at a sixteenth of the weights, and what
// decoding takes. Unit tests hold the rest: one weight per block and nested masks (test/laws/structure.test.ts),
// energies of iid and uneven rows (test/laws/structure-energy.test.ts), bits and round trips of the format
// (test/laws/format.test.ts). The paper's LSTM is not here: no text is among the data.
import { darb as darbFormat } from '../../src/compile/formats/darb.ts'
import { lists } from '../../src/compile/formats/lists.ts'
import type { Plan } from '../../src/compress/plan.ts'
import { structures } from '../../src/compress/registry.ts'
import { gradual } from '../../src/compress/solvers/gradual.ts'
import { sparsify } from '../../src/compress/sparsify.ts'
import { levelFor } from '../../src/compress/structures/densities.ts'
import { int, type Model } from '../../src/ir/graph.ts'
import { readOnnx } from '../../src/onnx/read.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { candidateOf, compare } from '../../src/profile/measure.ts'
import { floatData, floats } from '../../src/tensor/tensor.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import { createRandom } from '../../src/util/random.ts'
import { Network } from '../../src/zoo/network.ts'
import type { Lab } from './lab.ts'
import { meanOf, type Outcome, type Paper } from './paper.ts'

/** Part of the weights that stays. */
const KEEP = 1 / 16
/** Weights of the network that are masked, `[outputs, inputs]`. */
const SHAPES = { 'fc1.weight': [256, 784], 'fc2.weight': [128, 256] } as const
/** What is compared, most regular last; the names of figures. */
const STRUCTURES = {
  element: 'single weights %',
  darb: 'DARB %',
  bmwm: 'BMWM %',
  'block:8x8': 'blocks of 8 × 8 %',
} as const

/** The paper. */
export const darb: Paper = {
  spec: '1-A3',
  title: 'DARB',
  paper: 'https://arxiv.org/abs/1911.08020',
  checks: [
    {
      name: 'accuracy',
      claim:
        'Blocks with one weight, sized by row, lose less than regular ones and blocks of weights.',
      check:
        'A perceptron 784-256-128-10 on Fashion-MNIST with a sixteenth of the weights of both hidden layers, 8 epochs, masks grown for half of them: DARB ≥ BMWM ≥ blocks of 8 × 8, each mean difference more than twice its standard error; DARB’s accuracy ≥ 95 % of single weights’.',
      run: accuracy,
      verdict: (outcomes) =>
        isAbove(outcomes, 'DARB %', 'BMWM %') &&
        isAbove(outcomes, 'BMWM %', 'blocks of 8 × 8 %') &&
        meanOf(outcomes, 'DARB %') >= 0.95 * meanOf(outcomes, 'single weights %'),
    },
    {
      name: 'decoding',
      claim:
        'Blocks are decoded apart from each other, with short indices: faster than lists of columns.',
      check:
        '512 × 1024 weights, a sixteenth of them by DARB, both formats decoded by our own decoders on one thread: weights per second above those of CSR, with fewer bits beside the weights.',
      run: decoding,
    },
  ],
}

// Paired over seeds: the mean of the differences is above zero by twice its standard error.
function isAbove(outcomes: readonly Outcome[], one: string, other: string): boolean {
  const differences = outcomes.map(({ figures }) => figures[one]! - figures[other]!)
  const n = differences.length
  const mean = differences.reduce((a, b) => a + b) / n
  const variance = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / Math.max(1, n - 1)
  return mean > 2 * Math.sqrt(variance / n)
}

async function accuracy(lab: Lab, seed: number): Promise<Outcome> {
  const task = await lab.task('fashion-mnist')
  const dense = await lab.dense(perceptron(seed), task, { epochs: 10, rate: 0.02, seed })
  const figures: Record<string, number> = { 'dense %': await lab.accuracy(dense, task) }
  for (const [structure, figure] of Object.entries(STRUCTURES)) {
    const trained = await sparsify(dense, {
      ...lab.trainingOf(task, seed),
      schedule: warmUp(cosine(0.02), 0.03),
      epochs: 8,
      plan: planOf(structure),
      solver: gradual(),
    })
    // What the file says, not what the run does.
    const small = readOnnx(writeOnnx(trained.model))
    figures[figure] = await lab.accuracy(small, task)
    figures[`times smaller: ${structure}`] = timesSmaller(small)
  }
  return { figures, holds: figures['DARB %']! >= figures['BMWM %']! }
}

function perceptron(seed: number): Model {
  const net = new Network(seed)
  let value = net.node('flat', 'Flatten', [net.image(28, 1)], { axis: int(1) })
  for (const [index, width] of [256, 128].entries())
    value = net.relu(`relu${index + 1}`, net.linear(`fc${index + 1}`, value, width))
  return net.score(value, 128, 10)
}

function planOf(structure: string): Plan {
  const found = structures.named(structure)
  const mask = Object.entries(SHAPES).map(([weight, shape]) => {
    return [weight, { structure, level: levelFor(found, shape, KEEP) }] as const
  })
  return { format: 1, keep: {}, mask: Object.fromEntries(mask) }
}

function timesSmaller(model: Model): number {
  let [elements, left] = [0, 0]
  for (const weight of Object.keys(SHAPES)) {
    const data = floatData(model.weights.get(weight))
    elements += data.length
    left += data.reduce((sum, value) => sum + +(value !== 0), 0)
  }
  return elements / left
}

async function decoding(_: Lab, seed: number): Promise<Outcome> {
  const random = createRandom(seed)
  const shape = [512, 1024]
  const values = Float32Array.from({ length: 512 * 1024 }, () => random.normal())
  const structure = structures.named('darb')
  const squares = floats(
    shape,
    values.map((value) => value * value),
  )
  const mask = structure.project(squares, levelFor(structure, shape, KEEP))
  const data = values.map((value, i) => value * mask[i]!)
  const weight = { data, outputs: 512, columns: 1024, taps: 1 }
  const groups = { width: 1, outputs: Int32Array.from({ length: 512 }, (_, i) => i) } as const
  const into = { data: new Float32Array(data.length), columns: 1024 }
  const [short, plain] = [darbFormat.encode(weight, groups), lists.encode(weight, groups)]
  if (typeof short === 'string' || typeof plain === 'string') throw new Error('internal: refused')
  const { timings } = await compare(
    'decoding',
    [
      candidateOf('lists', () => lists.decode(plain, into)),
      candidateOf('darb', () => darbFormat.decode(short, into)),
    ],
    { rounds: 9 },
  )
  const [listsMs, darbMs] = timings.map(({ medianMs }) => medianMs)
  const kept = plain.weights.length
  const figures = {
    'times CSR’s weights per second': listsMs! / darbMs!,
    'bits per weight': short.structureBits / kept,
    'bits per weight, CSR': plain.structureBits / kept,
  }
  return { figures, holds: listsMs! > darbMs! && short.structureBits < plain.structureBits }
}
