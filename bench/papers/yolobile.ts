// Cai et al. 2021: blocks that share their zeros, against whole filters, random blocks and single weights;
// what such a layer costs when it is compiled, and two branches on two threads.
import { randomCriterion } from '../../src/compress/criteria/random.ts'
import { maskables } from '../../src/compress/maskable.ts'
import { structures } from '../../src/compress/registry.ts'
import { admm } from '../../src/compress/solvers/admm.ts'
import { oneShot } from '../../src/compress/solvers/one-shot.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { deploy, runPasses } from '../../src/passes/index.ts'
import { syntheticWeight } from '../../src/profile/masks.ts'
import { compare } from '../../src/profile/measure.ts'
import { Workbench } from '../../src/profile/prepare.ts'
import { floatData } from '../../src/tensor/tensor.ts'
import { resnet8Thin } from '../../src/zoo/bench-nets.ts'
import { Network } from '../../src/zoo/network.ts'
import { chooseWay, measureBranches, splitTime } from './branches.ts'
import { detector } from './detector.ts'
import { firstOf } from './lab.ts'
import { type Check, meanOf, type Outcome, type Paper } from './paper.ts'
import { countWeights, planOfDensities, prune } from './pruned.ts'

/** Blocks of four inputs and eight outputs, as published. */
const PUNCHED = 'block-punched:4/8'
/** An eighth of the weights stays: what whole filters can honour too. */
const KEPT = 1 / 8
/** Epochs of the dense network and its pictures; epochs until the cut, and after it, and theirs. */
const DENSE = { epochs: 30, pictures: 10_000 }
const PRUNING = { epochs: [4, 2], pictures: 5000 } as const

const accuracy: Check = {
  name: 'accuracy',
  claim:
    'Punched blocks keep about the accuracy of single weights, and far more than whole filters',
  check: `ResNet-8-thin trained for ${DENSE.epochs} epochs on ${DENSE.pictures.toLocaleString('en')} pictures of CIFAR-10 at 16 × 16, judged by 5,000; an eighth of every 3×3 weight but the first, ${PRUNING.epochs.join(' + ')} epochs on ${PRUNING.pictures.toLocaleString('en')}: punched blocks (ADMM) in the mean at least 3 points above filters (ADMM) and 8 above random blocks, at most 3 below single weights (ADMM)`,
  async run(lab, seed) {
    const all = firstOf(await lab.task('cifar10-16-judged'), DENSE.pictures)
    const dense = await lab.dense(resnet8Thin(seed), all, { epochs: DENSE.epochs, seed })
    const task = firstOf(all, PRUNING.pictures)
    const weights = dense.graph.constants
      .filter(({ shape }) => shape.length === 4 && shape[2] === 3 && shape[1]! > 3)
      .map(({ name }) => name)
    const densities = Object.fromEntries(weights.map((name) => [name, KEPT]))
    const by = (structure: string, solver: Solver, criterion = {}) => {
      const plan = planOfDensities(dense, structure, densities)
      const { epochs } = PRUNING
      return prune(lab, { dense, task }, { plan, solver, epochs, seed, ...criterion })
    }
    const punched = await by(PUNCHED, admm() as Solver)
    const filters = await by('filter', admm() as Solver)
    const random = await by(PUNCHED, oneShot() as Solver, { criterion: randomCriterion(seed) })
    const single = await by('element', admm() as Solver)
    const kept = (model: Model) => {
      const { alive, all } = countWeights(model, weights)
      return alive / all
    }
    const outcome = {
      figures: {
        'dense %': await lab.accuracy(dense, task),
        'blocks, ADMM %': punched.final,
        'filters %': filters.final,
        'random blocks %': random.final,
        'single weights %': single.final,
        'kept in blocks, counted %': kept(punched.model),
        'kept in filters, counted %': kept(filters.model),
      },
      holds: false,
    }
    return { ...outcome, holds: isAhead([outcome]) && areBlocks(punched.model, weights) }
  },
  verdict: (outcomes) => isAhead(outcomes),
}

function isAhead(outcomes: readonly Outcome[]): boolean {
  const mean = (figure: string) => meanOf(outcomes, figure)
  const blocks = mean('blocks, ADMM %')
  return (
    blocks >= mean('filters %') + 0.03 &&
    blocks >= mean('random blocks %') + 0.08 &&
    blocks >= mean('single weights %') - 0.03
  )
}

