// What heavy kernels compute before they store: element-wise nodes that follow, as one formula.
import { constant, type Formula, input, substitute } from '../../ir/formula.ts'
import { type Model, type Node, readsOf } from '../../ir/graph.ts'
import { findOp } from '../../ir/ops/index.ts'
import { numbersOf, sizeOf, type Tensor } from '../../tensor/tensor.ts'
import type { OfferContext, PlacedLayouts } from '../kernel.ts'
import { layoutName } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import type { TileExpr } from '../tile/nodes.ts'
import { floatsOf } from './floats.ts'
import { lowerFormula, sizeOfFormula } from './formula.ts'

/** An operand besides the accumulator: a value of the output's shape, or one number per channel. */
export type EpilogueOperand =
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'channel'; readonly data: Float32Array }

/** A chain of absorbed nodes. Input 0 of the formula is the accumulator, input i + 1 is operand i. */
export interface Epilogue {
  readonly covers: readonly Node[]
  /** The value that is stored. */
  readonly output: string
  readonly formula: Formula
  readonly operands: readonly EpilogueOperand[]
}

/** Activations written out in nodes are no longer than this (HardSwish: Add, Clip, Mul, Div). */
const BRANCH_LIMIT = 6
/** Each further value is one more stream to read; beyond this a node computes its own output. */
const VALUE_LIMIT = 3

/**
 * Absorbs the element-wise consumers of `node`'s output, as long as each is the only one and keeps
 * the shape; several consumers are absorbed where they meet again, as in x · sigmoid(x). Other operands must be scalars, constants per channel, or values of the same shape.
 */
export function absorb(node: Node, context: OfferContext, channelAxis: number): Epilogue {
  let epilogue: Epilogue = {
    covers: [node],
    output: node.outputs[0]!,
    formula: input(0),
    operands: [],
  }
  for (;;) {
    const next = extend(epilogue, context, channelAxis) ?? branch(epilogue, context, channelAxis)
    if (next === undefined) return epilogue
    epilogue = next
  }
}

/** Operations beyond which a formula and the sums of a tile crowd each other out of the registers. */
const HEAVY = 8

/** True where a formula is better computed after the sums are stored: GELU, SiLU, tanh. Its operands must not lie where they are stored. */
export function isHeavy({ formula }: Epilogue): boolean {
  return sizeOfFormula(formula) > HEAVY
}

/** Lowers an epilogue over the accumulator and the loaded operands. */
export function applyEpilogue(
  epilogue: Epilogue,
  accumulator: TileExpr,
  operands: readonly TileExpr[],
): TileExpr {
  return lowerFormula(epilogue.formula, [accumulator, ...operands])
}

/** What of an epilogue and of the layouts shapes the code; data does not. */
export function epilogueKey({ formula, operands }: Epilogue, layouts?: PlacedLayouts): string {
  const places = layouts && [...layouts.inputs, ...layouts.outputs].map(layoutName)
  const kinds = operands.map((operand) => operand.kind)
  return JSON.stringify([formula, kinds, places], (_, value) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  )
}

/** Returns the values an epilogue reads, in the order of its operands. */
export function epilogueValues({ operands }: Epilogue): string[] {
  return operands.flatMap((operand) => (operand.kind === 'value' ? [operand.value] : []))
}

/** Returns the packed numbers per channel, in the order of the operands, each filled up to a multiple of 4; `order` says which channel comes at each place. */
export function packEpilogue({ operands }: Epilogue, order?: Int32Array): Uint8Array[] {
  return operands.flatMap((operand) => {
    if (operand.kind !== 'channel') return []
    const { data } = operand
    const padded = new Float32Array(Math.ceil(data.length / 4) * 4)
    padded.set(order ? Float32Array.from(order, (channel) => data[channel]!) : data)
    return [bytesOfView(padded)]
  })
}

function extend(
  epilogue: Epilogue,
  context: OfferContext,
  channelAxis: number,
): Epilogue | undefined {
  const { output, formula } = epilogue
  const consumer = context.soleConsumer(output)
  if (consumer === undefined) return undefined
  const operands = [...epilogue.operands]
  const shape = context.type(output).shape
  const inside = new Map([[output, formula]])
  const found = formulaOf(consumer, { context, shape, channelAxis, operands, inside })
  if (found === undefined) return undefined
  if (operands.filter((operand) => operand.kind === 'value').length > VALUE_LIMIT) return undefined
  return {
    covers: [...epilogue.covers, consumer],
    output: consumer.outputs[0]!,
    formula: found,
    operands,
  }
}

