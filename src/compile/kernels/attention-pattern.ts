// Softmax(Q·K · scale + mask) · V in a graph: the nodes, and where the elements of each operand lie.
// Transposes before and after become strides, so nothing is moved for them.
import { binary, constant, type Formula, input, inputsOf, substitute } from '../../ir/formula.ts'
import { intOf, intsOf, type Model, type Node } from '../../ir/graph.ts'
import { findOp } from '../../ir/ops/index.ts'
import { numbersOf, sizeOf } from '../../tensor/tensor.ts'
import type { OfferContext } from '../kernel.ts'
import { broadcastView, PLAIN, storageOf, viewOf } from '../layout.ts'

/** An operand: a value of the graph, and bytes per step of each axis that attention sees. */
export interface AttentionOperand {
  readonly value: string
  readonly bytes: number
  readonly strides: readonly number[]
}

/** Attention over leading axes: Q is [lead, q, d], K is [lead, d, k], V is [lead, k, e]. */
export interface Attention {
  readonly covers: readonly Node[]
  readonly lead: readonly number[]
  readonly sizes: { readonly q: number; readonly k: number; readonly d: number; readonly e: number }
  readonly q: AttentionOperand
  readonly k: AttentionOperand
  readonly v: AttentionOperand
  readonly out: AttentionOperand
  /** What becomes of a product before the softmax: input 0 is the product, i + 1 is value i. */
  readonly formula: Formula
  readonly values: readonly AttentionOperand[]
}

/** More masks than this are no attention. */
const VALUE_LIMIT = 2

/** Returns the attention whose first node this is; undefined where there is none. */
export function attentionAt(node: Node, context: OfferContext): Attention | undefined {
  return attentionsOf(context).get(node)
}

const known = new WeakMap<Model, Map<Node, Attention>>()

// By the first of the nodes covered.
function attentionsOf(context: OfferContext): ReadonlyMap<Node, Attention> {
  const before = known.get(context.model)
  if (before !== undefined) return before
  const found = new Map<Node, Attention>()
  for (const node of context.model.graph.nodes) {
    if (node.op !== 'Softmax' || node.domain !== '') continue
    const attention = attentionAround(node, context)
    if (attention !== undefined) found.set(attention.covers[0]!, attention)
  }
  known.set(context.model, found)
  return found
}

function attentionAround(softmax: Node, context: OfferContext): Attention | undefined {
  const scores = context.type(softmax.inputs[0]!)
  const rank = scores.shape.length
  const opset = context.model.opsets[''] ?? 1
  const axis = intOf(softmax, 'axis', opset < 13 ? 1 : -1)
  if (scores.dtype !== 'float32' || rank < 2 || (axis + rank) % rank !== rank - 1) return undefined
  const second = soleReader(softmax.outputs[0]!, context)
  if (second === undefined || !isMatMul(second) || second.inputs[0] !== softmax.outputs[0])
    return undefined
  const before = productBefore(softmax.inputs[0]!, context)
  if (before === undefined) return undefined
  const { product, chain, values } = before
  const q = operandOf(product.inputs[0]!, context)
  const k = operandOf(product.inputs[1]!, context)
  const v = operandOf(second.inputs[1]!, context)
  const lead = scores.shape.slice(0, -2)
  const shapes = [...product.inputs, second.inputs[1]!].map((name) => context.type(name).shape)
  // One matrix per place of the leading axes on every side; broadcast ones stay with the products.
  if (shapes.some((shape) => shape.slice(0, -2).join() !== lead.join())) return undefined
  const [qShape, , vShape] = shapes as [readonly number[], readonly number[], readonly number[]]
  const sizes = {
    q: scores.shape[rank - 2]!,
    k: scores.shape[rank - 1]!,
    d: qShape.at(-1)!,
    e: vShape.at(-1)!,
  }
  if (sizeOf(scores.shape) === 0 || sizes.d === 0 || sizes.e === 0) return undefined
  if (v.strides.at(-1) !== 4) return undefined
  const out = outputOf(second, context)
  const factor = q.factor * k.factor
  const scaled = factor === 1 ? input(0) : binary('mul', input(0), constant(factor))
  const covers = [
    ...[q, k, v].flatMap((operand) => operand.through),
    product,
    ...chain,
    softmax,
    second,
    ...out.through,
  ]
  covers.sort((a, b) => context.positionOf(a) - context.positionOf(b))
  return {
    covers,
    lead,
    sizes,
    q,
    k,
    v: v.factor === 1 ? v : { ...plainOf(second.inputs[1]!, context) },
    out,
    formula: substitute(before.formula, (i) => (i === 0 ? scaled : input(i))),
    values,
  }
}

const isMatMul = ({ op, domain }: Node) => op === 'MatMul' && domain === ''

function soleReader(value: string, context: OfferContext): Node | undefined {
  const readers = context.consumers(value)
  return readers.length === 1 && !context.isOutput(value) ? readers[0] : undefined
}

