// Timing and prices: statistics on known numbers, tables on disk, predictions on the measured grid.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { subjectOf } from '../src/profile/layers.ts'
import { compare, median, percentile } from '../src/profile/measure.ts'
import { Workbench } from '../src/profile/prepare.ts'
import { priceSubject, widthLevels } from '../src/profile/price.ts'
import { PriceTable } from '../src/profile/table.ts'
import { resnetCifar } from '../src/zoo/resnet-cifar.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tersor-profile-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('compare()', () => {
  const fixed = (label: string, ms: number) => ({
    label,
    time: (runs: number) => new Array<number>(runs).fill(ms),
  })

  it('gives the ratio of the first to each, round by round', async () => {
    const options = { rounds: 3, roundMs: 1, warmupMs: 0 }
    const { timings, speedups } = await compare('two', [fixed('a', 6), fixed('b', 2)], options)
    expect(timings.map(({ medianMs }) => medianMs)).toEqual([6, 2])
    expect(speedups[1]).toEqual({ median: 3, low: 3, high: 3 })
  })

  it('a disturbed round shows in the range and not in the median', async () => {
    let calls = 0
    const disturbed = {
      label: 'disturbed',
      time: (runs: number) => new Array<number>(runs).fill(calls++ === 2 ? 40 : 4),
    }
    const options = { rounds: 5, roundMs: 1, warmupMs: 0 }
    const { speedups } = await compare('noise', [fixed('steady', 8), disturbed], options)
    expect(speedups[1]!.median).toBe(2)
    expect(speedups[1]!.low).toBeCloseTo(0.2)
  })

  it('percentiles interpolate, the median of four is the mean of the middle two', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(percentile([0, 10], 0.1)).toBe(1)
  })
})

describe('PriceTable', () => {
  const scope = { target: 'wasm' as const, engine: '11.3', threads: 1 }

  it('remembers prices on disk and tells tables apart by their prices', () => {
    const table = PriceTable.open(join(folder, 'a'), scope)
    const empty = table.fingerprint
    table.set('layer', 0.25)
    table.save()
    const again = PriceTable.open(join(folder, 'a'), scope)
    expect(again.get('layer')).toBe(0.25)
    expect(again.fingerprint).not.toBe(empty)
  })

  it('starts anew where the file is damaged, and for another engine', async () => {
    const table = PriceTable.open(join(folder, 'b'), scope)
    table.set('layer', 1)
    table.save()
    expect(PriceTable.open(join(folder, 'b'), { ...scope, engine: '13.6' }).size).toBe(0)
    const [file] = await readdir(join(folder, 'b'))
    await writeFile(join(folder, 'b', file!), '{"format":')
    expect(PriceTable.open(join(folder, 'b'), scope).size).toBe(0)
  })
})

describe('priceSubject()', () => {
  it('widths fall in steps of four to an eighth, small classes by shares', () => {
    expect(widthLevels(64)).toEqual([64, 48, 32, 16, 8])
    expect(widthLevels(16)).toEqual([16, 12, 8, 4])
    expect(widthLevels(6)).toEqual([6, 5, 3, 2, 1])
  })

  it('predicts measured points exactly, narrower never dearer, and scales to the whole model', async () => {
    const subject = subjectOf(resnetCifar({ blocks: 1, widths: [8, 16], size: 8, seed: 1 }))
    const bench = new Workbench()
    const table = PriceTable.open(join(folder, 'c'), {
      target: 'wasm',
      engine: process.versions.v8,
      threads: 1,
    })
    const pricing = await priceSubject(subject, table, { bench, wholeMs: 1 })
    const plan = (keep: Record<string, number>) => ({ format: 1 as const, keep, mask: {} })
    expect(pricing.price(plan({}))).toBeCloseTo(1, 6)
    const open = subject.units.classes.filter(({ frozen }) => frozen === undefined)
    expect(open.length).toBeGreaterThan(2)
    for (const { name, size } of open) {
      const prices = widthLevels(size).map((keep) => pricing.price(plan({ [name]: keep })))
      prices.slice(1).forEach((price, i) => {
        expect(price).toBeLessThanOrEqual(prices[i]! + 1e-9)
      })
    }
    const size = table.size
    await priceSubject(subject, table, { bench, wholeMs: 1 })
    expect(table.size).toBe(size)
    await bench.close()
  }, 120_000)
})
