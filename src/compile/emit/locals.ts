// The locals of a function, given out as they are needed.
import { I32, V128 } from './assembler.ts'

/** Locals in order of creation; vectors that are released are given out again. */
export class Locals {
  readonly #types: number[] = []
  readonly #free: number[] = []
  readonly #first: number

  constructor(first: number) {
    this.#first = first
  }

  integer(): number {
    return this.#first + this.#types.push(I32) - 1
  }

  vector(): number {
    return this.#first + this.#types.push(V128) - 1
  }

  temporary(): number {
    return this.#free.pop() ?? this.vector()
  }

  release(local: number): void {
    this.#free.push(local)
  }

  /** Runs of one type, as a function body declares them. */
  groups(): { count: number; type: number }[] {
    const groups: { count: number; type: number }[] = []
    for (const type of this.#types) {
      const last = groups.at(-1)
      if (last?.type === type) last.count++
      else groups.push({ count: 1, type })
    }
    return groups
  }
}
