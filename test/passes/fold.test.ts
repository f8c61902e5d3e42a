// What constant folding, BatchNormalization folding and simplification make of small graphs.
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { printGraph } from '../../src/ir/text.ts'
import { foldAffine } from '../../src/passes/fold-affine.ts'
import { foldBatchNorm } from '../../src/passes/fold-batch-norm.ts'
import { clean, deploy, pinInput, runPasses, unfoldTargets } from '../../src/passes/index.ts'
import type { Pass } from '../../src/passes/pass.ts'
import { simplify } from '../../src/passes/simplify.ts'
import { unfoldBatchNorm } from '../../src/passes/unfold-batch-norm.ts'
import { zeroSubnormals } from '../../src/passes/zero-subnormals.ts'
import { ints, tensor } from '../../src/tensor/tensor.ts'
import { bodyOf, graphOf, graphs } from '../support/graphs.ts'

const run = (model: Model, ...passes: Pass[]) => runPasses(model, passes)
const nodesOf = (model: Model) =>
  bodyOf(printGraph(model)).filter((line) => !/^(input|output|const|value) /.test(line))
const ops = (model: Model) => model.graph.nodes.map((node) => node.op)

describe('simplify', () => {
  it('never bakes a dynamic batch in, and gives Reshape a constant target', () => {
    const { model } = run(graphs['shape arithmetic around a dynamic batch']!, simplify)
    expect(nodesOf(model)).toEqual(['y = Reshape(x, y_shape)', 'z = Identity(z_constant) @ z_copy'])
    expect(model.weights.get('y_shape')).toEqual(ints([0, 24]))
    expect(model.weights.get('z_constant')).toEqual(ints([4]))
  })

  it('does not fold what holds only for the sizes it tried', () => {
    const model = graphOf(`
      input x: float32[n, 2]
      output y: int64[1]
      const most: int64[1] = [10]
      s = Shape(x) {end=1}
      y = Min(s, most)`)
    expect(ops(run(model, simplify).model)).toEqual(['Shape', 'Min'])
  })

  it('removes every no-op and keeps the reversal', () => {
    const { model } = run(graphs['no-ops of every kind']!, simplify)
    expect(ops(model)).toEqual(['Slice', 'Neg', 'Identity'])
  })

  it('shares equal nodes but keeps both outputs', () => {
    const { model, reports } = run(graphs['equal nodes, one of them an output']!, simplify)
    expect(ops(model)).toEqual(['Mul', 'Add', 'Mul'])
    expect(reports[0]).toMatchObject({ changed: 1, skipped: [] })
  })

  it('inlines branches with a known condition, and says why it leaves others', () => {
    const { model, reports } = run(graphs['branches, nested, with captures']!, simplify)
    expect(ops(model)).toEqual(['ReduceMax', 'Greater', 'Add', 'Mul', 'If'])
    expect(reports[0]!.skipped).toContainEqual({
      name: 'u',
      reason: 'the condition depends on the inputs',
    })
  })

  it('folds a transposed weight', () => {
    const { model } = run(graphs['constant nodes and foldable weights']!, simplify)
    expect(ops(model)).toEqual(['MatMul', 'Add', 'Identity'])
    expect(model.weights.get('wt').shape).toEqual([4, 2])
  })

  it('leaves a constant that would grow the model to the run', () => {
    const model = graphOf(`
      input x: float32[1]
      output y: float32[1000000]
      const size: int64[1] = [1000000]
      a = ConstantOfShape(size)
      y = Add(x, a)`)
    expect(ops(run(model, simplify).model)).toEqual(['ConstantOfShape', 'Add'])
  })

  it('folds the branches away that a pinned input decides', () => {
    const model = graphOf(`
      input x: float32[2]
      input sr: int64[]
      output y: float32[2]
      const rate: int64[] = [16000]
      c = Equal(sr, rate)
      y = If(c) {then_branch=graph "t" {
        output a: float32[2]
        a = Neg(x)
      }, else_branch=graph "e" {
        output b: float32[2]
        b = Abs(x)
      }}`)
    const pinned = pinInput(model, 'sr', ints([16000], []))
    expect(nodesOf(run(pinned, simplify).model)).toEqual(['y = Neg(x)'])
    const other = pinInput(model, 'sr', ints([8000], []))
    expect(nodesOf(run(other, simplify).model)).toEqual(['y = Abs(x)'])
    expect(() => pinInput(model, 'srr', ints([1], []))).toThrow('did you mean "sr"')
    expect(() => pinInput(model, 'sr', ints([1]))).toThrow('Cannot pin "sr" (int64[])')
  })
})

