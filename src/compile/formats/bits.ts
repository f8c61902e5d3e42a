// Small numbers, bit by bit: the first number in the lowest bits of the first byte.

/** Appends numbers of any width up to 16 bits. */
export class BitWriter {
  readonly #bytes: number[] = []
  #bits = 0

  /** The bits written. */
  get bits(): number {
    return this.#bits
  }

  /** Appends the low `width` bits of a number. */
  write(value: number, width: number): void {
    for (let bit = 0; bit < width; bit++, this.#bits++) {
      if (this.#bits % 8 === 0) this.#bytes.push(0)
      this.#bytes[this.#bits >>> 3]! |= ((value >>> bit) & 1) << (this.#bits & 7)
    }
  }

  /** Returns all bytes, the last one filled up with zeros. */
  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes)
  }
}

/** Reads `width` bits from bit `at` on. */
export function readBits(bytes: Uint8Array, at: number, width: number): number {
  let value = 0
  for (let bit = 0; bit < width; bit++)
    value |= ((bytes[(at + bit) >>> 3]! >>> ((at + bit) & 7)) & 1) << bit
  return value
}
