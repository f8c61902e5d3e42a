// What the programs of one bundle share: constants by content, and functions by what they compute.
import type { Layout } from './kernel.ts'
import { PLAIN, sameLayout } from './layout.ts'
import type { Buffer } from './program.ts'
import type { TileFunction } from './tile/nodes.ts'

/** Makes buffers and functions for the programs of one bundle. */
export class Pool {
  readonly #constants: Buffer[] = []
  readonly #byContent = new Map<string, Buffer[]>()
  readonly #functions = new Map<string, TileFunction>()
  #next = 0

  /** All constants, in the order in which they were first asked for. */
  get constants(): readonly Buffer[] {
    return this.#constants
  }

  /** Makes a buffer of working memory. */
  buffer(buffer: Omit<Buffer, 'id'>): Buffer {
    return { ...buffer, id: this.#next++ }
  }

  /** Returns the buffer of a constant; equal bytes in one layout share it. */
  constant(
    name: string,
    data: Uint8Array,
    { layout, shape }: { layout: Layout; shape: readonly number[] } = { layout: PLAIN, shape: [] },
  ): Buffer {
    const key = `${data.length} ${hash(data)}`
    const rivals = this.#byContent.get(key) ?? []
    const same = rivals.find(
      (rival) => sameBytes(rival.data!, data) && sameLayout(rival.layout, layout),
    )
    if (same !== undefined) return same
    const made = this.buffer({ name, bytes: data.length, layout, shape, data })
    this.#constants.push(made)
    this.#byContent.set(key, [...rivals, made])
    return made
  }

  /** Returns the function of that key, made when it is first asked for. */
  function(key: string, make: () => TileFunction): TileFunction {
    const found = this.#functions.get(key)
    if (found !== undefined) return found
    const made = { ...make(), name: `f${this.#functions.size}` }
    this.#functions.set(key, made)
    return made
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

// FNV-1a over bytes: only a first filter before comparing them.
function hash(data: Uint8Array): number {
  let value = 2166136261
  for (let i = 0; i < data.length; i++) value = Math.imul(value ^ data[i]!, 16777619)
  return value >>> 0
}
