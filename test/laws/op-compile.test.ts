// Law over the op registry: a compiled case computes what its record computes, or declines by name.
import { load, type ModelInputs } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { type Compiled, compile } from '../../src/compile/compile.ts'
import { OPSET } from '../../src/ir/builder.ts'
import type { Model } from '../../src/ir/graph.ts'
import { difference } from '../support/compare.ts'
import { inferNode, runNode } from '../support/host.ts'
import type { Dtype, Tensor } from '../../src/tensor/tensor.ts'
import { CompileError } from '../../src/util/errors.ts'
import { type OpCase, opCases } from './op-cases.ts'
import { modelOf } from './op-model.ts'

/** Polynomial kernels state 1e-6 relative; reductions and cubic weights add a few roundings. */
const tolerance = { absolute: 5e-6, relative: 2e-5 }

/** What the compiler may decline: it must say so, and say which node. */
const declined: Readonly<Record<string, string>> = {
  ArgMax: 'integer results',
  ArgMin: 'integer results',
  TopK: 'sorts',
  GatherElements: 'scattered elements',
  ScatterElements: 'scattered elements',
  ScatterND: 'scattered elements',
}

/** Ops whose further inputs are weights: constants, in what gets compiled. */
const weighted = new Set([
  ...['Conv', 'ConvTranspose', 'Gemm', 'BatchNormalization'],
  ...['InstanceNormalization', 'LayerNormalization', 'GroupNormalization'],
  ...['RNN', 'GRU', 'LSTM'],
])

describe('op records compile to what they compute', () => {
  opCases.forEach((item, i) => {
    if (item.opset < OPSET || !isCompiled(item)) return
    it(`${item.op} #${i}`, async () => {
      const { model, node, feeds } = modelOf(item, (input) => input > 0 && weighted.has(item.op))
      const compiled = compileOrDecline(item, model)
      if (compiled === undefined) return
      const expected = runNode(node, item.inputs, { opset: item.opset })
      const bundle = await load(compiled)
      const results = await bundle.run(feeds as ModelInputs)
      node.outputs.forEach((name, output) => {
        const actual = results[name] as Tensor
        expect(difference(actual, expected[output]!, tolerance)).toBeUndefined()
      })
    })
  })
})

const computed: ReadonlySet<Dtype> = new Set<Dtype>(['float32', 'bool'])

/** Undefined where the compiler declines an op that it may decline. */
function compileOrDecline(item: OpCase, model: Model): Compiled | undefined {
  try {
    return compile(model)
  } catch (error) {
    if (!(error instanceof CompileError) || declined[item.op] === undefined) throw error
    expect(error.message).toContain('"node"')
    return undefined
  }
}

/** Cases of what kernels compute: floats and truth values, two spatial axes, no indices. */
function isCompiled(item: OpCase): boolean {
  const [first, ...rest] = item.inputs
  if (first === undefined || !computed.has(first.dtype)) return false
  if (rest.some((value) => value?.dtype === 'int32')) return false
  if (item.op === 'Pow' && rest.some((value) => value?.dtype === 'int64')) return false
  const { node } = modelOf(item)
  return (
    item.op in declined ||
    (first.shape.length < 5 &&
      inferNode(node, item.inputs, item.opset).every(({ dtype }) => computed.has(dtype)))
  )
}
