import { expect, it } from 'vitest'
import {
  checkRight,
  fuzzBase,
  fuzzBundles,
  fuzzRarities,
  fuzzSubject,
} from './support/fuzz-bundles.ts'

it.each([1, 2, 3, 4, 5, 6])(
  'right bundle %i runs as interpreted, and touches nothing but its arena',
  async (seed) => {
    expect(await checkRight(fuzzSubject(seed), seed)).toBeUndefined()
  },
)

it('altered bundles end in results or in a typed error', async () => {
  const bases = [fuzzSubject(11), fuzzSubject(12), ...fuzzRarities()].map(fuzzBase)
  const { refused, ran, failures } = await fuzzBundles(bases, { from: 0, count: 1500, seed: 1 })
  expect(failures).toEqual([])
  expect(refused).toBeGreaterThan(500)
  expect(ran).toBeGreaterThan(50)
})