describe('normalize', () => {
  it('brings opset 9 to 18', () => {
    const { model } = run(graphs['old attributes (opset 9)']!, ...clean)
    expect(model.opsets).toEqual({ '': 18 })
    expect(ops(model)).toContain('Resize')
    expect(ops(model)).not.toContain('Dropout')
    const clip = model.graph.nodes.find((node) => node.op === 'Clip')!
    expect(clip.inputs).toHaveLength(3)
    expect(clip.attributes).toEqual({})
  })

  it('keeps the opset where one node has no rule, and names it', () => {
    const model = graphOf(
      `
      input x: float32[2, 3]
      output y: float32[2, 3]
      a = Scan(x) {directions=ints[0]} @ loop
      y = Clip(a) {min=0f}`,
      8,
    )
    const { model: same, reports } = run(model, ...clean)
    expect(same.opsets).toEqual({ '': 8 })
    expect(reports[0]).toMatchObject({
      changed: 0,
      skipped: [{ name: 'loop', reason: 'Scan: no rule from opset 8 to 18' }],
    })
  })
})

describe('fold and unfold BatchNormalization', () => {
  it('folds norms into named weights, and copies a weight that is shared', () => {
    const { model, reports } = run(graphs['one weight under two norms']!, foldBatchNorm)
    expect(ops(model)).toEqual(['Conv', 'Conv'])
    expect(reports[0]).toEqual({ pass: 'fold-batch-norm', matched: 2, changed: 2, skipped: [] })
    expect(model.graph.constants.map(({ name }) => name)).toEqual(['w', 'w_1', 'a.bias', 'c.bias'])
  })

  it('scales by γ / √(σ² + ε) and shifts by β − μ · that', () => {
    const model = graphOf(`
      input x: float32[1, 1, 1, 1]
      output y: float32[1, 1, 1, 1]
      const w: float32[1, 1, 1, 1] = [3f]
      const gamma: float32[1] = [2f]
      const beta: float32[1] = [5f]
      const mean: float32[1] = [7f]
      const var: float32[1] = [15f]
      a = Conv(x, w)
      y = BatchNormalization(a, gamma, beta, mean, var) {epsilon=1f}`)
    const { weights } = run(model, foldBatchNorm).model
    expect([...weights.get('w').data]).toEqual([1.5])
    expect([...weights.get('a.bias').data]).toEqual([1.5])
  })

  it('leaves a norm whose input is read elsewhere, with the reason', () => {
    const model = graphOf(`
      input x: float32[1, 1, 2, 2]
      output y: float32[1, 1, 2, 2]
      const w: float32[1, 1, 1, 1]
      const g: float32[1]
      const var: float32[1]
      a = Conv(x, w)
      b = BatchNormalization(a, g, g, g, var) @ norm
      y = Add(a, b)`)
    const { reports } = run(model, foldBatchNorm)
    expect(reports[0]!.skipped).toEqual([{ name: 'norm', reason: '"a" has other readers' }])
  })

  it('puts back norms that fold to the same weights', () => {
    const folded = run(graphs['conv with norm and residual']!, ...deploy).model
    expect(unfoldTargets(folded)).toEqual(['a', 'd'])
    const moments = { mean: [1, 2, 3, 4], variance: [4, 1, 0.25, 9] }
    const context = { moments: { a: moments, d: moments } }
    const unfolded = runPasses(folded, [unfoldBatchNorm], context).model
    expect(ops(unfolded)).toEqual([
      'Conv',
      'BatchNormalization',
      'Relu',
      'Conv',
      'BatchNormalization',
      'Add',
    ])
    expect(unfoldTargets(unfolded)).toEqual([])
    const again = run(unfolded, ...deploy).model
    const [before, after] = [folded, again].map((model) => model.weights.get('w1').data)
    before!.forEach((value, i) => {
      expect(Number(after![i])).toBeCloseTo(Number(value), 6)
    })
  })
})

describe('foldAffine', () => {
  it('takes biases and scales per channel, on either side', () => {
    const { model } = run(graphs['biases and scales as nodes']!, foldAffine)
    expect(ops(model)).toEqual(['Conv', 'ConvTranspose', 'Mul', 'Reshape', 'Gemm'])
  })

  it('leaves a constant along another axis, and one that is read twice', () => {
    const model = graphOf(`
      input x: float32[1, 2, 4, 4]
      output y: float32[1, 4, 4, 4]
      const w: float32[4, 2, 1, 1]
      const row: float32[4]
      const k: float32[] = [2f]
      a = Conv(x, w)
      b = Add(a, row)
      c = Conv(x, w)
      d = Mul(c, k) @ scale
      e = Add(c, d)
      y = Add(b, e)`)
    const { reports } = run(model, foldAffine)
    expect(reports[0]).toMatchObject({
      matched: 1,
      changed: 0,
      skipped: [{ name: 'scale', reason: '"c" has other readers' }],
    })
  })
})

describe('zeroSubnormals', () => {
  it('zeroes subnormal weights and nothing else', () => {
    const { model, reports } = run(graphs['subnormal weights']!, zeroSubnormals)
    expect(model.weights.get('w')).toEqual(tensor('float32', [3], Float32Array.of(0, 1, 0)))
    expect(reports[0]).toMatchObject({ changed: 1 })
  })
})
