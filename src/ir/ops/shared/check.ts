// What every infer needs: reading inputs, axes and known integers, and refusing with a clear reason.
import { numbersOf, sizeOf, type Tensor } from '../../../tensor/tensor.ts'
import { ModelError } from '../../../util/errors.ts'
import { intOf, intsOf, type Node, opName, type ValueType } from '../../graph.ts'
import { type InferContext, UnknownValue } from '../../op.ts'
import { readNumbers } from './numeric.ts'

/** Refuses a node from within `infer`; `analyze` adds which node and which input types. */
export function reject(reason: string): never {
  throw new Error(reason)
}

/** Refuses a node from within `evaluate`. */
export function rejectNode(node: Node, reason: string): never {
  throw new ModelError(
    `Cannot compute "${node.name || node.outputs[0]}" (${opName(node)}): ${reason}`,
  )
}

/** Returns the type of a required input. */
export function need(context: InferContext, index: number): ValueType {
  return context.inputs[index] ?? reject(`input ${index} is missing`)
}

/** Returns a required tensor of `evaluate`. */
export function needTensor(
  node: Node,
  inputs: readonly (Tensor | undefined)[],
  index: number,
): Tensor {
  return inputs[index] ?? rejectNode(node, `input ${index} is missing`)
}

/** Returns the one number an input holds. Throws UnknownValue when it depends on the model's inputs. */
export function knownScalar(context: InferContext, index: number): number {
  need(context, index)
  const value = context.known(index)
  if (value === undefined) throw new UnknownValue(`input ${index} is not known ahead`)
  if (value.data.length !== 1) reject(`input ${index} has shape [${value.shape}], not one element`)
  return readNumbers(value)[0]!
}

/** Returns an axis as 0…rank-1; negative axes count from the end. */
export function normalizeAxis(axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank)
    reject(`axis ${axis} is outside a tensor of rank ${rank}`)
  return axis < 0 ? axis + rank : axis
}

/** Returns axes normalised; two equal ones are refused. */
export function normalizeAxes(axes: readonly number[], rank: number): number[] {
  const normal = axes.map((axis) => normalizeAxis(axis, rank))
  if (new Set(normal).size !== normal.length) reject(`axes [${axes}] repeat`)
  return normal
}

/** Returns an integer input's values; undefined when the input is absent. Throws UnknownValue when they depend on the model's inputs. */
export function knownInts(context: InferContext, index: number): number[] | undefined {
  if (context.inputs[index] === undefined) return undefined
  const value = context.known(index)
  if (value === undefined) throw new UnknownValue(`input ${index} is not known ahead`)
  return numbersOf(value)
}

/** Returns integers given as input `index` (newer opsets) or as an attribute (older ones). */
export function intsFrom(
  context: InferContext,
  index: number,
  attribute: string,
): readonly number[] | undefined {
  return knownInts(context, index) ?? intsOf(context.node, attribute)
}

/** Returns an attribute list of exactly `count` integers ≥ `least`, or `count` times the default. */
export function spatialInts(
  node: Node,
  name: string,
  options: { count: number; otherwise: number; least: number },
): readonly number[] {
  const { count, otherwise, least } = options
  const found = intsOf(node, name)
  if (found === undefined) return new Array<number>(count).fill(otherwise)
  if (found.length !== count) reject(`${name} [${found}] should have ${count} entries`)
  if (found.some((value) => value < least)) reject(`${name} [${found}] has an entry below ${least}`)
  return found
}

/** Returns the shape after checking that every size is a plain count. */
export function checkShape(shape: readonly number[]): readonly number[] {
  if (shape.some((size) => !Number.isSafeInteger(size) || size < 0) || sizeOf(shape) > 2 ** 53)
    reject(`the output would have shape [${shape}]`)
  return shape
}

/** The one axis attribute of an op, normalised. */
export function axisOf(node: Node, rank: number, otherwise: number): number {
  return normalizeAxis(intOf(node, 'axis', otherwise), rank)
}

/** A context for formulas and shape rules over tensors that are all at hand. */
export function contextOf(
  node: Node,
  inputs: readonly (Tensor | undefined)[],
  opset: number,
): InferContext {
  const types = inputs.map((t) => t && { dtype: t.dtype, shape: t.shape })
  return { node, opset, inputs: types, known: (index) => inputs[index] }
}
