// The units laws: what consumers ignore, producers may change; and a masked network equals the cut one.
import { describe, expect, it } from 'vitest'
import { cut, mask } from '../../src/compress/cut.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { verify } from '../../src/ir/verify.ts'
import { createRandom } from '../../src/util/random.ts'
import { someOf, withSlices } from '../compress/change.ts'
import { randomNet, testNets } from '../compress/nets.ts'
import { difference, randomFeeds, runOnHost } from '../compress/run.ts'

/** Sums of a few hundred float32 products in another order. */
const TOLERANCE = 1e-5

const nets = testNets()

/** Networks in which a product of two values reads units: no weight can be made deaf to them. */
const readByValues = new Set(['fused queries, keys and values'])

describe('every unit of every network', () => {
  for (const { name, model } of nets.filter((net) => !readByValues.has(net.name)))
    it(`${name}: with its consumers zeroed, its producers do not matter`, () => {
      const random = createRandom(2)
      const units = findUnits(model, analyze(model))
      const feeds = randomFeeds(model, 3)
      let tried = 0
      for (const found of units.classes) {
        if (found.frozen !== undefined || found.reduces) continue
        if (!found.members.some((member) => member.role === 'consumer')) continue
        for (let unit = 0; unit < found.size; unit += 3) {
          const deaf = withSlices(model, { found, unit, role: 'consumer', value: () => 0 })
          const value = () => 3 * random.normal()
          const changed = withSlices(deaf, { found, unit, role: 'producer', value })
          expect(difference(runOnHost(deaf, feeds), runOnHost(changed, feeds))).toBeLessThan(
            TOLERANCE,
          )
          tried++
        }
      }
      expect(tried).toBeGreaterThan(0)
    })
})

describe('every class of every network', () => {
  for (const { name, model } of nets)
    it(`${name}: the masked network computes what the cut one computes`, () => {
      const random = createRandom(4)
      const analysis = analyze(model)
      const units = findUnits(model, analysis)
      const feeds = randomFeeds(model, 5)
      const whole = runOnHost(model, feeds)
      let changed = 0
      for (const found of units.classes) {
        if (found.frozen !== undefined || found.size < 2) continue
        const kept = someOf(found.size, random)
        const small = cut(model, analysis, { [found.name]: kept }, { units })
        const result = runOnHost(small, feeds)
        verify(small)
        if (found.reduces) continue
        const masked = runOnHost(mask(model, analysis, { [found.name]: kept }, { units }), feeds)
        expect(difference(masked, result), found.name).toBeLessThan(TOLERANCE)
        if (difference(whole, result) > 1e-3) changed++
      }
      expect(changed).toBeGreaterThan(0)
    })

  for (const { name, model } of nets)
    it(`${name}: all classes cut at once equal all masked at once`, () => {
      const random = createRandom(6)
      const analysis = analyze(model)
      const units = findUnits(model, analysis)
      const feeds = randomFeeds(model, 7)
      // One head or one group alone is no class any more: two of each stay.
      const free = units.classes.filter(
        (found) => !found.frozen && !found.reduces && found.size > 2,
      )
      const kept = Object.fromEntries(
        free.map((found) => [found.name, someOf(found.size, random, 2)]),
      )
      const small = cut(model, analysis, kept, { units })
      const masked = mask(model, analysis, kept, { units })
      expect(difference(runOnHost(masked, feeds), runOnHost(small, feeds))).toBeLessThan(TOLERANCE)
      // What is left are the same classes, smaller.
      const left = findUnits(small, analyze(small))
      for (const { name: key } of free)
        expect(left.byName.get(key)?.size, key).toBe(kept[key]!.filter((bit) => bit === 1).length)
    })
})

it('on 60 random networks, every class and all classes together are cut as they are masked', () => {
  const random = createRandom(8)
  let cuts = 0
  for (let seed = 1; seed <= 60; seed++) {
    const model = randomNet(seed)
    const analysis = analyze(model)
    const units = findUnits(model, analysis)
    const feeds = randomFeeds(model, seed)
    const free = units.classes.filter((found) => !found.frozen && !found.reduces && found.size > 1)
    const all = Object.fromEntries(free.map((found) => [found.name, someOf(found.size, random)]))
    for (const kept of [all, ...Object.entries(all).map(([name, bits]) => ({ [name]: bits }))]) {
      const small = cut(model, analysis, kept, { units })
      verify(small)
      const masked = mask(model, analysis, kept, { units })
      const error = difference(runOnHost(masked, feeds), runOnHost(small, feeds))
      expect(error, `seed ${seed}: ${Object.keys(kept)}`).toBeLessThan(TOLERANCE)
      cuts++
    }
  }
  expect(cuts).toBeGreaterThan(150)
})
