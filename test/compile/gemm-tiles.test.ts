import { expect, test } from 'vitest'
import { tileRows } from '../../src/compile/kernels/gemm-tiles.ts'

test('tiles cover a row exactly, for every length, width and instruction set', () => {
  for (const width of [4, 8, 12, 16, 32])
    for (const fma of [false, true])
      for (let count = 0; count < 80; count++) {
        const rows = tileRows(count, width, fma)
        expect(rows.reduce((sum, n) => sum + n, 0)).toBe(count)
        expect(rows.every((n) => n > 0)).toBe(true)
        expect([...rows].sort((a, b) => b - a)).toEqual(rows)
      }
})

test('no tile is left with too few sums where the row can be cut otherwise', () => {
  expect(tileRows(14, 8, true)).toEqual([6, 4, 4])
  expect(tileRows(14, 8, false)).toEqual([4, 4, 3, 3])
  expect(tileRows(49, 8, true).at(-1)).toBeGreaterThanOrEqual(4)
  expect(tileRows(1, 8, false)).toEqual([1])
})
