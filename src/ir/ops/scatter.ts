// Ops that put by index: ScatterElements, ScatterND.
import { numbersOf, sizeOf, stridesOf, type Tensor } from '../../tensor/tensor.ts'
import { type Node, stringOf } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import { scatterElementsVjp, scatterNdVjp } from './gradients/scatter.ts'
import { expandScatter } from './scatter-expansion.ts'
import { axisOf, need, needTensor, reject, rejectNode } from './shared/check.ts'
import { readNumbers, writeNumbers } from './shared/numeric.ts'

/** Element [i, j, k] of the updates goes to data[index[i, j, k], j, k] for axis 0. */
export const scatterElements = defineOp({
  name: 'ScatterElements',
  vjp: scatterElementsVjp,
  expand: (b, context) => expandScatter(evaluateElements, b, context),
  infer: (context) => {
    const type = need(context, 0)
    const [indices, updates] = [need(context, 1).shape, need(context, 2).shape]
    axisOf(context.node, type.shape.length, 0)
    if (indices.length !== type.shape.length || String(indices) !== String(updates))
      reject(`indices [${indices}] and updates [${updates}] for data [${type.shape}]`)
    return [type]
  },
  evaluate: evaluateElements,
})

/** Slices of the updates go to places addressed by tuples: the last axis of the indices. */
export const scatterNd = defineOp({
  name: 'ScatterND',
  vjp: scatterNdVjp,
  expand: (b, context) => expandScatter(evaluateNd, b, context),
  infer: (context: InferContext) => {
    const type = need(context, 0)
    const [indices, updates] = [need(context, 1).shape, need(context, 2).shape]
    const depth = indices.at(-1) ?? reject('indices are a scalar')
    const expected = [...indices.slice(0, -1), ...type.shape.slice(depth)]
    if (depth > type.shape.length || String(expected) !== String(updates))
      reject(`indices [${indices}] and updates [${updates}] for data [${type.shape}]`)
    return [type]
  },
  evaluate: evaluateNd,
})

function evaluateElements(node: Node, inputs: readonly (Tensor | undefined)[]): Tensor[] {
  const data = needTensor(node, inputs, 0)
  const indices = needTensor(node, inputs, 1)
  const axis = axisOf(node, data.shape.length, 0)
  const strides = stridesOf(data.shape)
  const within = stridesOf(indices.shape)
  const targets = numbersOf(indices).map((index, i) =>
    indices.shape.reduce((offset, size, d) => {
      const at = Math.floor(i / within[d]!) % size
      return offset + strides[d]! * (d === axis ? position(node, index, data.shape[d]!) : at)
    }, 0),
  )
  return [scattered(node, data, needTensor(node, inputs, 2), targets)]
}

function evaluateNd(node: Node, inputs: readonly (Tensor | undefined)[]): Tensor[] {
  const data = needTensor(node, inputs, 0)
  const indices = needTensor(node, inputs, 1)
  const depth = indices.shape.at(-1)!
  const strides = stridesOf(data.shape)
  const run = sizeOf(data.shape.slice(depth))
  const tuples = numbersOf(indices)
  const targets: number[] = []
  for (let i = 0; i < tuples.length; i += depth) {
    let base = 0
    for (let d = 0; d < depth; d++)
      base += strides[d]! * position(node, tuples[i + d]!, data.shape[d]!)
    for (let j = 0; j < run; j++) targets.push(base + j)
  }
  return [scattered(node, data, needTensor(node, inputs, 2), targets)]
}

function scattered(node: Node, data: Tensor, updates: Tensor, targets: readonly number[]): Tensor {
  const values = Float64Array.from(readNumbers(data))
  const sources = readNumbers(updates)
  const put = reductionOf(node)
  targets.forEach((target, i) => {
    values[target] = put(values[target]!, sources[i]!)
  })
  return writeNumbers(data.dtype, data.shape, values)
}

function reductionOf(node: Node): (old: number, update: number) => number {
  const reduction = stringOf(node, 'reduction', 'none')
  switch (reduction) {
    case 'none':
      return (_, update) => update
    case 'add':
      return (old, update) => old + update
    case 'mul':
      return (old, update) => old * update
    case 'min':
      return Math.min
    case 'max':
      return Math.max
    default:
      return rejectNode(node, `reduction "${reduction}" is none of none, add, mul, min, max`)
  }
}

function position(node: Node, index: number, size: number): number {
  if (index < -size || index >= size)
    rejectNode(node, `index ${index} is outside ${size} positions`)
  return index < 0 ? index + size : index
}

/** The records of this file. */
export const scatterOps: readonly OpRecord[] = [scatterElements, scatterNd]
