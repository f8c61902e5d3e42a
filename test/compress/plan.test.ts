// Plans: read, written, applied, composed, described; and what refuses them.
import { describe, expect, it } from 'vitest'
import { applyPlan, chooseUnits, composeKept, planOf } from '../../src/compress/apply.ts'
import { cut, mask } from '../../src/compress/cut.ts'
import { describeChange } from '../../src/compress/describe.ts'
import { type Plan, readPlan, writePlan } from '../../src/compress/plan.ts'
import { criteria } from '../../src/compress/registry.ts'
import { type ChoiceOptions, choicesOf, scoreUnits } from '../../src/compress/score.ts'
import { findUnits, planShapes } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { int, type Model } from '../../src/ir/graph.ts'
import { frozenNet, Net, testNets } from './nets.ts'
import { difference, randomFeeds, runOnHost } from './run.ts'

const named = (name: string) => testNets().find((net) => net.name === name)!.model

const know = (model: Model) => {
  const analysis = analyze(model)
  const units = findUnits(model, analysis)
  return { analysis, units, scores: scoreUnits(units, criteria.named('magnitude'), { model }) }
}

const plan = (keep: Record<string, number>): Plan => ({ format: 1, keep, mask: {} })

describe('plan.json', () => {
  it('is read as it was written, with sorted keys', () => {
    const text = writePlan(plan({ b: 2, a: 1 }))
    expect(readPlan(text)).toEqual(plan({ a: 1, b: 2 }))
    expect(text.indexOf('"a"')).toBeLessThan(text.indexOf('"b"'))
  })

  it.each([
    ['{', /not JSON/],
    ['{"format":2,"keep":{}}', /"format"/],
    ['{"format":1,"keep":{"a":-1}}', /"keep\.a"/],
    ['{"format":1,"keep":{"a":1.5}}', /"keep\.a"/],
    ['{"format":1,"keep":{},"kep":{}}', /kep/],
    ['[]', /the plan/],
  ])('refuses %s with the place', (text, message) => {
    expect(() => readPlan(text)).toThrow(message)
  })
})

describe('applyPlan', () => {
  it('keeps the best units of each class, and what is left plans as itself', () => {
    const model = named('a residual stream')
    const { units, scores } = know(model)
    const wanted = plan({ 'stem.weight': 5, 'a.weight': 3 })
    const applied = applyPlan(model, wanted, scores, { units })
    expect(planOf(applied.model).keep).toMatchObject(wanted.keep)
    const worst = Math.min(...applied.kept['a.weight']!.map((unit) => scores['a.weight']![unit]!))
    const gone = Array.from(scores['a.weight']!).filter(
      (_, i) => !applied.kept['a.weight']!.includes(i),
    )
    expect(Math.max(...gone)).toBeLessThanOrEqual(worst)
  })

  it('predicts every shape before it cuts', () => {
    for (const { model } of testNets()) {
      const { analysis, units, scores } = know(model)
      const open = units.classes.filter(({ frozen, size }) => frozen === undefined && size > 1)
      const wanted = plan(
        Object.fromEntries(open.map(({ name, size }) => [name, Math.ceil(size / 2)])),
      )
      const shapes = planShapes(units, analysis, wanted)
      const small = analyze(applyPlan(model, wanted, scores, { analysis, units }).model)
      for (const node of model.graph.nodes)
        for (const name of [...node.outputs, ...node.inputs.filter((n) => model.weights.has(n))])
          if (analysis.types.get(name)?.dtype === 'float32')
            expect(shapes.type(name), name).toEqual(small.types.get(name))
    }
  })

  it('cut twice equals cut once with the kept units composed', () => {
    const model = named('depthwise separable with ReLU6')
    const { analysis } = know(model)
    const first = { 'expand.weight': [0, 2, 3, 5, 8, 9, 11] }
    const second = { 'expand.weight': Uint8Array.of(1, 0, 1, 1, 0, 0, 1) }
    const once = cut(model, analysis, first)
    const twice = cut(once, analyze(once), second)
    const composed = composeKept(first, second)
    expect(composed).toEqual({ 'expand.weight': [0, 3, 5, 11] })
    const feeds = randomFeeds(model, 1)
    const direct = cut(model, analysis, composed)
    expect(difference(runOnHost(direct, feeds), runOnHost(twice, feeds))).toBe(0)
  })

  it('leaves the model it was given as it was', () => {
    const model = named('squeeze and excite')
    const before = JSON.stringify([
      model.graph,
      Array.from(model.weights.get('a.weight').data as Float32Array),
    ])
    const { analysis } = know(model)
    cut(model, analysis, { 'a.weight': [1, 2] })
    mask(model, analysis, { 'a.weight': [1, 2] })
    expect(
      JSON.stringify([model.graph, Array.from(model.weights.get('a.weight').data as Float32Array)]),
    ).toBe(before)
  })
})

