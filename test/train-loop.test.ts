import { afterAll, beforeAll, expect, test } from 'vitest'
import { gradient } from '../src/autodiff/gradient.ts'
import { createEngine } from '../src/exec/create.ts'
import type { Engine, Store } from '../src/exec/engine.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import { int } from '../src/ir/graph.ts'
import { floats } from '../src/tensor/tensor.ts'
import { freshMoments, type LoopState, type Player, runLoop } from '../src/train/loop.ts'
import { sgd } from '../src/train/optimizers.ts'
import { constantRate } from '../src/train/schedules.ts'

let engine: Engine
beforeAll(async () => {
  engine = await createEngine({ threads: 1 })
})
afterAll(() => engine.close())

const shapes = { w: [2] }

/** A player that pulls `w` towards the value it is fed: loss = Σ (w − x)² / 2. */
async function puller(
  name: string,
  store: Store,
  options: { to: number; every: number },
): Promise<Player> {
  const b = new GraphBuilder()
  const w = b.constant(floats([2], [0, 0]), 'w')
  const difference = b.op('Sub', [w, b.input('x', 'float32', [2])])
  const squares = b.op('Mul', [b.op('Mul', [difference, difference]), b.scalar(0.5)])
  b.output(b.op('ReduceSum', [squares], { keepdims: int(0) }), 'loss')
  const { model, gradients } = gradient(b.build(), {
    loss: 'loss',
    wrt: ['w'],
    weightsAsInputs: true,
  })
  return {
    name,
    session: await engine.session(model, { store, optimize: 'basic' }),
    loss: 'loss',
    gradients,
    statistics: [],
    feeds: async () => ({ x: floats([2], [options.to, options.to]) }),
    optimizer: sgd({ momentum: 0.5 }),
    rate: constantRate(0.25),
    every: options.every,
  }
}

test('players take turns over one store, each with its own moments', async () => {
  const store = await engine.store({ w: floats([2], [0, 0]) })
  const up = await puller('up', store, { to: 8, every: 1 })
  const down = await puller('down', store, { to: -8, every: 2 })
  const weights = { w: new Float32Array(2) }
  const moments = { ...freshMoments(up, weights), ...freshMoments(down, weights) }
  const state: LoopState = { step: 0, weights, moments, updates: {} }
  const losses: Readonly<Record<string, number>>[] = []
  await runLoop(state, [up, down], {
    steps: 3,
    store,
    shapes,
    masks: { w: Uint8Array.of(1, 0) },
    afterStep: async (report) => {
      losses.push(report.losses)
      return {}
    },
  })
  // By hand: w and the two velocities; `down` moves at steps 0 and 2 and sees what `up` just did.
  let [w, u, d] = [0, 0, 0]
  for (let step = 0; step < 3; step++) {
    u = 0.5 * u + (w - 8)
    w -= 0.25 * u
    if (step % 2 === 1) continue
    d = 0.5 * d + (w + 8)
    w -= 0.25 * d
  }
  expect([...state.weights.w!]).toEqual([w, 0])
  expect((await store.read()).w!.data).toEqual(state.weights.w)
  expect(losses.map((each) => Object.keys(each).join())).toEqual(['up,down', 'up', 'up,down'])
  expect(state.updates).toEqual({ up: 3, down: 2 })
})

test('the loop stops when told, and writes what was changed by hand to the store', async () => {
  const store = await engine.store({ w: floats([2], [0, 0]) })
  const up = await puller('up', store, { to: 1, every: 1 })
  const weights = { w: new Float32Array(2) }
  const state: LoopState = { step: 0, weights, moments: freshMoments(up, weights), updates: {} }
  await runLoop(state, [up], {
    steps: 9,
    store,
    shapes,
    clipNorm: 0.1,
    afterStep: async ({ step }) => {
      // The gradient (−1, −1) is scaled to norm 0.1.
      if (step === 1) expect(weights.w[0]).toBeCloseTo((0.25 * 0.1) / Math.SQRT2, 6)
      weights.w.fill(5)
      return { changed: ['w'], stop: step === 2 }
    },
  })
  expect(state.step).toBe(2)
  expect((await store.read()).w!.data).toEqual(Float32Array.of(5, 5))
})
