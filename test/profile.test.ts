// Timing and prices: statistics on known numbers, tables on disk, predictions on the measured grid.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { vanishingTogether } from '../src/compress/cut.ts'
import { structures } from '../src/compress/registry.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import { isCoupled, subjectOf } from '../src/profile/layers.ts'
import { kindsOf, maskedTime, nearestLevel } from '../src/profile/masks.ts'
import { compare, median, percentile } from '../src/profile/measure.ts'
import { Workbench } from '../src/profile/prepare.ts'
import { priceSubject } from '../src/profile/price.ts'
import { PriceTable } from '../src/profile/table.ts'
import { tileOf } from '../src/profile/tile.ts'
import { measuredWhole } from '../src/profile/whole.ts'
import { timeAt, widthLevels } from '../src/profile/widths.ts'
import { floats } from '../src/tensor/tensor.ts'
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
  const timing = { rounds: 3, roundMs: 1, warmupMs: 2 }

  it('widths fall in multiples of four to an eighth, small classes by shares', () => {
    expect(widthLevels(64)).toEqual([64, 40, 24, 8])
    expect(widthLevels(16)).toEqual([16, 12, 8, 4])
    expect(widthLevels(6)).toEqual([6, 4, 2, 1])
  })

  it('predicts measured points exactly, narrower never dearer, and scales to the whole model', async () => {
    const subject = subjectOf(resnetCifar({ blocks: 1, widths: [8, 16], size: 8, seed: 1 }))
    const bench = new Workbench({ timing })
    const table = PriceTable.open(join(folder, 'c'), {
      target: 'wasm',
      engine: process.versions.v8,
      threads: 1,
    })
    const options = { bench, wholeMs: 1, timing, masks: false }
    const pricing = await priceSubject(subject, table, options)
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
    // A branch that keeps nothing takes nothing.
    const [branch] = vanishingTogether(subject.model, subject.analysis, subject.units)
    const without = plan({ [branch!]: 0 })
    const inside = subject.layers.map(({ reads, makes }) => [...reads, ...makes].includes(branch!))
    expect(inside.filter(Boolean).length).toBe(2)
    expect(pricing.layers(without).map((ms) => ms === 0)).toEqual(inside)
    expect(pricing.price(without)).toBeLessThan(pricing.price(plan({ [branch!]: 4 })))
    const size = table.size
    await priceSubject(subject, table, options)
    expect(table.size).toBe(size)
    await bench.close()
  }, 120_000)
})

describe('widths in tiles', () => {
  it('a target that pads its channels is told by 36 that take as long as 40, or as 48', () => {
    expect(tileOf([74, 75, 75])).toBe(16)
    expect(tileOf([62, 63, 75])).toBe(8)
    expect(tileOf([57, 63, 75])).toBe(1)
  })

  it('what is between two measured widths costs what its last tile costs', () => {
    const subject = subjectOf(resnetCifar({ blocks: 1, widths: [64], size: 8, seed: 1 }))
    const layer = subject.layers.find((found) => !isCoupled(found))!
    // With tiles of 16 these widths take 64, 48 and 32.
    const grid = { tile: 16, reads: [64], makes: [64, 40, 24], ms: [[4, 3, 2]] }
    const at = (makes: number) => timeAt(layer, grid, { reads: 64, makes })
    expect([64, 52, 48, 44, 36, 32, 28].map(at)).toEqual([4, 4, 3, 3, 3, 2, 2])
    const smooth = { ...grid, tile: 1 }
    expect(timeAt(layer, smooth, { reads: 64, makes: 52 })).toBe(3.5)
  })
})

describe('masks', () => {
  const convolution = (kernel: number) => {
    const b = new GraphBuilder()
    const weight = floats([16, 16, kernel, kernel], new Float32Array(256 * kernel ** 2).fill(1))
    const value = b.op('Conv', [b.input('x', 'float32', [1, 16, 8, 8]), b.constant(weight, 'w')])
    b.output(b.op('Relu', [value]), 'y')
    return subjectOf(b.build())
  }

  it('structures that kernels do not tell apart are one kind; whole units are no mask', () => {
    const kinds = kindsOf(convolution(1).layers[0]!)
    const names = kinds.map(({ structures }) => structures.map(({ name }) => name))
    expect(names.flat()).toContain('element/2')
    expect(names.flat()).not.toContain('filter')
    expect(names.flat()).not.toContain('channel')
    const shared = kinds.find(({ name }) => name === 'shared, shared by 4')!
    expect(shared.structures.map(({ name }) => name)).toContain('element/4')
    expect(kindsOf(convolution(3).layers[0]!).map(({ name }) => name)).toContain('pattern')
  })

  it('the time of a mask is linear in density, and in what is left of the weight', () => {
    const curve = {
      kind: { name: 'element', structures: [] },
      narrow: 0.25,
      densities: [0.5, 0.25],
      fullMs: [8, 4],
      narrowMs: [3, 1],
    }
    expect(maskedTime(curve, 0.375, 1)).toBe(6)
    expect(maskedTime(curve, 0.25, 0.625)).toBe(2.5)
    expect(maskedTime(curve, 0.5, 0.125)).toBe(1.5)
    const none = Number.POSITIVE_INFINITY
    const wide = { ...curve, narrowMs: [none, none] }
    expect([maskedTime(wide, 0.25, 0.75), maskedTime(wide, 0.25, 0.5)]).toEqual([3, none])
    const slow = { ...wide, fullMs: [none, 4] }
    expect([maskedTime(slow, 0.375, 0.75), maskedTime(slow, 0.25, 1)]).toEqual([none, 4])
  })

  it('a sparser plan never costs more, and what is not faster is not offered', async () => {
    const subject = convolution(3)
    const timing = { rounds: 3, roundMs: 1, warmupMs: 2 }
    const bench = new Workbench({ timing })
    const scope = { target: 'wasm' as const, engine: process.versions.v8, threads: 1 }
    const table = PriceTable.open(join(folder, 'd'), scope)
    const wholeMs = await measuredWhole(subject.model, { bench, table })
    const pricing = await priceSubject(subject, table, { bench, wholeMs, timing })
    const [masks] = pricing.masks
    expect(masks!.offered.length > 0).toBe(masks!.refused === '')
    const price = (structure: string, level: number) =>
      pricing.price({ format: 1, keep: {}, mask: { w: { structure, level } } })
    for (const name of masks!.offered) {
      const { shape } = subject.layers[0]!.masks!
      const structure = structures.named(name)
      const levels = [0.5, 0.25, 0.125].map((keep) => nearestLevel(structure, shape, keep))
      const prices = levels.map((level) => price(name, level))
      expect(prices[1]).toBeLessThanOrEqual(prices[0]! * 1.05)
      expect(prices[2]).toBeLessThanOrEqual(prices[1]! * 1.05)
    }
    expect(price('filter', 5)).toBeCloseTo(pricing.price({ format: 1, keep: {}, mask: {} }), 9)
  }, 60_000)
})