describe('what cannot be cut', () => {
  it('a class that is an output is frozen, with the reason', () => {
    const model = frozenNet()
    const { analysis, units, scores } = know(model)
    expect(units.byName.get('stem.weight')!.frozen).toBe('it is part of the output "features"')
    expect(() => cut(model, analysis, { 'stem.weight': [0, 1] })).toThrow(
      /Cannot cut "stem.weight": it is part of the output/,
    )
    expect(() => chooseUnits(units, plan({ 'stem.weight': 2 }), scores)).toThrow(/it is part of/)
    expect(choicesOf(units, scores)['stem.weight']).toBeUndefined()
  })

  it('a weight that is read where it cannot be cut keeps its units', () => {
    const net = new Net(1)
    const image = net.b.input('image', 'float32', [1, 3, 8, 8])
    const x = net.op('Relu', [net.conv(image, 'a', { out: 4 })])
    net.b.output(net.op('ReduceSum', ['a.weight'], {}), 'size of a')
    const { units } = know(net.finish(net.conv(x, 'b', { out: 2 })))
    expect(units.byName.get('a.weight')!.frozen).toBe(
      '"a.weight" is also read where it cannot be cut',
    )
  })

  it('an op without a rule freezes what it reads, by name', () => {
    const net = new Net(1)
    const image = net.b.input('image', 'float32', [1, 3, 8, 8])
    const x = net.conv(image, 'a', { out: 4 })
    const best = net.op('ArgMax', [net.conv(x, 'b', { out: 2 })], { axis: int(1) })
    const { units } = know(net.finish(net.op('Cast', [best], { to: int(1) })))
    expect(units.byName.get('b.weight')!.frozen).toMatch(
      /^ArgMax ".*": its result is the number of a unit$/,
    )
    expect(units.byName.get('a.weight')!.frozen).toBeUndefined()
  })

  it('a wrong name, size, mask or an emptied class is one clear error', () => {
    const model = frozenNet()
    const { analysis, units, scores } = know(model)
    expect(() => cut(model, analysis, { 'body.wieght': [0] })).toThrow(/did you mean "body.weight"/)
    expect(() => cut(model, analysis, { 'body.weight': [] })).toThrow(
      /^Cannot cut all units that Flatten ".*" reads|would not depend on the inputs/,
    )
    expect(() => cut(model, analysis, { 'body.weight': [8] })).toThrow(/has 8 units/)
    expect(() => cut(model, analysis, { 'body.weight': new Uint8Array(3) })).toThrow(/has 8/)
    expect(() => chooseUnits(units, plan({ 'body.weight': 9 }), scores)).toThrow(/the class has 8/)
  })

  it('masking the weights alone is not the cut: norms and consumers count', () => {
    const model = named('a residual stream')
    const { analysis, units } = know(model)
    const kept = { 'stem.weight': [0, 1, 2] }
    const feeds = randomFeeds(model, 2)
    const found = units.byName.get('stem.weight')!
    const onlyWeights = {
      ...found,
      members: found.members.filter(
        ({ axis, part, role }) => part === 'weight' && axis === 0 && role === 'producer',
      ),
    }
    const partial = {
      ...units,
      classes: units.classes.map((c) => (c === found ? onlyWeights : c)),
      byName: new Map([[found.name, onlyWeights]]),
    }
    const wrong = mask(model, analysis, kept, { units: partial })
    const small = runOnHost(cut(model, analysis, kept), feeds)
    expect(difference(runOnHost(wrong, feeds), small)).toBeGreaterThan(1e-2)
    expect(difference(runOnHost(mask(model, analysis, kept), feeds), small)).toBeLessThan(1e-5)
  })
})

describe('choicesOf', () => {
  it('lists the full size, then multiples of the grid, with the gain of the best units', () => {
    const { units } = know(named('squeeze and excite'))
    const scores = { 'a.weight': Float32Array.of(5, 1, 1, 1, 1, 1, 1, 1, 1, 9) }
    expect(choicesOf(units, scores, { grid: 4 })['a.weight']).toEqual([
      { keep: 10, gain: 22 },
      { keep: 8, gain: 20 },
      { keep: 4, gain: 16 },
    ])
    const fine = choicesOf(units, scores, { grid: 4, minKeep: 0.5 })['a.weight']!
    expect(fine.map(({ keep }) => keep)).toEqual([10, 8])
    expect(choicesOf(units, scores, { ignore: ['a.weight'] })).toEqual({})
  })

  it('takes heads one by one, widths by the grid of their class, and none where a class may vanish', () => {
    const { units } = know(named('attention with heads'))
    const scores = Object.fromEntries(
      units.classes.map(({ name, size }) => [name, new Float32Array(size).fill(1)]),
    )
    const counts = (options: ChoiceOptions) =>
      Object.fromEntries(
        Object.entries(choicesOf(units, scores, options)).map(([name, choices]) => [
          name,
          choices.map(({ keep }) => keep),
        ]),
      )
    const heads = 'q.weight#2'
    expect(counts({ grid: 4 })).toEqual({
      'a.weight': [12, 8, 4],
      'q.weight': [4, 2],
      [heads]: [3, 2, 1],
      'v.weight': [4, 2],
    })
    const finer = counts({ grid: { 'v.weight': 1, 'a.weight': 8 }, vanishing: [heads] })
    expect(finer).toMatchObject({ 'v.weight': [4, 3, 2, 1], 'a.weight': [12, 8, 4] })
    expect(finer[heads]).toEqual([3, 2, 1, 0])
  })
})

it('describeChange tells each layer before and after, and why no more', () => {
  const model = frozenNet()
  const { units, scores } = know(model)
  const small = applyPlan(model, plan({ 'body.weight': 6 }), scores).model
  const rows = describeChange(model, small, { units, reasons: { 'body.weight': 'importance' } })
  expect(rows.map(({ name, done, whyNotMore }) => [name, done, whyNotMore])).toEqual([
    ['stem.weight', 'unchanged', 'it is part of the output "features"'],
    ['body.weight', 'outputs 8 → 6', 'importance'],
    ['fc.weight', 'inputs 8 → 6', 'it is part of the output "result"'],
  ])
  expect(rows[1]).toMatchObject({ shapeBefore: '8×6×3×3', shapeAfter: '6×6×3×3' })
  expect(rows[1]!.macsAfter / rows[1]!.macsBefore).toBeCloseTo(0.75, 9)
})
