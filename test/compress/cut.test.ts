// Cutting: blocks that vanish, state between runs, and what cannot do without.
import { describe, expect, it } from 'vitest'
import { cut, mask, vanishingClasses } from '../../src/compress/cut.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { int, intList, type Model } from '../../src/ir/graph.ts'
import { verify } from '../../src/ir/verify.ts'
import { floatData, floats } from '../../src/tensor/tensor.ts'
import { zoo } from '../../src/zoo/index.ts'
import { distance, randomFeeds as feedsFor, runReference } from '../support/ort.ts'
import { shaken } from '../support/shake.ts'
import { Net } from './nets.ts'
import { difference, randomFeeds, runOnHost } from './run.ts'

function know(model: Model) {
  const analysis = analyze(model)
  return { analysis, units: findUnits(model, analysis) }
}

describe('a class without units', () => {
  const counts: Readonly<Record<string, number>> = {
    resnet18: 8,
    'mobilenet-v2': 10,
    'se-resnet18': 8,
    'shufflenet-v2': 4,
    convnext: 3,
    vit: 4,
    mixer: 4,
  }
  const networks = zoo.filter(({ name }) => counts[name] !== undefined)

  it.each(networks)(
    '$name: takes its block along, and what is left is what a mask leaves',
    async ({ name, small }) => {
      const model = shaken(small(1), 2)
      const { analysis, units } = know(model)
      const classes = vanishingClasses(model, analysis, units)
      expect(classes.length).toBe(counts[name])
      const feeds = feedsFor(model, 5)
      const all: Record<string, number[]> = {}
      for (const gone of classes.slice(0, 3)) all[gone] = []
      const narrow = cut(model, analysis, all, { units })
      verify(narrow)
      const masked = await runReference(mask(model, analysis, all, { units }), feeds)
      expect(distance(await runReference(narrow, feeds), masked)).toBeLessThan(1e-5)
      expect(narrow.graph.nodes.length).toBeLessThan(model.graph.nodes.length - 2)
    },
  )

  it('leaves a residual block its shortcut and one constant per channel', () => {
    const net = new Net(1)
    const image = net.b.input('image', 'float32', [1, 3, 8, 8])
    const stem = net.block(image, 'stem', { out: 4 })
    const inner = net.block(stem, 'a', { out: 6 })
    const outer = net.norm(net.conv(inner, 'b', { out: 4, bias: true }), 'b.norm')
    const model = net.finish(net.op('Add', [outer, stem]))
    const { analysis, units } = know(model)
    const narrow = cut(model, analysis, { 'a.weight': [] }, { units })
    expect(narrow.graph.nodes.map(({ op }) => op)).toEqual([
      'Conv',
      'BatchNormalization',
      'Relu',
      'Add',
      'Identity',
    ])
    const shift = narrow.graph.nodes.find(({ op }) => op === 'Add')!.inputs[0]!
    const part = (name: string) => floatData(model.weights.get(`b.norm.${name}`))
    const expected = floatData(model.weights.get('b.bias')).map(
      (bias, c) =>
        ((bias - part('mean')[c]!) / Math.sqrt(part('variance')[c]! + 1e-5)) * part('scale')[c]! +
        part('shift')[c]!,
    )
    expect(narrow.weights.get(shift).shape).toEqual([1, 4, 1, 1])
    floatData(narrow.weights.get(shift)).forEach((value, c) => {
      expect(value).toBeCloseTo(expected[c]!, 5)
    })
  })

  it('leaves a Concat its other branches', () => {
    const net = new Net(2)
    const image = net.b.input('image', 'float32', [1, 3, 8, 8])
    const branches = ['a', 'b', 'c'].map((name) => net.conv(image, name, { out: 4 }))
    const joined = net.op('Concat', branches, { axis: int(1) })
    const model = net.finish(net.conv(joined, 'd', { out: 2 }))
    const { analysis, units } = know(model)
    const kept = { 'b.weight': [] }
    const narrow = cut(model, analysis, kept, { units })
    expect(narrow.graph.nodes.find(({ op }) => op === 'Concat')!.inputs.length).toBe(2)
    const feeds = randomFeeds(model, 3)
    const masked = runOnHost(mask(model, analysis, kept, { units }), feeds)
    expect(difference(masked, runOnHost(narrow, feeds))).toBeLessThan(1e-5)
  })

  it('is refused where the output would be a constant, or an op needs something to read', () => {
    const net = new Net(3)
    const image = net.b.input('image', 'float32', [1, 3, 8, 8])
    const a = net.conv(image, 'a', { out: 4 })
    const b = net.conv(net.op('MaxPool', [a], { kernel_shape: intList([2, 2]) }), 'b', { out: 4 })
    const model = net.finish(net.op('AveragePool', [b], { kernel_shape: intList([3, 3]) }))
    const { analysis, units } = know(model)
    expect(() => cut(model, analysis, { 'a.weight': [] }, { units })).toThrow(
      /^Cannot cut all units that AveragePool ".*" reads: keep at least one of them$/,
    )
    const direct = new Net(3)
    const x = direct.b.input('image', 'float32', [1, 3, 8, 8])
    const out = direct.finish(direct.conv(direct.conv(x, 'a', { out: 4 }), 'b', { out: 4 }))
    const known = know(out)
    const narrow = () => cut(out, known.analysis, { 'a.weight': [] }, known)
    expect(narrow).toThrow(/^Cannot cut that much: the output "result" would not depend on/)
  })
})