// By a plain walk over the weights of the file: four neighbouring inputs share their zeros, and outputs
// come in eights of equal zeros (which eight go together is chosen, not given).
function areBlocks(model: Model, weights: readonly string[]): boolean {
  return weights.every((name) => {
    const { shape } = model.weights.get(name)
    const [outputs, inputs, height, width] = shape as [number, number, number, number]
    const values = floatData(model.weights.get(name))
    const taps = height * width
    const rows = new Map<string, number>()
    for (let output = 0; output < outputs; output++) {
      const bits = Array.from({ length: inputs * taps }, (_, i) => {
        const [block, tap] = [Math.floor(i / taps / 4) * 4, i % taps]
        const first = values[(output * inputs + block) * taps + tap] !== 0
        const here = values[output * inputs * taps + i] !== 0
        return here === first ? +here : Number.NaN
      })
      if (bits.some(Number.isNaN)) return false
      const row = bits.join('')
      rows.set(row, (rows.get(row) ?? 0) + 1)
    }
    return [...rows.values()].every((count) => count % 8 === 0)
  })
}

const kernel: Check = {
  name: 'kernel',
  claim: 'Punched blocks run fast where single zeros of the same number do not',
  check:
    '3×3 convolutions of 64 channels at 32 × 32 with an eighth of their weights, compiled: punched blocks take at most 0.4 of the dense time, and less than single weights',
  async run(_lab, seed) {
    const dense = layers(seed)
    const bench = new Workbench({ threads: 1 })
    try {
      const models = [dense, masked(dense, PUNCHED), masked(dense, 'element')]
      const candidates = []
      for (const model of models)
        candidates.push(await bench.candidate(runPasses(model, deploy).model, 'wasm', 'model'))
      const { speedups } = await compare('blocks', candidates, { rounds: 7, roundMs: 60 })
      const [, blocks, single] = speedups.map(({ median }) => 1 / median) as [
        number,
        number,
        number,
      ]
      return {
        figures: { 'time of blocks ÷ dense': blocks, 'time of single weights ÷ dense': single },
        holds: blocks <= 0.4 && blocks < single,
      }
    } finally {
      await bench.close()
    }
  },
}

const branches: Check = {
  name: 'branches',
  claim: 'A branch beside a heavier one is worth a second executor where meeting again is cheap',
  check:
    'Four and two 3×3 convolutions of 64 channels, on one thread and on two that meet through shared memory: measured within 20 % of the longer branch + meeting; two are chosen at the measured cost of meeting, one where it is set to 5 ms',
  async run(_lab, seed) {
    const times = await measureBranches({ heavy: layers(seed, 4), light: layers(seed, 2) })
    const model = splitTime(times)
    const far = chooseWay({ ...times, sync: 5 })
    return {
      figures: {
        'heavy ms': times.heavy,
        'light ms': times.light,
        'meeting ms': times.sync,
        'one thread ms': times.serial,
        'two threads ms': times.split,
        'two threads ÷ predicted': times.split / model,
      },
      holds:
        Math.abs(times.split / model - 1) <= 0.2 &&
        chooseWay(times) === (times.split < times.serial ? 'split' : 'serial') &&
        far === 'serial',
    }
  },
}

// Layers between a stem and the scores.
function layers(seed: number, count = 4): Model {
  const net = new Network(seed)
  const shape = { from: 64, to: 64, kernel: 3, stride: 1 }
  let value = net.conv('stem', net.image(32), { from: 3, to: 64, kernel: 1, stride: 1 })
  for (let i = 1; i <= count; i++)
    value = net.relu(`conv${i}.relu`, net.bareConv(`conv${i}`, value, shape, { bias: true }))
  return net.classify(value, 64, 10)
}

function masked(model: Model, structure: string): Model {
  const weights = model.weights.copy()
  const known = maskables(findUnits(model, analyze(model)), (name) => model.weights.get(name).shape)
  for (const found of known.values()) {
    if (found.shape[2] !== 3) continue
    const levels = structures.named(structure).levels(found.shape)
    const level = levels.findLastIndex((density) => density >= KEPT - 1e-9)
    weights.set(found.weight, syntheticWeight(model, found, { structure, level }))
  }
  return { ...model, weights }
}

/** YOLObile. */
export const yolobile: Paper = {
  spec: '2-A5',
  title: 'YOLObile: block-punched pruning',
  paper: 'https://arxiv.org/abs/2009.05697',
  checks: [accuracy, detector, kernel, branches],
}
