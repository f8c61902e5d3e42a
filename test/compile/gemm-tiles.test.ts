import { expect, test } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { tileRows } from '../../src/compile/kernels/gemm-tiles.ts'
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