// Several readers of the output whose results meet again in one value, with nothing else involved.
function branch(
  epilogue: Epilogue,
  context: OfferContext,
  channelAxis: number,
): Epilogue | undefined {
  const { graph } = context.model
  const readers = readersOf(context.model)
  const results = new Set(graph.outputs.map((value) => value.name))
  const operands = [...epilogue.operands]
  const shape = context.type(epilogue.output).shape
  const inside = new Map([[epilogue.output, epilogue.formula]])
  const absorbed: Node[] = []
  const isOpen = (name: string) =>
    results.has(name) || (readers.get(name) ?? []).some((node) => !absorbed.includes(node))
  while (absorbed.length < BRANCH_LIMIT) {
    const next = [...inside.keys()]
      .flatMap((name) => readers.get(name) ?? [])
      .find(
        (node) =>
          !absorbed.includes(node) &&
          node.inputs.every(
            (name) => name === '' || inside.has(name) || context.constant(name) !== undefined,
          ),
      )
    const formula = next && formulaOf(next, { context, shape, channelAxis, operands, inside })
    if (next === undefined || formula === undefined) return undefined
    absorbed.push(next)
    const output = next.outputs[0]!
    inside.set(output, formula)
    if ([...inside.keys()].every((name) => name === output || !isOpen(name)))
      return { covers: [...epilogue.covers, ...absorbed], output, formula, operands }
  }
  return undefined
}

const readersByModel = new WeakMap<Model, Map<string, Node[]>>()

function readersOf(model: Model): ReadonlyMap<string, readonly Node[]> {
  const known = readersByModel.get(model)
  if (known !== undefined) return known
  const readers = new Map<string, Node[]>()
  for (const node of model.graph.nodes)
    for (const name of new Set(readsOf(node))) {
      const before = readers.get(name)
      if (before) before.push(node)
      else readers.set(name, [node])
    }
  readersByModel.set(model, readers)
  return readers
}

// A node's formula over the accumulator and the operands; undefined where it cannot be absorbed.
function formulaOf(
  node: Node,
  search: OperandSearch & { readonly inside: ReadonlyMap<string, Formula> },
): Formula | undefined {
  const { context, shape, inside } = search
  const record = findOp(node)
  if (record?.formula === undefined || node.outputs.length !== 1) return undefined
  const result = context.analysis.types.get(node.outputs[0]!)
  if (result?.dtype !== 'float32' || String(result.shape) !== String(shape)) return undefined
  const inputs = node.inputs.map((name) =>
    name === '' ? undefined : context.analysis.types.get(name),
  )
  if (node.inputs.some((name, i) => name !== '' && inputs[i] === undefined)) return undefined
  const formula = record.formula({
    node,
    opset: context.model.opsets[node.domain] ?? 1,
    inputs,
    known: (index) => context.constant(node.inputs[index] ?? ''),
  })
  const replacements = new Map<number, Formula>()
  for (const index of inputsOf(formula)) {
    const name = node.inputs[index]!
    const found = inside.get(name) ?? operandOf(name, search)
    if (found === undefined) return undefined
    replacements.set(index, found)
  }
  return substitute(formula, (index) => replacements.get(index)!)
}

interface OperandSearch {
  readonly context: OfferContext
  readonly shape: readonly number[]
  readonly channelAxis: number
  /** Grows by what is found. */
  readonly operands: EpilogueOperand[]
}

function operandOf(
  name: string,
  { context, shape, channelAxis, operands }: OperandSearch,
): Formula | undefined {
  const type = context.type(name)
  if (type.dtype !== 'float32') return undefined
  const append = (operand: EpilogueOperand) => input(operands.push(operand))
  const known = context.constant(name)
  if (known !== undefined && sizeOf(known.shape) === 1) return constant(numbersOf(known)[0]!)
  const perChannel = known && channelData(known, shape, channelAxis)
  if (perChannel !== undefined) return append({ kind: 'channel', data: perChannel })
  if (String(type.shape) !== String(shape)) return undefined
  const before = operands.findIndex((o) => o.kind === 'value' && o.value === name)
  return before >= 0 ? input(before + 1) : append({ kind: 'value', value: name })
}

// The numbers of a constant that varies along the channel axis only.
function channelData(
  known: Tensor,
  shape: readonly number[],
  channelAxis: number,
): Float32Array | undefined {
  const axis = channelAxis - (shape.length - known.shape.length)
  const fits = known.shape.every((size, i) =>
    i === axis ? size === shape[channelAxis] : size === 1,
  )
  if (axis < 0 || !fits || known.shape.length > shape.length) return undefined
  return flushSubnormals(floatsOf(known))
}

function inputsOf(formula: Formula): ReadonlySet<number> {
  const found = new Set<number>()
  substitute(formula, (index) => {
    found.add(index)
    return input(index)
  })
  return found
}
