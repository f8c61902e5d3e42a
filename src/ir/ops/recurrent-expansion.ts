// RNN, GRU, LSTM → MatMul, Add, Mul and activations, one step after the other.
import type { GraphBuilder } from '../builder.ts'
import { intList, type Node } from '../graph.ts'
import { slice, transpose } from './movement.ts'
import { reshape } from './reshape.ts'
import { foldedOp } from './shared/folded.ts'
import { type Activation, type Recurrence, stateShape } from './shared/recurrence.ts'

/** Parameters of one direction: inputs of the products are transposed, biases are rows. */
interface Parameters {
  readonly w: string
  readonly r: readonly string[]
  readonly wBias: string | undefined
  readonly rBias: readonly string[] | undefined
  readonly peepholes: readonly string[] | undefined
  readonly activations: readonly Activation[]
}

interface State {
  readonly h: string
  /** LSTM only. */
  readonly c: string | undefined
}

/** Returns the names that replace the outputs: all of Y, Y_h, and Y_c of an LSTM. */
export function expandRecurrence(
  b: GraphBuilder,
  node: Node,
  r: Recurrence,
  isMasked: boolean,
): string[] {
  const { steps, batch, hidden, reversed, batchFirst } = r
  const input = (i: number) => node.inputs[i] || undefined
  const x = batchFirst ? b.op('Transpose', [input(0)!], { perm: intList([1, 0, 2]) }) : input(0)!
  const state = (i: number, d: number): string => {
    const given = input(i)
    if (given === undefined) return zeros(b, [batch, hidden])
    return b.op('Reshape', [pick(b, given, batchFirst ? 1 : 0, d), b.ints([batch, hidden])])
  }
  const walks = reversed.map((isReversed, d) => {
    const parameters = parametersOf(b, node, r, d)
    const projected = project(b, x, parameters, r)
    let now: State = {
      h: state(5, d),
      c: r.cell === 'LSTM' ? state(6, d) : undefined,
    }
    const sequence = new Array<string>(steps)
    for (let i = 0; i < steps; i++) {
      const t = isReversed ? steps - 1 - i : i
      const at = b.op('Reshape', [pick(b, projected, 0, t), b.ints([batch, r.gates * hidden])])
      const next = step(b, r, parameters, at, now)
      if (isMasked) {
        const alive = isAlive(b, input(4)!, t, batch)
        sequence[t] = b.op('Where', [alive, next.h, b.scalar(0)])
        now = {
          h: b.op('Where', [alive, next.h, now.h]),
          c: next.c && b.op('Where', [alive, next.c, now.c!]),
        }
      } else {
        sequence[t] = next.h
        now = next
      }
    }
    return { sequence, last: now }
  })
  const shaped = (name: string, shape: readonly number[]) => b.op('Reshape', [name, b.ints(shape)])
  const joined = (names: readonly string[], axis: number) =>
    names.length === 1 ? names[0]! : b.op('Concat', names, { axis: axisAttribute(axis) })
  const directions = reversed.length
  const perStep = Array.from({ length: steps }, (_, t) => {
    const each = walks.map(({ sequence }) =>
      shaped(sequence[t]!, batchFirst ? [batch, 1, 1, hidden] : [1, 1, batch, hidden]),
    )
    return joined(each, batchFirst ? 2 : 1)
  })
  const y = joined(perStep, batchFirst ? 1 : 0)
  const final = (of: (state: State) => string) =>
    joined(
      walks.map(({ last }) => shaped(of(last), stateShape({ ...r, reversed: [false] }))),
      batchFirst ? 1 : 0,
    )
  const outputs = [y, final(({ h }) => h)]
  if (r.cell === 'LSTM') outputs.push(final(({ c }) => c!))
  return directions > 0 ? outputs.slice(0, Math.max(1, node.outputs.length)) : outputs
}

function axisAttribute(value: number) {
  return { type: 'int', value } as const
}

function zeros(b: GraphBuilder, shape: readonly number[]): string {
  const data = new Float32Array(shape.reduce((a, n) => a * n, 1))
  return b.constant({ dtype: 'float32', shape, data })
}

/** One index of an axis, which stays with size 1. */
function pick(b: GraphBuilder, name: string, axis: number, index: number): string {
  return part(b, name, axis, index, index + 1)
}

function part(b: GraphBuilder, name: string, axis: number, from: number, to: number): string {
  return foldedOp(b, slice, [name, b.ints([from]), b.ints([to]), b.ints([axis])])
}

