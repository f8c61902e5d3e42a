// Runs a tile function both ways: through the interpreter and as WebAssembly.
import { emitModule } from '../../src/compile/emit/wasm.ts'
import { type InterpretOptions, interpret } from '../../src/compile/tile/interpret.ts'
import type { TileFunction } from '../../src/compile/tile/nodes.ts'
import { createRandom } from '../../src/util/random.ts'

/** What a function left in its buffers, per parameter. */
export interface Ran {
  readonly interpreted: Uint8Array[]
  readonly wasm: Uint8Array[]
}

/** Compiles and calls a function on copies of `buffers` (one per parameter); both results. */
export function runBoth(
  fn: TileFunction,
  buffers: readonly Uint8Array[],
  options: InterpretOptions = {},
): Ran {
  const addresses: number[] = []
  let end = 1024
  for (const [i, buffer] of buffers.entries()) {
    if (buffer.length !== fn.extents[i])
      throw new Error(`${fn.name} parameter ${i}: ${buffer.length} bytes, extent ${fn.extents[i]}`)
    addresses.push(end)
    end += Math.ceil(buffer.length / 64) * 64 + 64
  }
  const pages = Math.ceil(end / 65536)
  const oracle = new ArrayBuffer(pages * 65536)
  const fill = (memory: ArrayBuffer) => {
    for (const [i, buffer] of buffers.entries())
      new Uint8Array(memory, addresses[i], buffer.length).set(buffer)
  }
  const read = (memory: ArrayBuffer) =>
    buffers.map((buffer, i) => new Uint8Array(memory, addresses[i], buffer.length).slice())
  fill(oracle)
  interpret(fn, oracle, addresses, options)
  const code = emitModule({
    functions: [fn],
    run: [{ kind: 'call', function: fn.name, args: addresses }],
    memory: { kind: 'export', pages },
  })
  const instance = new WebAssembly.Instance(new WebAssembly.Module(code as BufferSource))
  const memory = (instance.exports.memory as WebAssembly.Memory).buffer
  fill(memory)
  ;(instance.exports.run as () => void)()
  return { interpreted: read(oracle), wasm: read(memory) }
}

/** Bytes of float32 numbers. */
export function floatBytes(values: ArrayLike<number>): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer)
}

/** Floats in bytes. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer)
}

/** Seeded numbers in [-1, 1). */
export function randomFloats(count: number, seed: number): Float32Array {
  const random = createRandom(seed)
  return Float32Array.from({ length: count }, () => random.uniform() * 2 - 1)
}
