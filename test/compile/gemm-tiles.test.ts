import { expect, test } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { chunksOf } from '../../src/compile/kernels/gemm-chunks.ts'
import { packedBytes, planPanels } from '../../src/compile/kernels/gemm-panels.ts'
import { tileRows } from '../../src/compile/kernels/gemm-tiles.ts'
import { accessesOf } from '../../src/compile/tile/accesses.ts'
import { loop } from '../../src/compile/tile/build.ts'
import { expand } from '../../src/compile/tile/intervals.ts'
import { input } from '../../src/ir/formula.ts'
import { modelOf, randomTensor } from './kernel-harness.ts'

test('tiles cover a row exactly, for every length, width and instruction set', () => {
  for (const width of [4, 8, 12, 16, 32])
    for (const fma of [false, true])
      for (let count = 0; count < 80; count++) {
        const rows = tileRows(count, width, { fma })
        expect(rows.reduce((sum, n) => sum + n, 0)).toBe(count)
        expect(rows.every((n) => n > 0)).toBe(true)
        expect([...rows].sort((a, b) => b - a)).toEqual(rows)
      }
})

test('no tile is left with too few sums where the row can be cut otherwise', () => {
  expect(tileRows(14, 8, { fma: true })).toEqual([6, 4, 4])
  expect(tileRows(14, 8, { fma: false })).toEqual([4, 4, 3, 3])
  expect(tileRows(49, 8, { fma: true }).at(-1)).toBeGreaterThanOrEqual(4)
  expect(tileRows(1, 8, { fma: false })).toEqual([1])
})

test('code with relaxed SIMD has its own tiles', () => {
  const model = modelOf([[14, 20]], (b, [x]) =>
    b.op('MatMul', [x!, b.constant(randomTensor([20, 8], 1))]),
  )
  const { code, relaxed } = compile(model)
  const count = (bytes: Uint8Array, [a, b, c]: readonly [number, number, number]) =>
    bytes.filter((byte, i) => byte === a && bytes[i + 1] === b && bytes[i + 2] === c).length
  // f32x4.mul of tiles of 4 and 3 rows; f32x4.relaxed_madd of tiles of 6 and 4.
  expect(count(code, [0xfd, 0xe6, 0x01])).toBe(2 * (4 + 3))
  expect(count(relaxed!, [0xfd, 0x85, 0x02])).toBe(2 * (6 + 4))
})

test('chunks touch every line of their weights and none beyond; small weights have no chunks', () => {
  const chunked = (channels: number, depth: number) => {
    const panels = planPanels(channels, 49)
    const found = chunksOf(
      {
        a: { base: 0, offset: 0 },
        weights: { base: 1, offset: 64 },
        out: { base: 2, offset: 0 },
        epilogue: { covers: [], output: '', formula: input(0), operands: [] },
        operands: [],
        outer: [],
        pixels: { count: 49, a: depth * 4, out: channels * 4, operands: [] },
        taps: [{ count: depth, a: 4 }],
        channels,
        panels,
        tail: 'zeros',
        fma: true,
      },
      depth,
      '',
    )
    return { found, bytes: packedBytes(panels, depth) }
  }
  expect(chunked(96, 96).found).toBeUndefined()
  for (const [channels, depth] of [
    [960, 160],
    [160, 960],
    [967, 160],
  ] as const) {
    const { found, bytes } = chunked(channels, depth)
    const lines = new Set<number>()
    for (const { offset, bytes, terms } of accessesOf([
      loop(found!.name, found!.count, [found!.touch]),
    ]))
      for (const [from] of expand(offset, bytes, [...terms.values()])!) lines.add(from)
    const first = planPanels(channels, 49)[0]!
    const whole = channels % 8 === 0 ? first.count : Math.floor(channels / 8)
    const inChunks = packedBytes([{ ...first, count: whole }], depth)
    expect(Math.min(...lines)).toBe(64)
    expect(Math.max(...lines)).toBeLessThan(64 + inChunks)
    expect(lines.size * 64).toBeGreaterThan(inChunks * 0.96)
    expect(inChunks).toBeLessThanOrEqual(bytes)
  }
})
