// What a missed goal is told as.
import { describe, expect, it } from 'vitest'
import { judgeGoal } from '../src/recipes/judge-goal.ts'

const ending = { wanted: 1.4, speedup: 1.5, quality: undefined, stopped: false }

describe('judgeGoal()', () => {
  it('a near miss has as many digits as tell it from the goal', () => {
    expect(judgeGoal({}, { ...ending, speedup: 1.3987 }).gap).toBe(
      '1.399× faster instead of 1.400×',
    )
    expect(judgeGoal({}, { ...ending, speedup: 1.2 }).gap).toBe('1.20× faster instead of 1.40×')
    expect(judgeGoal({}, ending).gap).toBe('')
  })

  it('the same of what was lost; a stopped run is missed in any case', () => {
    const quality = {
      kind: 'accuracy',
      before: 0.915,
      after: 0.90496,
      samples: 1,
      dataset: '',
    } as const
    const { gap, lost } = judgeGoal({ accuracyDrop: 0.01 }, { ...ending, quality })
    expect(lost).toBeCloseTo(0.01004, 9)
    expect(gap).toBe('1.004 % lost instead of at most 1.000 %')
    expect(judgeGoal({}, { ...ending, stopped: true }).gap).toBe('stopped before its end')
  })
})
