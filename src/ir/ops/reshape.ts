// Ops that keep every element where it is: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout.
import { numbersOf, sizeOf, type Tensor } from '../../tensor/tensor.ts'
import { input } from '../formula.ts'
import { intOf, intsOf, type Node } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import type { GraphBuilder } from '../builder.ts'
import {
  checkShape,
  contextOf,
  intsFrom,
  knownInts,
  need,
  needTensor,
  normalizeAxes,
  reject,
} from './shared/check.ts'
import { reshapeTensor } from './shared/move.ts'
import { resizeReshape, resizeSqueeze } from './units/movement.ts'
import { reshapeVjp } from './gradients/movement.ts'
import { identityVjp } from './gradients/unary.ts'

type ShapeRule = (context: InferContext) => readonly number[]

/** A record for an op that only renames the shape. */
function renaming(name: string, shapeOf: ShapeRule, rest: Partial<OpRecord> = {}): OpRecord {
  return defineOp({
    name,
    units: { kind: 'move', data: [0] },
    ...rest,
    infer: (context) => [{ dtype: need(context, 0).dtype, shape: shapeOf(context) }],
    evaluate: (node, inputs, opset) => [
      reshapeTensor(needTensor(node, inputs, 0), shapeOf(contextOf(node, inputs, opset))),
    ],
  })
}

/** 0 copies a size (unless `allowzero`), one −1 takes what is left. */
export const reshape = renaming(
  'Reshape',
  (context) => {
    const { shape } = need(context, 0)
    const target = intsFrom(context, 1, 'shape') ?? reject('shape is missing')
    const literal = intOf(context.node, 'allowzero', 0) === 1
    const sizes = target.map((size, axis) =>
      size === 0 && !literal ? (shape[axis] ?? reject(`no axis ${axis} to copy`)) : size,
    )
    if (sizes.filter((size) => size === -1).length > 1) reject(`shape [${target}] has several -1`)
    const known = sizeOf(sizes.filter((size) => size !== -1))
    const rest = known === 0 ? 0 : sizeOf(shape) / known
    const result = checkShape(sizes.map((size) => (size === -1 ? rest : size)))
    if (sizeOf(result) !== sizeOf(shape)) reject(`[${shape}] cannot become [${target}]`)
    return result
  },
  {
    vjp: reshapeVjp,
    resize: resizeReshape,
    // Before opset 5 the shape is an attribute.
    upgrade: (node, _opset, b) => {
      const { shape, ...attributes } = node.attributes
      if (shape?.type !== 'ints' || node.inputs.length > 1) return node
      return { ...node, inputs: [node.inputs[0]!, b.ints(shape.value)], attributes }
    },
  },
)

/** Two axes: what is before `axis` and what follows. */
export const flatten = renaming(
  'Flatten',
  ({ node, inputs }) => {
    const shape = inputs[0]?.shape ?? reject('input 0 is missing')
    const axis = intOf(node, 'axis', 1)
    if (axis < -shape.length || axis > shape.length) reject(`axis ${axis} for [${shape}]`)
    const at = axis < 0 ? axis + shape.length : axis
    return [sizeOf(shape.slice(0, at)), sizeOf(shape.slice(at))]
  },
  { vjp: reshapeVjp },
)

/** Drops the given axes of size 1, or all of them. */
export const squeeze = renaming(
  'Squeeze',
  (context) => {
    const { shape } = need(context, 0)
    const given = intsFrom(context, 1, 'axes')
    const drop = new Set(
      given
        ? normalizeAxes(given, shape.length)
        : shape.flatMap((size, axis) => (size === 1 ? [axis] : [])),
    )
    for (const axis of drop) if (shape[axis] !== 1) reject(`axis ${axis} of [${shape}] is not 1`)
    return shape.filter((_, axis) => !drop.has(axis))
  },
  { vjp: reshapeVjp, resize: resizeSqueeze, upgrade: axesToInput },
)

/** Inserts axes of size 1 at the given places of the result. */
export const unsqueeze = renaming(
  'Unsqueeze',
  (context) => {
    const { shape } = need(context, 0)
    const given = intsFrom(context, 1, 'axes') ?? reject('axes are missing')
    const rank = shape.length + given.length
    const inserted = new Set(normalizeAxes(given, rank))
    let next = 0
    return Array.from({ length: rank }, (_, axis) => (inserted.has(axis) ? 1 : shape[next++]!))
  },
  { vjp: reshapeVjp, upgrade: axesToInput },
)

/** The input itself. */
export const identity = renaming('Identity', (context) => need(context, 0).shape, {
  vjp: identityVjp,
  formula: () => input(0),
  units: { kind: 'pass' },
})

/** At inference the input itself, and a mask that is all true. */
export const dropout = defineOp({
  name: 'Dropout',
  vjp: identityVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const mask = { dtype: context.opset < 10 ? dtype : 'bool', shape } as const
    if (isTraining(context)) reject('dropout in training mode is random')
    return [{ dtype, shape }, mask].slice(0, context.node.outputs.length)
  },
  evaluate: (node, inputs, opset) => {
    const t = needTensor(node, inputs, 0)
    if (isTraining(contextOf(node, inputs, opset))) reject('dropout in training mode is random')
    const ones: Tensor = {
      dtype: 'bool',
      shape: t.shape,
      data: new Uint8Array(t.data.length).fill(1),
    }
    return [t, ones].slice(0, node.outputs.length)
  },
  formula: () => input(0),
  units: { kind: 'pass' },
  // The ratio means nothing at inference; opset 12 made it an input.
  upgrade: (node, opset) => {
    const {
      ratio: _ratio,
      is_test: _isTest,
      consumed_inputs: _old,
      ...attributes
    } = node.attributes
    return opset >= 12 ? node : { ...node, attributes }
  },
})

function isTraining(context: InferContext): boolean {
  if (context.inputs[2] === undefined) return false
  const ratio = context.inputs[1] && context.known(1)
  return knownInts(context, 2)![0] === 1 && !(ratio && numbersOf(ratio)[0] === 0)
}

/** Moves an `axes` attribute to input 1, where opset 13 has it. */
function axesToInput(node: Node, _opset: number, b: GraphBuilder): Node {
  const axes = intsOf(node, 'axes')
  if (axes === undefined) return node
  const { axes: _axes, ...attributes } = node.attributes
  return { ...node, inputs: [node.inputs[0]!, b.ints(axes)], attributes }
}

/** The records of this file. */
export const reshapeOps: readonly OpRecord[] = [
  reshape,
  flatten,
  squeeze,
  unsqueeze,
  identity,
  dropout,
]
