// The units laws on every network of the zoo, on ONNX Runtime: cut equals masked in every class,
// and half of everything at once leaves a network that still runs and learns.
import { describe, expect, it } from 'vitest'
import { gradient } from '../../src/autodiff/gradient.ts'
import { cut } from '../../src/compress/cut.ts'
import { planShapes } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { int, type Model } from '../../src/ir/graph.ts'
import { verify } from '../../src/ir/verify.ts'
import { floatData, floats } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { zoo } from '../../src/zoo/index.ts'
import { someOf } from '../compress/change.ts'
import { checkUnits, unitSubject } from '../support/check-units.ts'
import { randomFeeds, runReference } from '../support/ort.ts'
import { shaken } from '../support/shake.ts'

/** Sums of a few hundred float32 products in another order, relative to the largest output. */
const TOLERANCE = 1e-5
const options = { bindings: { batch: 2 }, integers: 10 }

describe.each(zoo)('$name', ({ small }) => {
  const subject = unitSubject(shaken(small(1), 2), {}, 10)
  const { model, analysis, units, open } = subject

  it('computes the same cut as masked, in every class, also where a class vanishes', async () => {
    const { worst, worstClass, changed } = await checkUnits(subject)
    expect(worst, worstClass).toBeLessThan(TOLERANCE)
    expect(open.length).toBeGreaterThan(1)
    // A unit that no input wakes (a dead ReLU) may go unnoticed; most are missed.
    expect(changed).toBeGreaterThan(0.8 * open.length)
  })

  it('has the shapes that a plan of counts predicts', () => {
    const keep = Object.fromEntries(open.map(({ name, size }) => [name, Math.ceil(size / 2)]))
    const kept = Object.fromEntries(
      Object.entries(keep).map(([name, count]) => [
        name,
        Array.from({ length: count }, (_, i) => i),
      ]),
    )
    const planned = planShapes(units, analysis, { format: 1, keep, mask: {} })
    const narrow = analyze(cut(model, analysis, kept, { units }))
    let changed = 0
    for (const [name, { shape }] of narrow.types) {
      if (!analysis.types.has(name)) continue
      expect(planned.type(name).shape, name).toEqual(shape)
      if (shape.join() !== analysis.types.get(name)!.shape.join()) changed++
    }
    expect(changed).toBeGreaterThan(open.length)
  })

  it('cut to half in every class it runs, and a step along the gradient lessens the loss', async () => {
    const random = createRandom(5)
    const kept = Object.fromEntries(
      open.map(({ name, size }) => [
        name,
        someOf(size, random).map((bit, i) => (i === 0 ? 1 : bit)),
      ]),
    )
    const narrow = cut(model, analysis, kept, { units })
    verify(narrow)
    const { step, gradients } = lossOf(narrow)
    const feeds = randomFeeds(model, 3, options)
    const weights = Object.fromEntries(
      Object.keys(gradients).map((name) => [name, narrow.weights.get(name)]),
    )
    const before = await runReference(step, { ...feeds, ...weights })
    const slopes = Object.entries(gradients).map(
      ([name, gradient]) => [name, floatData(before[gradient]!)] as const,
    )
    const squares = slopes.map(([, slope]) => slope.reduce((sum, value) => sum + value * value, 0))
    const rate = 0.01 / Math.sqrt(squares.reduce((sum, value) => sum + value, 0))
    for (const [name, slope] of slopes) {
      const { shape } = weights[name]!
      const moved = floatData(weights[name]!).map((value, i) => value - rate * slope[i]!)
      weights[name] = floats(shape, moved)
    }
    const after = await runReference(step, { ...feeds, ...weights })
    expect(floatData(after.loss!)[0]).toBeLessThan(floatData(before.loss!)[0]!)
  })
})

// Mean square of the output, and its gradient by every float weight that a step may change.
function lossOf(model: Model): { step: Model; gradients: Readonly<Record<string, string>> } {
  const b = new GraphBuilder({ base: model, bindings: options.bindings })
  const output = model.graph.outputs[0]!.name
  const square = b.op('Mul', [output, output])
  b.output(b.op('ReduceMean', [square], { keepdims: int(0) }), 'loss')
  const wrt = model.graph.constants
    .filter(
      ({ name, dtype, shape }) =>
        dtype === 'float32' && shape.length > 0 && !/\.(mean|var)$/.test(name),
    )
    .map(({ name }) => name)
  const {
    model: step,
    gradients,
    unreached,
  } = gradient(b.build(), {
    loss: 'loss',
    wrt,
    outputs: ['loss'],
    weightsAsInputs: true,
  })
  expect(unreached).toEqual([])
  return { step, gradients }
}
