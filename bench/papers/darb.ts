// 1-A3 DARB and BMWM (Ren et al. 2019, arXiv 1911.08020): an LSTM's perplexity at a sixteenth of its weights,
// and what decoding takes. Unit tests hold the rest: one weight per block and nested masks
// (test/laws/structure.test.ts), energies of iid and uneven rows (test/laws/structure-energy.test.ts), bits
// and round trips of the format (test/laws/format.test.ts).
import { darb as darbFormat } from '../../src/compile/formats/darb.ts'
import { lists } from '../../src/compile/formats/lists.ts'
import type { Plan } from '../../src/compress/plan.ts'
import { structures } from '../../src/compress/registry.ts'
import { gradual } from '../../src/compress/solvers/gradual.ts'
import { sparsify } from '../../src/compress/sparsify.ts'
import { levelFor } from '../../src/compress/structures/densities.ts'
import { candidateOf, compare } from '../../src/profile/measure.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { createRandom } from '../../src/util/random.ts'
import {
  characterNet,
  charactersTraining,
  lacksText,
  openCharacters,
  perplexity,
} from './characters.ts'
import type { Lab } from './lab.ts'
import { meanOf, type Outcome, type Paper } from './paper.ts'
import { countWeights, exported } from './pruned.ts'

/** Part of the weights that stays. */
const KEEP = 1 / 16
/** Weights of the LSTM, `[4 gates · 128, inputs]`. */
const SHAPES = { 'lstm1.input': [512, 32], 'lstm1.hidden': [512, 128] } as const
/** What is compared, most regular last; the names of figures. */
const STRUCTURES = {
  element: 'single weights',
  darb: 'DARB',
  bmwm: 'BMWM',
  'block:8x8': 'blocks of 8 × 8',
} as const
/** Characters that are read, how many make a sample, and samples of a step: small, to be quick. */
const [TEXT, BATCH] = [{ read: 100_000, length: 16 }, 32]
/** Passes over the text, dense and pruned, and their peak rates. */
const [DENSE, PRUNED] = [
  { epochs: 4, rate: 0.006 },
  { epochs: 3, rate: 0.004 },
]
/** What DARB's perplexity may exceed that of single weights by. */
const NEAR = 1.05

/** The paper. */
export const darb: Paper = {
  spec: '1-A3',
  title: 'DARB',
  paper: 'https://arxiv.org/abs/1911.08020',
  checks: [
    {
      name: 'perplexity',
      claim:
        'Blocks with one weight, sized by row, lose less than regular ones and blocks of weights.',
      check: `A character LSTM of 128 units, ${DENSE!.epochs} epochs of Adam on 90,000 characters of Shakespeare, then a sixteenth of its weights, ${PRUNED!.epochs} epochs, masks grown for half of them; perplexity on the next 10,000: DARB ≤ BMWM ≤ blocks of 8 × 8, each mean difference more than twice its standard error; DARB within 5 % of single weights, where blocks of 8 × 8 are not.`,
      lacks: lacksText,
      run: perplexities,
      verdict: (outcomes) =>
        isBelow(outcomes, 'DARB', 'BMWM') &&
        isBelow(outcomes, 'BMWM', 'blocks of 8 × 8') &&
        isNear(outcomes, 'DARB') &&
        !isNear(outcomes, 'blocks of 8 × 8'),
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

// Paired over seeds: the mean of the differences is below zero by twice its standard error.
function isBelow(outcomes: readonly Outcome[], one: string, other: string): boolean {
  const differences = outcomes.map(({ figures }) => figures[other]! - figures[one]!)
  const n = differences.length
  const mean = differences.reduce((a, b) => a + b) / n
  const variance = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / Math.max(1, n - 1)
  return mean > 2 * Math.sqrt(variance / n)
}

function isNear(outcomes: readonly Outcome[], figure: string): boolean {
  return meanOf(outcomes, figure) <= NEAR * meanOf(outcomes, 'single weights')
}

async function perplexities(lab: Lab, seed: number): Promise<Outcome> {
  const characters = openCharacters(TEXT)
  const training = ({ epochs, rate }: { epochs: number; rate: number }) => ({
    ...charactersTraining(lab, characters, seed),
    batch: BATCH,
    schedule: warmUp(cosine(rate), 0.05),
    epochs,
  })
  const { model: dense } = await train(characterNet(characters, seed), training(DENSE!))
  const figures: Record<string, number> = { dense: await perplexity(lab, dense, characters) }
  for (const [structure, figure] of Object.entries(STRUCTURES)) {
    const trained = await sparsify(dense, {
      ...training(PRUNED!),
      plan: planOf(structure),
      solver: gradual(),
    })
    // What the file says, not what the run does.
    const small = exported(trained.model)
    const { alive, all } = countWeights(small, Object.keys(SHAPES))
    figures[figure] = await perplexity(lab, small, characters)
    figures[`times smaller: ${structure}`] = all / alive
  }
  const ranked = Object.values(STRUCTURES).map((figure) => figures[figure]!)
  const [single, own, regular, blocks] = ranked as [number, number, number, number]
  return {
    figures,
    holds: own <= regular && regular <= blocks && own <= NEAR * single,
    note: 'blocks sized by row keep about a tenth more of the dense matrices’ energy than equal ones; few hundred steps of training what is left even that out',
  }
}

function planOf(structure: string): Plan {
  const found = structures.named(structure)
  const mask = Object.entries(SHAPES).map(([weight, shape]) => {
    return [weight, { structure, level: levelFor(found, shape, KEEP) }] as const
  })
  return { format: 1, keep: {}, mask: Object.fromEntries(mask) }
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
  const ways = {
    lists: () => lists.decode(plain, into),
    darb: () => darbFormat.decode(short, into),
  }
  for (const [name, decode] of Object.entries(ways)) {
    into.data.fill(0)
    decode()
    if (data.some((value, i) => value !== into.data[i])) throw new Error(`${name} decodes wrongly`)
  }
  const candidates = Object.entries(ways).map(([name, decode]) => candidateOf(name, decode))
  const { timings } = await compare('decoding', candidates, { rounds: 9 })
  const [listsMs, darbMs] = timings.map(({ medianMs }) => medianMs)
  const kept = plain.weights.length
  const figures = {
    'times CSR’s weights per second': listsMs! / darbMs!,
    'bits per weight': short.structureBits / kept,
    'bits per weight, CSR': plain.structureBits / kept,
  }
  return {
    figures,
    holds: listsMs! > darbMs! && short.structureBits < plain.structureBits,
    note: 'a processor loads a column of 32 bits in one instruction and cuts one of 4 out of a stream in six: fewer bits pay where memory is the limit, or in hardware',
  }
}
