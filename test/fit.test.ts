// Fitting a plan to a time where predictions are wrong.
import { describe, expect, it } from 'vitest'
import { type FitProblem, fitToTime } from '../src/recipes/fit.ts'

// A plan is its predicted time; it takes `factor` times that, and never less than `least`.
const problem = (factor: number, least = 0, more: Partial<FitProblem<number>> = {}) => {
  const tried: number[] = []
  const fit = fitToTime<number>({
    targetMs: 98,
    limitMs: 100,
    plan: (budgetMs) => Math.max(budgetMs, least),
    measure: async (predicted) => {
      tried.push(predicted)
      return predicted * factor
    },
    ...more,
  })
  return { tried, fit }
}

describe('fitToTime()', () => {
  it('takes the first plan when it is as fast as was predicted', async () => {
    const { fit, tried } = problem(1)
    expect((await fit).measuredMs).toBe(98)
    expect(tried.length).toBe(1)
  })

  it('asks for less time after a miss', async () => {
    expect((await problem(1.5).fit).measuredMs).toBeCloseTo(98, 6)
  })

  it('asks for more time where a plan does far more than was asked', async () => {
    const { fit, tried } = problem(0.3)
    expect((await fit).measuredMs).toBeCloseTo(98, 6)
    expect(tried).toEqual([98, 98 / 0.3])
  })

  it('keeps what fits where more time goes over the limit, and tries between', async () => {
    // Beyond 120 a whole class comes back.
    const measure = async (predicted: number) => (predicted > 120 ? 300 : predicted / 2)
    const { measuredMs } = await problem(1, 0, { measure }).fit
    expect(measuredMs).toBeGreaterThan(49)
    expect(measuredMs).toBeLessThanOrEqual(100)
  })

  it('gives the fastest plan where none is fast enough', async () => {
    const { measuredMs } = await problem(1.5, 90).fit
    expect(measuredMs).toBe(135)
  })

  it('plans anew after a revision, at the same time, and prefers what needed none', async () => {
    let revisions = 0
    const { fit, tried } = problem(1, 0, { revise: async () => revisions++ === 0 })
    await fit
    expect(tried).toEqual([98, 98])
  })
})