// Back from the softmax over element-wise nodes to the product.
function productBefore(scores: string, context: OfferContext) {
  const chain: Node[] = []
  const values: AttentionOperand[] = []
  let formula: Formula = input(0)
  for (let value = scores; ; ) {
    const node = context.producer(value)
    if (node === undefined || soleReader(value, context) === undefined) return undefined
    if (isMatMul(node)) return { product: node, chain, values, formula }
    const record = findOp(node)
    if (record?.formula === undefined || node.outputs.length !== 1) return undefined
    const own = record.formula({
      node,
      opset: context.model.opsets[node.domain] ?? 1,
      inputs: node.inputs.map((name) => (name === '' ? undefined : context.type(name))),
      known: (index) => context.constant(node.inputs[index] ?? ''),
    })
    let next: string | undefined
    const replaced = new Map<number, Formula>()
    for (const index of inputsOf(own)) {
      const name = node.inputs[index]!
      const found = sideOf(name, { scores, values, context })
      if (found !== undefined) replaced.set(index, found)
      else if (next === undefined && isScores(name, scores, context)) {
        next = name
        replaced.set(index, input(0))
      } else return undefined
    }
    if (next === undefined) return undefined
    const outer = formula
    const inner = substitute(own, (index) => replaced.get(index)!)
    formula = substitute(outer, (i) => (i === 0 ? inner : input(i)))
    chain.unshift(node)
    value = next
  }
}

function isScores(name: string, scores: string, context: OfferContext): boolean {
  const [type, own] = [context.type(scores), context.type(name)]
  return own.dtype === 'float32' && own.shape.join() === type.shape.join()
}

// A number, or a mask that varies along the keys.
function sideOf(
  name: string,
  {
    scores,
    values,
    context,
  }: { scores: string; values: AttentionOperand[]; context: OfferContext },
): Formula | undefined {
  const data = context.constant(name)
  if (data !== undefined && sizeOf(data.shape) === 1) return constant(numbersOf(data)[0]!)
  const { shape, dtype } = context.type(name)
  const whole = context.type(scores).shape
  if (storageOf(dtype) !== 'float32' || shape.length > whole.length) return undefined
  if (shape.at(-1) !== whole.at(-1)) return undefined
  const isWhole = shape.join() === whole.join()
  // The scores themselves come as a value of their whole shape.
  if (isWhole && data === undefined && context.producer(name) !== undefined) return undefined
  if (values.length === VALUE_LIMIT) return undefined
  values.push({
    value: name,
    bytes: sizeOf(shape) * 4,
    strides: broadcastView(viewOf(shape, PLAIN), whole).strides,
  })
  return input(values.length)
}

interface Reached extends AttentionOperand {
  readonly through: readonly Node[]
  /** A number that every element is multiplied by. */
  readonly factor: number
}

function plainOf(value: string, context: OfferContext): Reached {
  const { shape } = context.type(value)
  return {
    value,
    bytes: sizeOf(shape) * 4,
    strides: viewOf(shape, PLAIN).strides,
    through: [],
    factor: 1,
  }
}

// Back over transposes and scalings that only this operand reads.
function operandOf(value: string, context: OfferContext): Reached {
  const node = context.producer(value)
  if (node === undefined || soleReader(value, context) === undefined) return plainOf(value, context)
  if (node.domain === '' && node.op === 'Transpose') {
    const from = operandOf(node.inputs[0]!, context)
    const perm = intsOf(node, 'perm') ?? from.strides.map((_, i) => from.strides.length - 1 - i)
    const strides = perm.map((axis) => from.strides[axis]!)
    return { ...from, strides, through: [...from.through, node] }
  }
  const scaled = node.domain === '' && node.op === 'Mul' ? scalarSide(node, context) : undefined
  if (scaled === undefined) return plainOf(value, context)
  const from = operandOf(scaled.other, context)
  return { ...from, factor: from.factor * scaled.factor, through: [...from.through, node] }
}

function scalarSide(node: Node, context: OfferContext) {
  for (const side of [0, 1]) {
    const data = context.constant(node.inputs[side]!)
    const other = node.inputs[1 - side]!
    const isScalar = data?.dtype === 'float32' && sizeOf(data.shape) === 1
    if (
      isScalar &&
      context.type(other).shape.join() === context.type(node.outputs[0]!).shape.join()
    )
      return { factor: numbersOf(data)[0]!, other }
  }
  return undefined
}

// On to the value that is stored: a transpose that follows decides where each element goes.
function outputOf(product: Node, context: OfferContext): Reached {
  const value = product.outputs[0]!
  const next = soleReader(value, context)
  const plain = plainOf(value, context)
  if (next?.op !== 'Transpose' || next.domain !== '') return plain
  const rank = plain.strides.length
  const perm = intsOf(next, 'perm') ?? plain.strides.map((_, i) => rank - 1 - i)
  if (perm.at(-1) !== rank - 1) return plain
  const moved = plainOf(next.outputs[0]!, context)
  const strides = plain.strides.map((_, axis) => moved.strides[perm.indexOf(axis)]!)
  return { ...moved, strides, through: [next] }
}
