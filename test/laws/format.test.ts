// Laws of sparse formats: what is decoded is what was encoded, in as many bits as counted.
import { describe, expect, it } from 'vitest'
import { type Darb, darb } from '../../src/compile/formats/darb.ts'
import { type Fkw, fkw } from '../../src/compile/formats/fkw.ts'
import { type Encoded, groupsBySize } from '../../src/compile/formats/format.ts'
import { formatSizes, formats } from '../../src/compile/formats/index.ts'
import { type Lists, lists } from '../../src/compile/formats/lists.ts'
import { type NofM, nm } from '../../src/compile/formats/nm.ts'
import { type GroupWidth, groupings } from '../../src/ir/grouping.ts'
import type { SparseWeight } from '../../src/ir/sparsity.ts'
import { createRandom, type Random } from '../../src/util/random.ts'

/** The centre and three neighbours. */
const PATTERNS = [0b000011011, 0b000110110, 0b011011000, 0b110110000, 0b000111010, 0b010111000]
const MORE = [...PATTERNS, 0b010110010, 0b010011010]

/** Kernels of four taps of which one in `rate` is kept; every fifth output keeps none. */
function patterned(
  random: Random,
  { outputs, channels, rate }: { outputs: number; channels: number; rate: number },
): SparseWeight {
  const data = new Float32Array(outputs * channels * 9)
  for (let o = 0; o < outputs; o++)
    for (let c = 0; c < channels; c++) {
      if (o % 5 === 4 || random.uniform() * rate >= 1) continue
      const pattern = MORE[random.integer(MORE.length)]!
      for (let tap = 0; tap < 9; tap++)
        if ((pattern >> tap) & 1) data[(o * channels + c) * 9 + tap] = random.normal()
    }
  return { data, outputs, columns: channels * 9, taps: 9 }
}

function scattered(random: Random, outputs: number, columns: number): SparseWeight {
  const keep = random.uniform()
  const data = Float32Array.from({ length: outputs * columns }, () =>
    random.uniform() < keep ? random.normal() : 0,
  )
  return { data, outputs, columns, taps: 1 }
}

/** A kept weight in each block of `size` columns. */
function blocked(random: Random, outputs: number, columns: number, size: number): SparseWeight {
  const data = new Float32Array(outputs * columns)
  for (let o = 0; o < outputs; o++)
    for (let block = 0; block < columns; block += size)
      data[o * columns + block + random.integer(Math.min(size, columns - block))] = random.normal()
  return { data, outputs, columns, taps: 1 }
}

function partsOf<E extends Encoded>(
  format: { encode(weight: SparseWeight, groups: never): E | string },
  weight: SparseWeight,
  width: GroupWidth = 1,
): E[] {
  return groupsBySize(groupings(weight)[width]).map((groups) => {
    const encoded = format.encode(weight, groups as never)
    if (typeof encoded === 'string') throw new Error(encoded)
    return encoded
  })
}

describe.each(formats.map((format) => [format.name, format] as const))('%s', (_, format) => {
  it('decodes to the very weights it encoded, in groups of any width, with empty outputs', () => {
    const random = createRandom(7)
    let held = 0
    for (let round = 0; round < 100; round++) {
      const outputs = 1 + random.integer(9)
      const weights = [
        patterned(random, { outputs, channels: 1 + random.integer(12), rate: 3.6 }),
        scattered(random, outputs, 1 + random.integer(40)),
      ]
      for (const weight of weights)
        for (const width of [1, 2, 4] as const) {
          const data = new Float32Array(weight.data.length)
          const isHeld = groupsBySize(groupings(weight)[width]).every((groups) => {
            const encoded = format.encode(weight, groups)
            if (typeof encoded === 'string') return false
            format.decode(encoded, { data, columns: weight.columns })
            return true
          })
          if (!isHeld) continue
          held++
          expect(data).toEqual(weight.data)
        }
    }
    expect(held).toBeGreaterThan(80)
  })
})