describe('state that one run leaves to the next', () => {
  function recurrent(): Model {
    const net = new Net(4)
    const x = net.b.input('x', 'float32', [3, 1, 5])
    const state = net.b.input('state', 'float32', [1, 1, 6])
    const [all, last] = net.recurrent('GRU', x, 'gru', { out: 6, directions: 1, state })
    net.b.output(last!, 'next')
    return net.finish(net.op('MatMul', [all!, net.weight('head.weight', [6, 4])]))
  }

  it('is frozen, and by name of the state cut on both sides', () => {
    const model = recurrent()
    const analysis = analyze(model)
    expect(findUnits(model, analysis).byName.get('gru.w')!.frozen).toMatch(
      /^GRU ".*": its state "state" comes from outside$/,
    )
    const units = findUnits(model, analysis, { state: { next: 'state' } })
    const found = units.classes.find((one) => one.members.some(({ weight }) => weight === 'gru.w'))!
    expect(found).toMatchObject({ size: 6, frozen: undefined })
    const kept = { [found.name]: [0, 2, 5] }
    const narrow = cut(model, analysis, kept, { units })
    verify(narrow)
    expect(narrow.graph.inputs[1]!.shape).toEqual([1, 1, 3])
    expect(narrow.graph.outputs.map(({ shape }) => shape)).toEqual([
      [1, 1, 3],
      [3, 1, 1, 4],
    ])
    const feeds = randomFeeds(model, 5)
    const masked = runOnHost(mask(model, analysis, kept, { units }), feeds)
    const state = floats(
      [1, 1, 3],
      [0, 2, 5].map((i) => floatData(feeds.state!)[i]!),
    )
    const result = runOnHost(narrow, { ...feeds, state })
    expect(difference([masked[1]!], [result[1]!])).toBeLessThan(1e-5)
    expect(Array.from(result[0]!)).toHaveLength(3)
  })

  it('a wrong name or shape is one clear error', () => {
    const model = recurrent()
    const attempt = (state: Record<string, string>) => () =>
      findUnits(model, analyze(model), { state })
    expect(attempt({ next: 'stat' })).toThrow(/no input "stat"; did you mean "state"/)
    expect(attempt({ nxt: 'state' })).toThrow(/no output "nxt"/)
    expect(attempt({ next: 'x' })).toThrow('"next" is [1,1,6], the input "x" [3,1,5]')
  })
})