function isAlive(b: GraphBuilder, lengths: string, t: number, batch: number): string {
  const column = b.op('Reshape', [lengths, b.ints([batch, 1])])
  const now = b.constant({ dtype: 'int32', shape: [], data: Int32Array.of(t) })
  return b.op('Less', [now, column])
}

function parametersOf(b: GraphBuilder, node: Node, r: Recurrence, d: number): Parameters {
  const { gates, hidden, inputSize } = r
  const [, w, weights, bias] = node.inputs as [string, string, string, string | undefined]
  const transposed = (name: string) => foldedOp(b, transpose, [name], { perm: intList([1, 0]) })
  const own = (name: string, shape: readonly number[]) =>
    foldedOp(b, reshape, [pick(b, name, 0, d), b.ints(shape)])
  const recurrent = own(weights, [gates * hidden, hidden])
  const biases = bias ? own(bias, [2 * gates * hidden]) : undefined
  const peepholes = r.cell === 'LSTM' && node.inputs[7] ? own(node.inputs[7], [3 * hidden]) : ''
  const blocks = (name: string, count: number, start = 0) =>
    Array.from({ length: count }, (_, g) =>
      part(b, name, 0, (start + g) * hidden, (start + g + 1) * hidden),
    )
  return {
    w: transposed(own(w, [gates * hidden, inputSize])),
    r: blocks(recurrent, gates).map(transposed),
    wBias: biases && part(b, biases, 0, 0, gates * hidden),
    rBias: biases ? blocks(biases, gates, gates) : undefined,
    peepholes: peepholes ? blocks(peepholes, 3) : undefined,
    activations: r.activations[d]!,
  }
}

// X·Wᵀ + b of all steps at once: [t, n, gates · hidden].
function project(b: GraphBuilder, x: string, { w, wBias }: Parameters, r: Recurrence): string {
  const product = b.op('MatMul', [x, w])
  return wBias === undefined || r.steps === 0 ? product : b.op('Add', [product, wBias])
}

function step(
  b: GraphBuilder,
  r: Recurrence,
  p: Parameters,
  projected: string,
  { h, c }: State,
): State {
  const block = (g: number) => part(b, projected, 1, g * r.hidden, (g + 1) * r.hidden)
  const recurrent = (g: number, from = h) => {
    const product = b.op('MatMul', [from, p.r[g]!])
    return p.rBias === undefined ? product : b.op('Add', [product, p.rBias[g]!])
  }
  const act = (i: number, name: string) => activate(b, p.activations[i]!, clipped(b, name, r.clip))
  const add = (a: string, other: string) => b.op('Add', [a, other])
  const mul = (a: string, other: string) => b.op('Mul', [a, other])
  const oneMinus = (name: string) => b.op('Sub', [b.scalar(1), name])
  if (r.cell === 'RNN') return { h: act(0, add(block(0), recurrent(0))), c: undefined }
  if (r.cell === 'GRU') {
    const z = act(0, add(block(0), recurrent(0)))
    const reset = act(0, add(block(1), recurrent(1)))
    const inner = r.linearBeforeReset ? mul(reset, recurrent(2)) : recurrent(2, mul(reset, h))
    const candidate = act(1, add(block(2), inner))
    return { h: add(mul(oneMinus(z), candidate), mul(z, h)), c: undefined }
  }
  const peep = (name: string, i: number, cell: string) =>
    p.peepholes === undefined ? name : add(name, mul(p.peepholes[i]!, cell))
  const gate = (g: number) => add(block(g), recurrent(g))
  const i = act(0, peep(gate(0), 0, c!))
  const f = r.inputForget ? oneMinus(i) : act(0, peep(gate(2), 2, c!))
  const cell = add(mul(f, c!), mul(i, act(1, gate(3))))
  const o = act(0, peep(gate(1), 1, cell))
  return { h: mul(o, activate(b, p.activations[2]!, cell)), c: cell }
}

function clipped(b: GraphBuilder, name: string, bound: number): string {
  return Number.isFinite(bound) ? b.op('Clip', [name, b.scalar(-bound), b.scalar(bound)]) : name
}

function activate(b: GraphBuilder, { op, attributes }: Activation, x: string): string {
  const value = (name: string) => {
    const attribute = attributes[name]
    return b.scalar(attribute?.type === 'float' ? attribute.value : 0)
  }
  if (op === 'Affine') return b.op('Add', [b.op('Mul', [value('alpha'), x]), value('beta')])
  if (op === 'ScaledTanh')
    return b.op('Mul', [value('alpha'), b.op('Tanh', [b.op('Mul', [value('beta'), x])])])
  return b.op(op, [x], { ...attributes })
}