describe('fkw', () => {
  it('counts offsets, order, an index per kernel and a stride per pattern', () => {
    const random = createRandom(1)
    const weight = patterned(random, { outputs: 64, channels: 64, rate: 3.6 })
    const [encoded] = partsOf<Fkw>(fkw, weight) as [Fkw]
    const kernels = encoded.index.length
    expect(encoded.patterns).toHaveLength(8)
    expect(encoded.structureBits / 32).toBe(65 + 64 + kernels + 64 * 9)
    expect(encoded.weights).toHaveLength(4 * kernels)
    const [csr] = partsOf<Lists>(lists, weight) as [Lists]
    expect(csr.structureBits / 32).toBe(4 * kernels + 65)
    expect(encoded.structureBits).toBeLessThanOrEqual(csr.structureBits / 2)
  })

  it('of few kernels is larger than lists, which then come first', () => {
    // 16 outputs of 8 channels, 36 kernels: 2·16 + 1 + 36 + 16·9 numbers against 4·36 + 16 + 1.
    const data = new Float32Array(16 * 8 * 9)
    for (let k = 0; k < 36; k++)
      for (let tap = 0; tap < 9; tap++)
        if ((MORE[k % 8]! >> tap) & 1) data[((k * 7) % 128) * 9 + tap] = 1
    const weight = { data, outputs: 16, columns: 72, taps: 9 }
    const [encoded] = partsOf<Fkw>(fkw, weight) as [Fkw]
    const [csr] = partsOf<Lists>(lists, weight) as [Lists]
    expect([encoded.structureBits / 32, csr.structureBits / 32]).toEqual([213, 161])
    const names = formatSizes(weight, groupings(weight)[1]).map(({ format }) => format)
    expect(names.indexOf('csr')).toBeLessThan(names.indexOf('fkw'))
  })

  it('sorts the kernels of a filter by pattern, one stride after another', () => {
    const random = createRandom(2)
    const [encoded] = partsOf<Fkw>(
      fkw,
      patterned(random, { outputs: 8, channels: 32, rate: 2 }),
    ) as [Fkw]
    const { offset, stride, patterns } = encoded
    for (let filter = 0; filter < 8; filter++) {
      const own = [
        ...stride.subarray(filter * (patterns.length + 1), (filter + 1) * (patterns.length + 1)),
      ]
      expect(own).toEqual([...own].sort((a, b) => a - b))
      expect(own.at(-1)).toBe(offset[filter + 1]! - offset[filter]!)
    }
  })

  it('says why it cannot hold arbitrary kernels', () => {
    const random = createRandom(3)
    const data = Float32Array.from({ length: 8 * 90 }, () => (random.uniform() < 0.5 ? 1 : 0))
    const weight = { data, outputs: 8, columns: 90, taps: 9 }
    expect(() => partsOf(fkw, weight)).toThrow('its kernels have no patterns in common')
    const uneven = new Float32Array(90)
    for (const at of [0, 1, 12, 13, 14]) uneven[at] = 1
    const one = { data: uneven, outputs: 1, columns: 90, taps: 9 }
    expect(() => partsOf(fkw, one)).toThrow('its patterns differ in size')
  })
})

describe('darb', () => {
  it('stores one weight per block with log2 b bits for its place', () => {
    const random = createRandom(4)
    for (const size of [2, 4, 8, 16, 32]) {
      const weight = blocked(random, 6, 200, size)
      const [encoded] = partsOf<Darb>(darb, weight) as [Darb]
      const blocks = Math.ceil(200 / size)
      const exponent = Math.log2(size)
      // A row may, by chance, fit blocks of twice the size; these do not.
      expect([...encoded.exponents]).toEqual(new Array(6).fill(exponent))
      expect(encoded.weights).toHaveLength(6 * blocks)
      expect(encoded.structureBits).toBe(6 * (blocks * exponent + 4))
    }
  })

  it('gives each row blocks of its own size', () => {
    const dense = Float32Array.from({ length: 32 }, (_, i) => i + 1)
    const sparse = dense.map((w, i) => (i % 8 === 3 ? w : 0))
    const weight = {
      data: new Float32Array([...dense, ...sparse]),
      outputs: 2,
      columns: 32,
      taps: 1,
    }
    const [encoded] = partsOf<Darb>(darb, weight) as [Darb]
    expect([...encoded.exponents]).toEqual([0, 3])
    expect(encoded.weights).toHaveLength(32 + 4)
  })
})

describe('n:m', () => {
  it('finds the least N of M, and fills up what keeps fewer', () => {
    const random = createRandom(5)
    const weight = { data: new Float32Array(8 * 64), outputs: 8, columns: 64, taps: 1 }
    // Two of every four, but for the last four, which keep one.
    for (let block = 0; block < weight.data.length; block += 4)
      for (const place of random.permutation(4).subarray(0, block % 64 === 60 ? 1 : 2))
        weight.data[block + place] = random.normal()
    const [encoded] = partsOf<NofM>(nm, weight) as [NofM]
    expect([encoded.n, encoded.exponent]).toEqual([2, 2])
    expect(encoded.weights).toHaveLength(8 * 16 * 2)
    expect(encoded.structureBits).toBe(8 * 16 * 2 * 2)
  })
})

describe('formatSizes', () => {
  it('lists formats by size: what a structure was made for comes first', () => {
    const random = createRandom(6)
    const first = (weight: SparseWeight) => formatSizes(weight, groupings(weight)[1])[0]!
    expect(first(patterned(random, { outputs: 64, channels: 64, rate: 3.6 })).format).toBe('fkw')
    expect(first(blocked(random, 32, 128, 16)).format).toBe('n:m')
    const rows = [4, 32].map((size) => blocked(random, 16, 128, size).data)
    const mixed = Float32Array.from(rows.flatMap((part) => [...part]))
    expect(first({ data: mixed, outputs: 32, columns: 128, taps: 1 }).format).toBe('darb')
    const uneven = scattered(createRandom(8), 32, 256)
    uneven.data.fill(0, 0, 20 * 256)
    expect(formatSizes(uneven, groupings(uneven)[1]).map(({ format }) => format)).not.toContain(
      'fkw',
    )
  })
})
