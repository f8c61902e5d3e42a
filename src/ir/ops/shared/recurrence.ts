// What RNN, GRU and LSTM nodes say: sizes, directions, activations. Records and kernels read it here.
import {
  type Attribute,
  float,
  floatOf,
  intOf,
  type Node,
  stringOf,
  type ValueType,
} from '../../graph.ts'
import { reject } from './check.ts'

/** The recurrent ops. */
export type Cell = 'RNN' | 'GRU' | 'LSTM'

/** An element-wise op with its attributes. */
export interface Activation {
  readonly op: string
  readonly attributes: Readonly<Record<string, Attribute>>
}

/** A recurrent node on known shapes. */
export interface Recurrence {
  readonly cell: Cell
  /** Blocks of rows in W and R: 1, 3 (z r h) or 4 (i o f c). */
  readonly gates: number
  readonly steps: number
  readonly batch: number
  readonly inputSize: number
  readonly hidden: number
  /** Per direction: does time run backwards? */
  readonly reversed: readonly boolean[]
  /** Per direction: one activation for RNN, two for GRU, three for LSTM. */
  readonly activations: readonly (readonly Activation[])[]
  /** True when the batch is the first axis of sequences and states (layout 1). */
  readonly batchFirst: boolean
  /** Bound of what enters activations; infinite when there is none. */
  readonly clip: number
  readonly linearBeforeReset: boolean
  readonly inputForget: boolean
}

const gatesOf: Readonly<Record<Cell, number>> = { RNN: 1, GRU: 3, LSTM: 4 }
const defaults: Readonly<Record<Cell, readonly string[]>> = {
  RNN: ['Tanh'],
  GRU: ['Sigmoid', 'Tanh'],
  LSTM: ['Sigmoid', 'Tanh', 'Tanh'],
}
/** Parameters of activations, with the defaults that ONNX states; the first of two is `alpha`. */
const parameters: Readonly<Record<string, readonly number[]>> = {
  Relu: [],
  Tanh: [],
  Sigmoid: [],
  Softsign: [],
  Softplus: [],
  Affine: [1, 0],
  LeakyRelu: [0.01],
  ThresholdedRelu: [1],
  ScaledTanh: [1, 1],
  HardSigmoid: [0.2, 0.5],
  Elu: [1],
}

/** Reads a node. Throws where its shapes or attributes do not fit. */
export function recurrenceOf(node: Node, inputs: readonly (ValueType | undefined)[]): Recurrence {
  const cell = node.op as Cell
  const gates = gatesOf[cell]
  const [x, w, r] = [0, 1, 2].map((i) => inputs[i]?.shape ?? reject(`input ${i} is missing`))
  if (x!.length !== 3) reject(`X [${x}] should have three axes`)
  const batchFirst = intOf(node, 'layout', 0) === 1
  const [steps, batch] = batchFirst ? [x![1]!, x![0]!] : [x![0]!, x![1]!]
  const inputSize = x![2]!
  const hidden = intOf(node, 'hidden_size', r![2] ?? 0)
  const reversed = directionsOf(node)
  expectShape('W', w!, [reversed.length, gates * hidden, inputSize])
  expectShape('R', r!, [reversed.length, gates * hidden, hidden])
  const bias = inputs[3]?.shape
  if (bias) expectShape('B', bias, [reversed.length, 2 * gates * hidden])
  const state = batchFirst ? [batch, reversed.length, hidden] : [reversed.length, batch, hidden]
  for (const i of cell === 'LSTM' ? [5, 6] : [5]) {
    const shape = inputs[i]?.shape
    if (shape) expectShape(i === 5 ? 'initial_h' : 'initial_c', shape, state)
  }
  const peepholes = cell === 'LSTM' ? inputs[7]?.shape : undefined
  if (peepholes) expectShape('P', peepholes, [reversed.length, 3 * hidden])
  return {
    cell,
    gates,
    steps,
    batch,
    inputSize,
    hidden,
    reversed,
    activations: activationsOf(node, cell, reversed.length),
    batchFirst,
    clip: floatOf(node, 'clip', Number.POSITIVE_INFINITY),
    linearBeforeReset: intOf(node, 'linear_before_reset', 0) !== 0,
    inputForget: intOf(node, 'input_forget', 0) !== 0,
  }
}

/** Shape of initial and final states. */
export function stateShape({ reversed, batch, hidden, batchFirst }: Recurrence): readonly number[] {
  return batchFirst ? [batch, reversed.length, hidden] : [reversed.length, batch, hidden]
}

function expectShape(what: string, found: readonly number[], expected: readonly number[]): void {
  if (found.join() !== expected.join()) reject(`${what} is [${found}], expected [${expected}]`)
}

function directionsOf(node: Node): boolean[] {
  const direction = stringOf(node, 'direction', 'forward')
  if (direction === 'forward') return [false]
  if (direction === 'reverse') return [true]
  if (direction === 'bidirectional') return [false, true]
  return reject(`direction "${direction}" is none of forward, reverse, bidirectional`)
}

// Lists of parameters are consumed by the activations that take one, in order.
function activationsOf(node: Node, cell: Cell, directions: number): Activation[][] {
  const listed = node.attributes.activations
  const standard = Array.from({ length: directions }, () => defaults[cell]).flat()
  const names = listed?.type === 'strings' ? listed.value : standard
  if (names.length !== standard.length)
    reject(`it needs ${standard.length} activations, found ${names.length}`)
  const [alphas, betas] = ['activation_alpha', 'activation_beta'].map((name) => {
    const attribute = node.attributes[name]
    return attribute?.type === 'floats' ? [...attribute.value] : []
  }) as [number[], number[]]
  const all = names.map((name): Activation => {
    const op = Object.keys(parameters).find((known) => known.toLowerCase() === name.toLowerCase())
    if (op === undefined) reject(`unknown activation "${name}"`)
    const [alpha, beta] = parameters[op]!
    return {
      op,
      attributes: {
        ...(alpha !== undefined && { alpha: float(alphas.shift() ?? alpha) }),
        ...(beta !== undefined && { beta: float(betas.shift() ?? beta) }),
      },
    }
  })
  const each = defaults[cell].length
  return Array.from({ length: directions }, (_, d) => all.slice(d * each, (d + 1) * each))
}
