// The schedule laws: a curve from 1 down to what is kept at the end.
import { describe, expect, it } from 'vitest'
import { schedules } from '../../src/compress/registry.ts'

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
