// A small WebAssembly binary assembler: LEB128, sections, and the opcodes the emitter uses.
// @see https://webassembly.github.io/spec/core/binary/

/** Value types. */
export const I32 = 0x7f
/** 128-bit vectors. */
export const V128 = 0x7b

/** Opcodes of the base instruction set. */
export const op = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  call: 0x10,
  select: 0x1b,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  i32Load: 0x28,
  i32Store: 0x36,
  i32Const: 0x41,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32Ne: 0x47,
  i32LtS: 0x48,
  i32GeS: 0x4e,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Mul: 0x6c,
  i32DivU: 0x6e,
  /** Prefix of memory.copy and memory.fill. */
  bulk: 0xfc,
  /** Prefix of vector instructions. */
  simd: 0xfd,
} as const

/** Vector opcodes, after the prefix `0xfd`. */
export const simd = {
  load: 0x00,
  load32Splat: 0x09,
  store: 0x0b,
  const: 0x0c,
  shuffle: 0x0d,
  load32Lane: 0x56,
  store32Lane: 0x5a,
  store64Lane: 0x5b,
  load32Zero: 0x5c,
  load64Zero: 0x5d,
  not: 0x4d,
  and: 0x4e,
  or: 0x50,
  bitselect: 0x52,
  f32ConvertI32: 0xfa,
  i32TruncF32: 0xf8,
  f32RelaxedMadd: 0x105,
} as const

/** A growing byte buffer with the encodings of the format. */
export class ByteWriter {
  #bytes = new Uint8Array(256)
  #length = 0
  readonly #scratch = new DataView(new ArrayBuffer(4))

  get length(): number {
    return this.#length
  }

  byte(...values: readonly number[]): this {
    this.#reserve(values.length)
    for (const value of values) this.#bytes[this.#length++] = value
    return this
  }

  bytes(values: Uint8Array): this {
    this.#reserve(values.length)
    this.#bytes.set(values, this.#length)
    this.#length += values.length
    return this
  }

  /** Unsigned LEB128, up to 2³² − 1. */
  unsigned(value: number): this {
    let rest = value >>> 0
    for (;;) {
      const low = rest & 0x7f
      rest >>>= 7
      if (rest === 0) return this.byte(low)
      this.byte(low | 0x80)
    }
  }

  /** Signed LEB128 of a 32-bit integer. */
  signed(value: number): this {
    let rest = value | 0
    for (;;) {
      const low = rest & 0x7f
      rest >>= 7
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0))
        return this.byte(low)
      this.byte(low | 0x80)
    }
  }

  /** Four bytes, little-endian. */
  float(value: number): this {
    this.#scratch.setFloat32(0, value, true)
    return this.byte(...[0, 1, 2, 3].map((i) => this.#scratch.getUint8(i)))
  }

  /** Four bytes, little-endian. */
  int(value: number): this {
    this.#scratch.setInt32(0, value, true)
    return this.byte(...[0, 1, 2, 3].map((i) => this.#scratch.getUint8(i)))
  }

  /** A length-prefixed UTF-8 name. */
  name(text: string): this {
    const encoded = new TextEncoder().encode(text)
    return this.unsigned(encoded.length).bytes(encoded)
  }

  /** A vector of items, each written by `write`. */
  vector<T>(items: readonly T[], write: (item: T) => void): this {
    this.unsigned(items.length)
    for (const item of items) write(item)
    return this
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  #reserve(extra: number): void {
    if (this.#length + extra <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + extra))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

/** A function: `parameters` i32 parameters, no result; `locals` counts what follows the parameters. */
export interface AssembledFunction {
  readonly name: string
  readonly exported: boolean
  readonly parameters: number
  readonly locals: readonly { readonly count: number; readonly type: number }[]
  /** Instructions without the final `end`. */
  readonly code: Uint8Array
}

/** Where linear memory comes from; `maximum` is required where it is shared. */
export interface MemorySpec {
  readonly kind: 'import' | 'export'
  /** Pages of 64 KiB. */
  readonly pages: number
  readonly maximum?: number
  readonly shared?: boolean
}

/**
 * Returns the bytes of a module. Memory is imported as `env.memory` or exported as `memory`. With
 * `host`, function 0 is `env.host`, which takes a number, and those of the module follow.
 */
export function assembleModule(
  functions: readonly AssembledFunction[],
  memory: MemorySpec,
  host = false,
): Uint8Array {
  const arities = [...new Set([...functions.map((f) => f.parameters), ...(host ? [1] : [])])]
  const module = new ByteWriter().byte(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)
  const section = (id: number, write: (w: ByteWriter) => void) => {
    const content = new ByteWriter()
    write(content)
    module.byte(id).unsigned(content.length).bytes(content.finish())
  }
  section(1, (w) =>
    w.vector(arities, (arity) => {
      w.byte(0x60).unsigned(arity)
      for (let i = 0; i < arity; i++) w.byte(I32)
      w.byte(0)
    }),
  )
  if (memory.kind === 'import' || host)
    section(2, (w) => {
      w.unsigned((memory.kind === 'import' ? 1 : 0) + (host ? 1 : 0))
      if (memory.kind === 'import') writeLimits(w.name('env').name('memory').byte(2), memory)
      if (host) w.name('env').name('host').byte(0).unsigned(arities.indexOf(1))
    })
  section(3, (w) => w.vector(functions, (f) => w.unsigned(arities.indexOf(f.parameters))))
  if (memory.kind === 'export') section(5, (w) => writeLimits(w.unsigned(1), memory))
  section(7, (w) => {
    const named = functions.flatMap((f, index) => (f.exported ? [{ name: f.name, index }] : []))
    w.unsigned(named.length + (memory.kind === 'export' ? 1 : 0))
    if (memory.kind === 'export') w.name('memory').byte(2, 0)
    for (const { name, index } of named)
      w.name(name)
        .byte(0)
        .unsigned(index + (host ? 1 : 0))
  })
  section(10, (w) => w.vector(functions, (f) => writeBody(w, f)))
  return module.finish()
}

function writeLimits(w: ByteWriter, { pages, maximum, shared }: MemorySpec): void {
  w.byte(shared ? 3 : maximum === undefined ? 0 : 1).unsigned(pages)
  if (maximum !== undefined) w.unsigned(maximum)
}

function writeBody(w: ByteWriter, f: AssembledFunction): void {
  const body = new ByteWriter()
  body.vector(f.locals, (group) => body.unsigned(group.count).byte(group.type))
  body.bytes(f.code).byte(op.end)
  w.unsigned(body.length).bytes(body.finish())
}
