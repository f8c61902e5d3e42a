// The early pruning indicator: its formulas, what random scores give, and when it says that it is time.
import { describe, expect, it } from 'vitest'
import {
  aboveFloor,
  early,
  type EarlyLook,
  indicatorOf,
  judgeWidths,
  randomFloor,
  similarity,
} from '../../src/compress/solvers/early.ts'
import { largest } from '../../src/tensor/largest.ts'
import { createRandom, type Random } from '../../src/util/random.ts'
import { solve, type Task, targetOf } from './quadratic.ts'

describe('the early pruning indicator', () => {
  it('is symmetric, within 0…1, and 1 only for equal widths', () => {
    expect(similarity([4, 8], [4, 8])).toBe(1)
    expect(similarity([4, 8], [2, 8])).toBeCloseTo(1 - 1 / 6, 12)
    expect(similarity([0, 3], [0, 1])).toBeCloseTo(1 - 1 / 4, 12)
    const random = createRandom(7)
    for (let trial = 0; trial < 100; trial++) {
      const [a, b] = [0, 1].map(() => Array.from({ length: 5 }, () => random.integer(20)))
      expect(similarity(a!, b!)).toBe(similarity(b!, a!))
      expect(similarity(a!, b!)).toBeGreaterThanOrEqual(0)
      expect(similarity(a!, b!)).toBeLessThanOrEqual(1)
    }
  })

  it('of constant widths is 1, and needs its history', () => {
    expect(indicatorOf([3, 4], [[3, 4]], 2)).toBeUndefined()
    expect(indicatorOf([3, 4], Array(5).fill([3, 4]), 5)).toBe(1)
    expect(indicatorOf([2], [[9], [2], [6]], 2)).toBeCloseTo((1 + 0.5) / 2, 12)
  })

  it('has a floor that random scores reach: the figures of ResNet-50 at 90, 50 and 10 %', () => {
    const counts = resnet50Widths()
    expect(randomFloor(counts, { keep: 0.9 })).toBeCloseTo(0.986, 1.7)
    expect(randomFloor(counts, { keep: 0.5 })).toBeCloseTo(0.956, 1.7)
    expect(randomFloor(counts, { keep: 0.1 })).toBeCloseTo(0.868, 1.7)
  })

  const looking = (
    options: Parameters<typeof early>[0],
    scoreAt: (step: number) => Float32Array,
  ): { looks: unknown[]; trigger: string } => {
    const names = Array.from({ length: 20 }, (_, i) => `w${i}`)
    const group = Array.from({ length: 64 }, (_, i) => i)
    let step = 0
    const task: Task = {
      targets: names.map((name) => targetOf(group, 1, name)),
      start: Object.fromEntries(names.map((name) => [name, new Float32Array(64)])),
      gradient: (weights) => {
        step++
        return Object.fromEntries(names.map((name) => [name, weights[name]!.map(() => 0)]))
      },
      steps: 100,
      rate: 1,
      score: () => scoreAt(step),
    }
    const { data } = solve(early({ share: 1, checks: 100, ...options }), task)
    return data as { looks: unknown[]; trigger: string }
  }

  it('does not trigger on noise above its floor, but does by the plain rule', () => {
    const random = createRandom(8)
    const noise = () => Float32Array.from({ length: 64 }, () => random.uniform())
    expect(looking({ keep: 0.9 }, noise).trigger).toBe('deadline')
    const plain = looking({ keep: 0.9, floor: false, threshold: 0.944 }, noise)
    expect(plain.trigger).toBe('stable')
    expect(plain.looks.length).toBeLessThan(20)
  })

  it('within 100 looks at the widths of a ResNet-50, noise triggers the plain rule and not the other', () => {
    const counts = resnet50Widths()
    const floor = randomFloor(counts, { keep: 0.9 })
    // The paper's threshold by magnitude lies below what random scores give where a tenth goes.
    expect(floor).toBeGreaterThan(0.983)
    const random = createRandom(10)
    const looks: Pick<EarlyLook, 'widths' | 'indicator'>[] = []
    const triggered = { plain: false, floored: false }
    for (let look = 0; look < 100; look++) {
      const widths = randomWidths(counts, 0.9, random)
      const judge = (level: number) => judgeWidths(widths, looks, { history: 5, level })
      triggered.plain ||= judge(0.983).isStable
      triggered.floored ||= judge(aboveFloor(floor, 0.5)).isStable
      looks.push({ widths, indicator: judge(1).indicator })
    }
    expect(triggered).toEqual({ plain: true, floored: false })
  })

  it('triggers soon after scores settle', () => {
    const random = createRandom(9)
    const noise = () => Float32Array.from({ length: 64 }, () => random.uniform())
    const settled = noise()
    const { looks, trigger } = looking({ keep: 0.5 }, (step) => (step < 30 ? noise() : settled))
    expect(trigger).toBe('stable')
    expect(looks.length).toBeGreaterThanOrEqual(30)
    expect(looks.length).toBeLessThan(40)
  })
})

// Widths that a ranking of random scores over all layers leaves.
function randomWidths(counts: readonly number[], keep: number, random: Random): number[] {
  const layerOf = counts.flatMap((count, layer) => Array<number>(count).fill(layer))
  const scores = layerOf.map(() => random.uniform())
  const widths = counts.map(() => 0)
  for (const unit of largest(scores, Math.round(keep * scores.length))) widths[layerOf[unit]!]!++
  return widths
}

function resnet50Widths(): number[] {
  const widths = [64]
  ;[
    [64, 3],
    [128, 4],
    [256, 6],
    [512, 3],
  ].forEach(([width, blocks]) => {
    for (let i = 0; i < blocks!; i++) widths.push(width!, width!)
    // Residual streams are one class.
    widths.push(4 * width!)
  })
  return widths
}
