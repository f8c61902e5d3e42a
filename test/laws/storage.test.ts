// Laws of storage: what a bundle stores becomes, in memory, the very constants of the program; rounded
// only on demand, and then by no more than the manifest says.
import { decodeSegment } from '@tersor/runtime/codecs'
import type { Manifest } from '@tersor/runtime/format'
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { type Compiled, compile } from '../../src/compile/compile.ts'
import { encodeWords, type Rounding, wordsOf } from '../../src/compile/encode.ts'
import { intList, type Model } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { build, conv, normal } from '../compile/bundle-harness.ts'

/** A weight with so many of its values left, in pairs of outputs. */
function sparse(shape: readonly number[], keep: number) {
  const random = createRandom(3)
  const dense = normal(shape)
  const row = (dense.data as Float32Array).length / shape[0]!
  const kept = Array.from({ length: row * Math.ceil(shape[0]! / 2) }, () => random.uniform() < keep)
  return floats(
    shape,
    (dense.data as Float32Array).map((w, i) =>
      kept[Math.floor(i / row / 2) * row + (i % row)] ? w : 0,
    ),
  )
}

const models: Record<string, Model> = {
  'convolutions with odd channels': build([[1, 5, 9, 8]], (b, x) => {
    const y = b.op('Relu', [conv(b, x, 13)])
    const strided = b.op('Conv', [y, b.constant(normal([21, 13, 3, 3]))], {
      strides: intList([2, 2]),
    })
    return b.op('Flatten', [strided])
  }),
  'sparse convolutions': build([[1, 40, 12, 12]], (b, x) => {
    const y = b.op('Conv', [x, b.constant(sparse([37, 40, 1, 1], 0.1)), b.constant(normal([37]))])
    return b.op('Conv', [y, b.constant(sparse([24, 37, 3, 3], 0.15))], {
      pads: intList([1, 1, 1, 1]),
    })
  }),
  'a matrix product, and a table of rows': build([[1, 70]], (b, x) => {
    const y = b.op('MatMul', [x, b.constant(normal([70, 90]))])
    return b.op('Add', [y, b.op('Softmax', [b.op('MatMul', [y, b.constant(normal([90, 90], 2))])])])
  }),
}

/** Decodes the weights file of a bundle as the runtime does. */
function decoded({ manifest, weights }: Compiled): Uint8Array {
  const memory = new Uint8Array(manifest.memoryBytes)
  let at = 0
  for (const segment of manifest.weights.segments) {
    const stored = weights.slice(at, at + segment.bytes)
    if (segment.loops === undefined) memory.set(stored, segment.address)
    else decodeSegment(segment, stored, memory.buffer)
    at += segment.bytes
  }
  const { address, memoryBytes } = manifest.weights
  return memory.subarray(address, address + memoryBytes)
}

const codecsOf = ({ weights }: Manifest) => new Set(weights.segments.map(({ codec }) => codec))

/** The largest change that a codec may make, as a fraction of the largest value. */
const BOUNDS: Record<Rounding, number> = { f16: 2 ** -11, int8: 0.5 / 127, palette: 0.02 }

describe.each(Object.entries(models))('storage of %s', (_, model) => {
  const exact = compile(model)

  it('gives the very constants, in fewer bytes where they are made of fewer', () => {
    expect(decoded(exact)).toEqual(exact.program.constants)
    expect(exact.weights.length).toBeLessThanOrEqual(exact.program.constants.length)
    expect(exact.manifest.weights.error).toBeUndefined()
  })

  it.each(['f16', 'int8', 'palette'] as const)(
    'rounds to %s within the bound it states',
    async (storage) => {
      const rounded = compile(model, { storage })
      const { error } = rounded.manifest.weights
      expect(codecsOf(rounded.manifest)).toContain(storage)
      expect(rounded.weights.length).toBeLessThan(exact.weights.length * 0.7)
      expect(decoded(rounded)).toEqual(rounded.program.constants)
      expect(error).toBeGreaterThan(0)
      expect(error).toBeLessThanOrEqual(BOUNDS[storage])
      const [before, after] = [exact, rounded].map(
        ({ program }) => new Float32Array(program.constants.slice().buffer),
      ) as [Float32Array, Float32Array]
      const most = before.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
      // Four: the largest factor of Winograd's transform of weights, here for values of any sign.
      before.forEach((value, i) => {
        expect(Math.abs(value - after[i]!)).toBeLessThanOrEqual(error! * most * 4)
      })
      const bundle = await load(rounded)
      const [input] = bundle.inputs
      const size = input!.shape.reduce((a, b) => a * b, 1)
      const outputs = await bundle.run({ [input!.name]: new Float32Array(size).fill(0.3) })
      for (const { data } of Object.values(outputs))
        expect((data as Float32Array).every(Number.isFinite)).toBe(true)
    },
  )
})

describe('codecs', () => {
  const random = createRandom(11)
  const values = (count: number, make: (i: number) => number) =>
    wordsOf(Float32Array.from({ length: count }, (_, i) => make(i)))
  const grid = Float32Array.from({ length: 4 }, () => random.uniform())
  // Integers up to 127 times a scale of each eight, and the largest is among them.
  const bytes = (i: number) =>
    Math.fround((i % 8 === 0 ? 127 : random.integer(255) - 127) * grid[Math.floor(i / 8) % 4]!)
  const cases = [
    ['raw', values(500, () => random.normal())],
    ['mask', values(500, () => (random.uniform() < 0.3 ? random.normal() : 0))],
    ['palette', values(2000, () => grid[random.integer(4)]!)],
    ['f16', values(2000, () => random.integer(2048) / 1024 - 1)],
    ['f16', values(2000, (i) => (i - 1000) * 2 ** -24)],
    ['int8', values(4000, bytes)],
    ['steps', Int32Array.from({ length: 900 }, (_, i) => ((i * 7) % 640) * 4 + 16)],
    ['steps', Int32Array.from({ length: 3000 }, (_, i) => ((i * 599) % 640) * 4)],
  ] as const

  it.each(cases)('%s is found where it is exact, and decodes to the very words', (codec, words) => {
    const found = encodeWords(words, { isPlaces: codec === 'steps', run: 8 })
    expect(found.codec).toBe(codec)
    const memory = new ArrayBuffer(words.length * 4)
    decodeSegment(
      {
        codec,
        bytes: found.stored.length,
        address: 0,
        loops: [[words.length, 4]],
        ...(found.run && { run: found.run }),
      },
      found.stored,
      memory,
    )
    expect(new Int32Array(memory)).toEqual(words)
  })

  it('halves are those of the platform: ties to even, subnormals, both zeros', () => {
    // Written out by hand from IEEE 754: value → bits of the nearest half.
    const known: [number, number][] = [
      [1, 0x3c00],
      [-2, 0xc000],
      [65504, 0x7bff],
      [2 ** -14, 0x0400],
      [2 ** -24, 0x0001],
      [2 ** -25, 0x0000],
      [3 * 2 ** -25, 0x0002],
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
      [0, 0],
    ]
    const words = wordsOf(Float32Array.from(known, ([value]) => value))
    const { stored } = encodeWords(words, { rounding: 'f16' })
    expect(Array.from(new Uint16Array(stored.buffer, stored.byteOffset, known.length))).toEqual(
      known.map(([, bits]) => bits),
    )
  })
})
