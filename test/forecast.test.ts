// A dry run: the plan, its speed and what carries the time, with nothing trained.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { presetImage } from '../src/data/describe.ts'
import { forecast } from '../src/recipes/forecast.ts'
import { recipes } from '../src/recipes/index.ts'
import type { FlowEvent } from '../src/recipes/recipe.ts'
import { resnetCifar } from '../src/zoo/resnet-cifar.ts'

const model = resnetCifar({ blocks: 1, widths: [8, 16], size: 16, seed: 2 })

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tersor-forecast-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const predict = (
  recipe: string,
  speedup: number,
  onEvent: (event: FlowEvent) => void = () => undefined,
) =>
  forecast(
    recipes.named(recipe),
    {
      model,
      name: 'net',
      description: {
        format: 1,
        inputs: { image: presetImage('unit', { shape: [1, 3, 16, 16] }) },
        outputs: { logits: { kind: 'logits' } },
      },
      training: undefined,
      evaluation: undefined,
      useLabels: true,
      goal: { speedup },
      target: 'wasm',
      threads: 1,
      seed: 0,
      timing: { rounds: 3, roundMs: 2, warmupMs: 3 },
      workFolder: join(folder, `${recipe} ${speedup}`),
      cacheFolder: join(folder, 'prices'),
    },
    onEvent,
  )

describe('forecast()', () => {
  it('says per layer what it takes now, what would be done and what it would take then', async () => {
    const { layers, nowMs, budgetMs, measured, expectedMs } = await predict('mixed', 1.5)
    expect(budgetMs).toBeCloseTo(nowMs / 1.5, 9)
    expect(expectedMs).toBeCloseTo(nowMs / measured, 9)
    expect(layers.map(({ op }) => op)).toContain('Conv')
    expect(layers.some(({ chosen }) => chosen !== '')).toBe(true)
    for (const { nowMs: now, offered, refused } of layers) {
      expect(now).toBeGreaterThan(0)
      expect(offered.length > 0).toBe(refused === '')
    }
  }, 60_000)

  it('a goal that no plan reaches is out of reach before anything is trained', async () => {
    const { reachable, most } = await predict('mixed', 10_000)
    expect(reachable).toBe(false)
    expect(most).toBeGreaterThan(1)
  }, 60_000)

  it('a recipe without masks plans channels only', async () => {
    const { layers } = await predict('halp', 1.5)
    expect(layers.every(({ offered }) => offered.length === 0)).toBe(true)
    expect(layers.map(({ chosen }) => chosen).join()).not.toMatch(/weights kept/)
  }, 60_000)

  it.each(['halp', 'gradient-flow', 'epi'])(
    '%s is planned by its own ranking',
    async (recipe) => {
      const steps: string[] = []
      const { layers } = await predict(recipe, 1.3, (event) => {
        if (event.kind === 'begin') steps.push(event.title)
      })
      expect(steps).toContain('Choosing widths')
      expect(layers.some(({ chosen }) => /channels|removed/.test(chosen))).toBe(true)
    },
    60_000,
  )
})
