// w·g per unit, computed in the graph, against finite differences of the loss.
import { describe, expect, it } from 'vitest'
import { type Observer, observe, observer } from '../../src/compress/observe.ts'
import { elementTaylor, scoredMembers, unitTaylor } from '../../src/compress/statistics/taylor.ts'
import { findUnits } from '../../src/compress/units.ts'
import type { Session, Tensors } from '../../src/exec/engine.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { int, type Model } from '../../src/ir/graph.ts'
import { floatData, floats, sizeOf } from '../../src/tensor/tensor.ts'
import { testNets } from './nets.ts'
import { randomFeeds, runOnHost } from './run.ts'

const named = (name: string) => testNets().find((net) => net.name === name)!.model

// The mean square of the result: any smooth loss will do.
function withLoss(model: Model): Model {
  const b = new GraphBuilder({ base: model, prefix: 'loss/' })
  const result = model.graph.outputs[0]!.name
  const square = b.op('Mul', [result, result])
  b.output(b.op('ReduceMean', [square], { keepdims: int(0) }), 'loss')
  return b.build(['loss'])
}

function hostSession({ model }: Observer): Session {
  const outputs = model.graph.outputs.map(({ name }) => name)
  const run = async (feeds: Tensors) => {
    const values = runOnHost(model, feeds)
    return Object.fromEntries(
      outputs.map((name, i) => [name, floats([values[i]!.length], values[i]!)]),
    )
  }
  return { inputs: ['image'], outputs, run, time: async () => [], release: async () => {} }
}

describe.each(['a residual stream', 'a chain with pooling and Flatten', 'one weight read twice'])(
  'in %s',
  (name) => {
    const model = withLoss(named(name))
    const units = findUnits(named(name), analyze(named(name)))
    const batches = [randomFeeds(model, 1), randomFeeds(model, 2)]

    for (const on of ['norm', 'weights'] as const)
      it(`the score on ${on} is the mean square of what scaling a unit changes`, async () => {
        const statistic = unitTaylor({ on })
        const made = observer(model, { statistics: [statistic], units, loss: 'loss' })
        const observed = await observe(hostSession(made), made, batches)
        for (const found of units.classes) {
          const members = scoredMembers(found, on)
          if (members.length === 0) continue
          const scores = floatData(observed[statistic.name]![found.name]!)
          const all = Array.from({ length: found.size }, (_, unit) => {
            const slopes = batches.map((feeds) => {
              const at = (factor: number) => {
                const weights = model.weights.copy()
                for (const { weight, axis, units: owners } of members) {
                  const t = weights.get(weight)
                  const inner = sizeOf(t.shape.slice(axis + 1))
                  const data = floatData(t).map((value, i) =>
                    owners[Math.floor(i / inner) % owners.length] === unit ? value * factor : value,
                  )
                  weights.set(weight, { ...t, data })
                }
                return runOnHost({ ...model, weights }, feeds)[0]![0]!
              }
              return (at(1 + STEP) - at(1 - STEP)) / (2 * STEP)
            })
            return slopes.reduce((sum, slope) => sum + slope * slope, 0) / slopes.length
          })
          const scale = Math.max(...all)
          all.forEach((expected, unit) => {
            expect(Math.abs(scores[unit]! - expected), `${found.name} ${unit}`).toBeLessThan(
              0.02 * scale,
            )
          })
        }
      })
  },
)

it('a square per batch does not cancel over batches, as a sum over the whole set would', async () => {
  const model = withLoss(named('a residual stream'))
  const units = findUnits(named('a residual stream'), analyze(named('a residual stream')))
  const made = observer(model, { statistics: [unitTaylor(), elementTaylor()], units, loss: 'loss' })
  const observed = await observe(hostSession(made), made, [randomFeeds(model, 3)])
  expect(Object.keys(observed['element-taylor']!)).toContain('stem.weight')
  for (const [name, scores] of Object.entries(observed['unit-taylor']!)) {
    expect(floatData(scores)).toHaveLength(units.byName.get(name)!.size)
    expect(Math.min(...floatData(scores))).toBeGreaterThanOrEqual(0)
  }
})

it('batches that are not finite are skipped, and none left is an error', async () => {
  const model = withLoss(named('a residual stream'))
  const units = findUnits(named('a residual stream'), analyze(named('a residual stream')))
  const made = observer(model, { statistics: [unitTaylor()], units, loss: 'loss' })
  const good = randomFeeds(model, 4)
  const broken = { image: { ...good.image!, data: floatData(good.image!).slice().fill(NaN) } }
  const one = await observe(hostSession(made), made, [good])
  const two = await observe(hostSession(made), made, [broken, good])
  expect(two).toEqual(one)
  await expect(observe(hostSession(made), made, [broken])).rejects.toThrow(/no batch gave finite/)
})

/** Relative step of the finite differences: float32 losses are good to about 1e-6. */
const STEP = 0.01
