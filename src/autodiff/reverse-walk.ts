// The reverse walk: cotangents flow from outputs to inputs through each op's vjp.
import type { GraphBuilder } from '../ir/builder.ts'
import { type Node, opName, readsOf, type ValueType } from '../ir/graph.ts'
import type { VjpContext } from '../ir/op.ts'
import { equal } from '../ir/ops/gradients/helpers.ts'
import { findOp } from '../ir/ops/index.ts'
import { invariant, ModelError } from '../util/errors.ts'

/** Cotangents by value, and the walk that produces them. */
export class ReverseWalk {
  readonly #b: GraphBuilder
  readonly #wrt: ReadonlySet<string>
  /** Values that depend on `wrt`. */
  readonly #active: Set<string>
  readonly #forward: readonly Node[]
  /** May be smaller than the value, and then broadcasts to it. */
  readonly #cotangents = new Map<string, string>()
  readonly #expanded = new Map<string, string>()

  constructor(b: GraphBuilder, wrt: readonly string[]) {
    this.#b = b
    this.#wrt = new Set(wrt)
    this.#forward = [...b.nodes]
    this.#active = new Set(wrt)
    for (const node of this.#forward) {
      if (!readsOf(node).some((name) => this.#active.has(name))) continue
      for (const name of node.outputs) {
        // An opaque op has no output types: keep it on the path, so that the walk names it.
        if (name !== '' && (!b.has(name) || isFloat(b.type(name)))) this.#active.add(name)
      }
    }
  }

  /** Adds a cotangent to a value. */
  add(value: string, cotangent: string): void {
    const sum = this.#cotangents.get(value)
    this.#cotangents.set(value, sum === undefined ? cotangent : this.#b.op('Add', [sum, cotangent]))
  }

  /** The cotangent at the value's own size; undefined where none arrives. */
  full(value: string): string | undefined {
    const cotangent = this.#cotangents.get(value)
    if (cotangent === undefined) return undefined
    const { shape } = this.#b.type(value)
    if (equal(this.#b.type(cotangent).shape, shape)) return cotangent
    const done = this.#expanded.get(cotangent)
    if (done !== undefined) return done
    const expanded = this.#b.op('Expand', [cotangent, this.#b.ints(shape)])
    this.#expanded.set(cotangent, expanded)
    return expanded
  }

  /** Differentiates every node between the values with cotangents and `wrt`. */
  run(): void {
    for (let i = this.#forward.length - 1; i >= 0; i--) {
      const node = this.#forward[i]!
      if (!node.outputs.some((name) => this.#cotangents.has(name))) continue
      if (readsOf(node).some((name) => this.#active.has(name))) this.#visit(node)
    }
  }

  #visit(node: Node): void {
    const vjp = findOp(node)?.vjp
    const shown = `"${node.name || node.outputs[0]}" (${opName(node)})`
    if (vjp === undefined) {
      throw new ModelError(
        `Cannot differentiate ${shown}: no gradient is known for ${opName(node)}, and it lies between the loss and ${this.#upstream(node)}; differentiate by values after it only`,
      )
    }
    const context = this.#context(node)
    const results = vjp(this.#b, context)
    results.forEach((cotangent, k) => {
      const input = node.inputs[k]
      if (cotangent === undefined || !input || !context.wants(k)) return
      checkCotangent(shown, this.#b.type(cotangent), this.#b.type(input))
      this.add(input, cotangent)
    })
  }

  #context(node: Node): VjpContext {
    const { opset, inputs, known } = this.#b.context(node)
    return {
      node,
      opset,
      inputs,
      outputs: node.outputs.map((name) => (name === '' ? undefined : this.#b.type(name))),
      known,
      cotangent: (index = 0) => this.full(node.outputs[index] ?? ''),
      compact: (index = 0) => this.#cotangents.get(node.outputs[index] ?? ''),
      wants: (index) => this.#active.has(node.inputs[index] ?? ''),
    }
  }

  // For the error message: a requested name the node depends on.
  #upstream(node: Node): string {
    const seen = new Set<string>(readsOf(node))
    for (let i = this.#forward.indexOf(node); i >= 0; i--) {
      const producer = this.#forward[i]!
      if (producer.outputs.some((name) => seen.has(name)))
        for (const name of readsOf(producer)) seen.add(name)
    }
    return `"${[...this.#wrt].find((name) => seen.has(name)) ?? [...this.#wrt][0]}"`
  }
}

/** True for types that have gradients. */
export function isFloat({ dtype }: ValueType): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16'
}

function checkCotangent(shown: string, cotangent: ValueType, value: ValueType): void {
  const fits =
    cotangent.dtype === value.dtype &&
    cotangent.shape.length === value.shape.length &&
    cotangent.shape.every((dim, i) => dim === value.shape[i] || dim === 1)
  invariant(
    fits,
    `vjp of ${shown} gives ${cotangent.dtype}[${cotangent.shape}] for ${value.dtype}[${value.shape}]`,
  )
}
