// Element-wise nodes, and chains of them → one pass over memory with broadcasting, in any layout.
import { type Formula, input, constant as literal, substitute } from '../../ir/formula.ts'
import type { Node, ValueType } from '../../ir/graph.ts'
import type { InferContext } from '../../ir/op.ts'
import { findOp } from '../../ir/ops/index.ts'
import { numbersOf, sizeOf, type Tensor } from '../../tensor/tensor.ts'
import type { Kernel, Layout, Offer, OfferContext, PlacedLayouts } from '../kernel.ts'
import { broadcastView, bytesOf, CHW, fitsNhwc, NHWC, PLAIN, storageOf, viewOf } from '../layout.ts'
import { packConstant } from '../pack.ts'
import { convert } from '../tile/build.ts'
import type { TileExpr, TileFunction } from '../tile/nodes.ts'
import { lowerFormula, sizeOfFormula } from './formula.ts'
import { createNames, elementNest, type Strided } from './nest.ts'

/** More operands than this would not stay in registers. */
const OPERAND_LIMIT = 6
/** Larger formulas spill; the next node starts a new pass. */
const SIZE_LIMIT = 24

/** A fused formula with what its inputs are. */
interface Fused {
  readonly covers: readonly Node[]
  readonly output: string
  readonly formula: Formula
  /** What input i of the formula is: a value of the graph, or a constant that varies. */
  readonly operands: readonly Operand[]
}

interface Operand {
  readonly value: string
  readonly type: ValueType
  readonly constant: Tensor | undefined
}

/** Any formula of up to six operands. */
export const pointwise: Kernel = {
  name: 'pointwise-f32',
  offer(node, context) {
    const first = formulaOf(node, context)
    if (typeof first === 'string') return first
    const chain = fuse(first, context)
    return (chain === first ? [first] : [chain, first]).flatMap((fused) => offersOf(fused, context))
  },
}

function formulaOf(node: Node, context: OfferContext): Fused | string {
  const record = findOp(node)
  if (record?.formula === undefined) return ''
  const output = node.outputs[0]!
  const infer: InferContext = {
    node,
    opset: context.model.opsets[node.domain] ?? context.model.opsets[''] ?? 1,
    inputs: node.inputs.map((name) => (name === '' ? undefined : context.type(name))),
    known: (index) => context.constant(node.inputs[index] ?? ''),
  }
  const formula = record.formula(infer)
  const operands: Operand[] = []
  let problem: string | undefined
  const replaced = substitute(formula, (index) => {
    const value = node.inputs[index]!
    const constant = context.constant(value)
    if (constant !== undefined && constant.data.length === 1)
      return literal(numbersOf(constant)[0]!)
    const type = context.type(value)
    problem ??= typeProblem(type, formula, value)
    const at = operands.findIndex((operand) => operand.value === value)
    if (at >= 0) return input(at)
    operands.push({ value, type, constant })
    return input(operands.length - 1)
  })
  const type = context.type(output)
  // A conversion to whole numbers is one operand's; sums and products of them stay declined.
  const isConversion = storageOf(type.dtype) === 'int32' && operands.length === 1
  if (!isReal(type) && !isConversion)
    problem ??= `it computes ${type.dtype}, only float32 and bool are compiled`
  return problem ?? { covers: [node], output, formula: replaced, operands }
}

// Integers may be converted, but not computed with: float32 holds only 24 bits of them.
function typeProblem(type: ValueType, formula: Formula, value: string): string | undefined {
  if (isReal(type)) return undefined
  if (storageOf(type.dtype) !== undefined && formula.kind === 'input') return undefined
  return `it computes with "${value}", which is ${type.dtype}; only float32 and bool are compiled`
}

const isReal = ({ dtype }: ValueType) => dtype === 'float32' || dtype === 'bool'

// Follows sole consumers as long as they are element-wise on the same shape.
function fuse(start: Fused, context: OfferContext): Fused {
  let fused = start
  const { shape } = context.type(start.output)
  for (;;) {
    const node = context.soleConsumer(fused.output)
    const next = node && formulaOf(node, context)
    if (next === undefined || typeof next === 'string') return fused
    const type = context.type(next.output)
    if (!isReal(type) || !isReal(context.type(fused.output))) return fused
    if (sizeOf(type.shape) !== sizeOf(shape) || type.shape.length !== shape.length) return fused
    const joined = compose(fused, next)
    if (joined.operands.length > OPERAND_LIMIT || sizeOfFormula(joined.formula) > SIZE_LIMIT)
      return fused
    fused = joined
  }
}

