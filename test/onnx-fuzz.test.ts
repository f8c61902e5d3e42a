// Byte-mutated models end in a model or a ModelError, never in anything else, and soon.
import { describe, expect, it } from 'vitest'
import { readOnnx } from '../src/onnx/read.ts'
import { writeOnnx } from '../src/onnx/write.ts'
import { ModelError } from '../src/util/errors.ts'
import { createRandom } from '../src/util/random.ts'
import { fuzz } from './support/fuzz.ts'
import { graphs } from './support/graphs.ts'

describe('mutated models', () => {
  it.each(Object.entries(graphs))('"%s" never breaks the reader', (_name, model) => {
    const { read, refused, failures, slowestMs } = fuzz(writeOnnx(model), { count: 60, seed: 11 })
    expect(failures).toEqual([])
    expect(read + refused).toBe(60)
    expect(refused).toBeGreaterThan(10)
    // Real ones take a millisecond; this bound only catches hangs.
    expect(slowestMs).toBeLessThan(5000)
  })

  it('random bytes are refused', () => {
    const random = createRandom(5)
    for (let i = 0; i < 300; i++) {
      const bytes = Uint8Array.from({ length: random.integer(200) }, () => random.integer(256))
      expect(() => readOnnx(bytes)).toThrow(ModelError)
    }
  })

  it('every truncation is refused', () => {
    const bytes = writeOnnx(graphs['conv with norm and residual']!)
    // The last fields are the opset import, without which the file could be one of IR version 1.
    for (let length = 0; length < bytes.length; length += 7)
      expect(() => readOnnx(bytes.subarray(0, length)), `${length} bytes`).toThrow(ModelError)
  })
})
