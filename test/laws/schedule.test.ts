// The schedule laws: a curve from 1 down to what is kept at the end.
import { describe, expect, it } from 'vitest'
import { schedules } from '../../src/compress/registry.ts'
import { createRandom } from '../../src/util/random.ts'

describe.each(schedules.all.map((schedule) => [schedule.name, schedule] as const))(
  'schedule %s',
  (_name, { keepAt }) => {
    it('ends at the final keep, never rises, and stays between it and 1', () => {
      for (const final of [0.1, 0.5, 1]) {
        expect(keepAt(1, final)).toBeCloseTo(final, 12)
        for (let t = 0; t <= 20; t++) {
          const [now, next] = [keepAt(t / 20, final), keepAt((t + 1) / 20, final)]
          expect(now).toBeGreaterThanOrEqual(final - 1e-12)
          expect(now).toBeLessThanOrEqual(1)
          expect(next).toBeLessThanOrEqual(now + 1e-12)
        }
      }
    })
  },
)

// Round i of R takes P ÷ (i P + R (1 − P)) of what is left (Lubana and Dick 2021, arXiv 2009.11839).
it('harmonic rounds take the shares of the paper, and all of it in the end', () => {
  const random = createRandom(5)
  for (let trial = 0; trial < 100; trial++) {
    const gone = 0.02 + 0.96 * random.uniform()
    const rounds = 1 + Math.floor(random.uniform() * 30)
    let left = 1
    for (let i = 1; i <= rounds; i++) {
      left *= 1 - gone / (i * gone + rounds * (1 - gone))
      expect(schedules.named('harmonic').keepAt(i / rounds, 1 - gone)).toBeCloseTo(left, 12)
    }
    expect(left).toBeCloseTo(1 - gone, 12)
  }
})
