// The weight store beside a graph: tensors by name, decoded only when read.
import type { Tensor } from '../tensor/tensor.ts'
import { invariant } from '../util/errors.ts'

/** A store of tensors by name. Copies share the tensors, so copying a model copies no weights. */
export class Weights {
  readonly #entries: Map<string, Tensor | (() => Tensor)>

  constructor(entries: Iterable<readonly [string, Tensor | (() => Tensor)]> = []) {
    this.#entries = new Map(entries)
  }

  /** Returns a tensor; the caller must not write to its data. */
  get(name: string): Tensor {
    const entry = this.#entries.get(name)
    invariant(entry !== undefined, `no weight named "${name}"`)
    if (typeof entry !== 'function') return entry
    const loaded = entry()
    this.#entries.set(name, loaded)
    return loaded
  }

  has(name: string): boolean {
    return this.#entries.has(name)
  }

  names(): string[] {
    return [...this.#entries.keys()]
  }

  /** Stores a tensor, or a function that is called once when the tensor is first read. */
  set(name: string, value: Tensor | (() => Tensor)): void {
    this.#entries.set(name, value)
  }

  delete(name: string): void {
    this.#entries.delete(name)
  }

  /** Returns a store with the same tensors; later changes to either do not reach the other. */
  copy(): Weights {
    return new Weights(this.#entries)
  }
}
