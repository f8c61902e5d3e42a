// CumSum: running sums along an axis.
import { floats, numbersOf, stridesOf } from '../../tensor/tensor.ts'
import { intList, intOf } from '../graph.ts'
import { defineOp, type OpRecord } from '../op.ts'
import { cumSumVjp } from './gradients/reduce.ts'
import { contextOf, knownScalar, need, needTensor, normalizeAxis } from './shared/check.ts'
import { readNumbers, writeNumbers } from './shared/numeric.ts'
import { orderedUnits } from './units/channels.ts'

/** Sum of all elements up to each (without it if `exclusive`), from the end if `reverse`. */
export const cumSum = defineOp({
  name: 'CumSum',
  vjp: cumSumVjp,
  units: orderedUnits(({ known, inputs }) => {
    const axis = known(1)
    return axis && [normalizeAxis(numbersOf(axis)[0]!, inputs[0]!.shape.length)]
  }),
  infer: (context) => {
    const type = need(context, 0)
    need(context, 1)
    if (context.known(1)) normalizeAxis(knownScalar(context, 1), type.shape.length)
    return [type]
  },
  evaluate: (node, inputs, opset) => {
    const t = needTensor(node, inputs, 0)
    const axis = normalizeAxis(knownScalar(contextOf(node, inputs, opset), 1), t.shape.length)
    const [size, stride] = [t.shape[axis]!, stridesOf(t.shape)[axis]!]
    const backwards = intOf(node, 'reverse', 0) === 1
    const exclusive = intOf(node, 'exclusive', 0) === 1
    const values = readNumbers(t)
    const result = new Float64Array(values.length)
    for (let line = 0; line < values.length / size; line++) {
      const base = Math.floor(line / stride) * stride * size + (line % stride)
      let sum = 0
      for (let k = 0; k < size; k++) {
        const at = base + (backwards ? size - 1 - k : k) * stride
        result[at] = exclusive ? sum : sum + values[at]!
        sum += values[at]!
      }
    }
    return [writeNumbers(t.dtype, t.shape, result)]
  },
  // A product with a triangle of ones.
  expand: (b, context) => {
    const { node, inputs } = context
    const { dtype, shape } = inputs[0]!
    if (context.known(1) === undefined || dtype !== 'float32') return undefined
    const axis = normalizeAxis(knownScalar(context, 1), shape.length)
    const size = shape[axis]!
    const backwards = intOf(node, 'reverse', 0) === 1
    const nearest = intOf(node, 'exclusive', 0) === 1 ? 1 : 0
    const ones = Float32Array.from({ length: size * size }, (_, i) => {
      const ahead = (i % size) - Math.floor(i / size)
      return (backwards ? -ahead : ahead) >= nearest ? 1 : 0
    })
    const last = shape.length - 1
    const order = shape.map((_, d) => (d === axis ? last : d === last ? axis : d))
    const flip = (x: string) =>
      axis === last ? x : b.op('Transpose', [x], { perm: intList(order) })
    const triangle = b.constant(floats([size, size], ones))
    return [flip(b.op('MatMul', [flip(node.inputs[0]!), triangle]))]
  },
})

/** The records of this file. */
export const cumulativeOps: readonly OpRecord[] = [cumSum]