function compose(inner: Fused, outer: Fused): Fused {
  const operands = [...inner.operands]
  const formula = substitute(outer.formula, (index) => {
    const operand = outer.operands[index]!
    if (operand.value === inner.output) return inner.formula
    const at = operands.findIndex(({ value }) => value === operand.value)
    if (at >= 0) return input(at)
    operands.push(operand)
    return input(operands.length - 1)
  })
  return {
    covers: [...inner.covers, ...outer.covers],
    output: outer.output,
    formula,
    operands,
  }
}

function offersOf(fused: Fused, context: OfferContext): Offer[] {
  const type = context.type(fused.output)
  const canLie =
    fitsNhwc(type) &&
    fused.operands.every(({ type: operand, constant }) =>
      constant === undefined ? fitsNhwc(operand) : operand.shape.length <= 4,
    )
  const images = canLie ? [offerIn(fused, type, NHWC), offerIn(fused, type, CHW)] : []
  return [...images, offerIn(fused, type, PLAIN)]
}

function offerIn(fused: Fused, type: ValueType, layout: Layout): Offer {
  const { formula, operands, output, covers } = fused
  const values = operands.filter(({ constant }) => constant === undefined)
  const constants = operands.filter(({ constant }) => constant !== undefined)
  const ordered = [...values, ...constants]
  const shapeIn = (shape: readonly number[]) =>
    layout.kind === 'plain' ? shape : [...new Array<number>(4 - shape.length).fill(1), ...shape]
  return {
    kernel: pointwise.name,
    covers,
    inputs: values.map(({ value }) => ({ value, layout })),
    outputs: [{ value: output, layout: layout.kind }],
    cost: sizeOf(type.shape) * (1 + ordered.length + sizeOfFormula(formula)),
    scratchBytes: 0,
    // Polynomials of exp, tanh and the like are within a few units in the last place.
    tolerance: 1e-6,
    inPlace: values.flatMap((operand, i) =>
      operand.type.shape.join() === type.shape.join() ? [i] : [],
    ),
    codeKey: () =>
      JSON.stringify([
        formula,
        type.shape,
        ordered.map((operand) => operand.type),
        operands.map((operand) => ordered.indexOf(operand)),
      ]),
    pack: () =>
      constants.map(({ constant, value }) =>
        packConstant({ ...constant!, shape: shapeIn(constant!.shape) }, layout, value),
      ),
    emit: (placed) => emit({ formula, operands, ordered, type, layout, shapeIn }, placed),
  }
}

function emit(
  plan: Pick<Fused, 'formula' | 'operands'> & {
    ordered: readonly Operand[]
    type: ValueType
    layout: Layout
    shapeIn: (shape: readonly number[]) => readonly number[]
  },
  placed: PlacedLayouts,
): TileFunction {
  const { formula, operands, ordered, type, layout, shapeIn } = plan
  const output = placed.outputs[0]!
  const layouts = ordered.map((_, i) => placed.inputs[i] ?? layout)
  const strided = ordered.map((operand, base): Strided => {
    const view = viewOf(shapeIn(operand.type.shape), layouts[base]!)
    return { base, ...broadcastView(view, type.shape) }
  })
  const target = { base: ordered.length, ...viewOf(type.shape, output) }
  const body = elementNest(
    createNames(),
    { dims: type.shape, operands: [...strided, target] },
    (point) => {
      const loads = operands.map((operand): TileExpr => {
        const index = ordered.indexOf(operand)
        const isInteger = storageOf(operand.type.dtype) === 'int32'
        return isInteger ? convert(point.load(index, 'i32x4'), 'f32x4') : point.load(index)
      })
      if (storageOf(type.dtype) !== 'int32') return [point.store(lowerFormula(formula, loads))]
      // Between whole numbers the bits move as they are: float32 would round them.
      const isCopy = storageOf(operands[0]!.type.dtype) === 'int32'
      return [
        point.store(
          isCopy ? point.load(0, 'i32x4') : convert(lowerFormula(formula, loads), 'i32x4'),
        ),
      ]
    },
    { padLanes: output.kind === 'nhwc' },
  )
  return {
    name: 'pointwise',
    parameters: [...ordered.map((_, i) => `x${i}`), 'y'],
    extents: [
      ...ordered.map((operand, i) =>
        bytesOf({ ...operand.type, shape: shapeIn(operand.type.shape) }, layouts[i]!),
      ),
      bytesOf(type, output),
    ],
    body,
  }
}
