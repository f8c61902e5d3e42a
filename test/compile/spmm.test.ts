// Sparse convolutions over channel planes against the op records, and which offer wins.
import { describe, expect, it } from 'vitest'
import { printReport } from '../../src/compile/explain.ts'
import type { Kernel, Offer } from '../../src/compile/kernel.ts'
import { tilesOf } from '../../src/compile/kernels/plane-tiles.ts'
import { spmm } from '../../src/compile/kernels/spmm.ts'
import { spmmCost } from '../../src/compile/kernels/spmm-nest.ts'
import { CHW } from '../../src/compile/layout.ts'
import type { GraphBuilder } from '../../src/ir/builder.ts'
import { int, intList } from '../../src/ir/graph.ts'
import { recogniseSparsity, structureName } from '../../src/ir/sparsity.ts'
import { type FloatTensor, floats, sizeOf } from '../../src/tensor/tensor.ts'
import { build, conv, expectSame, kernelsOf } from './bundle-harness.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'
import { apart, type Case, sparseWeight } from './sparse-weights.ts'

const layoutsOf = (offer: Offer) => ({
  inputs: offer.inputs.map(({ layout }) => layout),
  outputs: offer.outputs.map(() => CHW),
})

/** The kernel, offering one width only. */
const onlyWidth = (width: 1 | 2 | 4): Kernel => ({
  name: spmm.name,
  offer(node, context) {
    const answer = spmm.offer(node, context)
    const suffix = `x${width}-f32`
    return typeof answer === 'string' ? answer : answer.filter((o) => o.kernel.endsWith(suffix))
  },
})

function model(k: Case, after?: (b: GraphBuilder, y: string) => string) {
  const { n = 1, c, o, size, kernel = 1, pads = [0, 0, 0, 0], dilation = 1, strides = [1, 1] } = k
  return modelOf([[n, c, ...size]], (b, [x]) => {
    const weight = b.constant(sparseWeight([o, c, kernel, kernel], { width: 2 }))
    const y = b.op('Conv', [x!, weight, b.constant(randomTensor([o], 5))], {
      pads: intList(pads),
      dilations: intList([dilation, dilation]),
      strides: intList(strides),
    })
    return after ? after(b, y) : y
  })
}

const cases: readonly Case[] = [
  { c: 5, o: 7, size: [8, 8] },
  { n: 2, c: 3, o: 6, size: [7, 7] },
  { c: 4, o: 4, size: [1, 1] },
  { c: 4, o: 9, size: [1, 3] },
  { c: 2, o: 5, size: [5, 33] },
  { c: 3, o: 5, size: [14, 14], kernel: 3, pads: [1, 1, 1, 1] },
  { c: 2, o: 6, size: [7, 9], kernel: 3, pads: [0, 1, 2, 0] },
  { n: 2, c: 2, o: 3, size: [10, 6], kernel: 3, pads: [2, 2, 2, 2], dilation: 2 },
  { c: 2, o: 4, size: [9, 28], kernel: 5, pads: [2, 2, 2, 2] },
  { c: 3, o: 5, size: [14, 14], kernel: 3, pads: [1, 1, 1, 1], strides: [2, 2] },
  { c: 3, o: 5, size: [9, 7], kernel: 1, strides: [2, 2] },
  { n: 2, c: 2, o: 4, size: [5, 6], kernel: 3, pads: [1, 1, 1, 1], strides: [1, 2] },
  { c: 2, o: 4, size: [3, 3], kernel: 3, pads: [1, 1, 1, 1], strides: [3, 2] },
  { c: 2, o: 4, size: [2, 36], kernel: 1, strides: [2, 2] },
]

describe('spmm-f32', () => {
  for (const width of [1, 2, 4] as const)
    it(`computes sparse convolutions with ${width} channels a block, with and without halos`, () => {
      for (const k of cases) {
        if (k.o < width) continue
        checkKernel(model(k), onlyWidth(width), { covers: 1 })
        checkKernel(model(k), onlyWidth(width), { extraHalo: [1, 2, 1, 3] })
      }
    })

  it('absorbs what follows: an activation, a scale per channel, a residual', () => {
    const k: Case = { c: 4, o: 6, size: [6, 10], kernel: 3, pads: [1, 1, 1, 1] }
    for (const width of [1, 2, 4] as const) {
      const relu = checkKernel(
        model(k, (b, y) => b.op('Relu', [y])),
        onlyWidth(width),
        { covers: 2 },
      )
      expect(relu.inPlace).toEqual([])
      checkKernel(
        model(k, (b, y) => b.op('Mul', [y, b.constant(randomTensor([6, 1, 1], 8))])),
        onlyWidth(width),
        { covers: 2, extraHalo: [1, 1, 1, 1] },
      )
    }
    const residual = modelOf([[1, 8, 4, 8]], (b, [x]) => {
      const weight = b.constant(sparseWeight([8, 8, 1, 1], { width: 4 }))
      return b.op('Relu', [b.op('Add', [b.op('Conv', [x!, weight]), x!])])
    })
    expect(checkKernel(residual, onlyWidth(4), { covers: 3 }).inPlace).toEqual([1])
  })

  it('finds channels that share zeros wherever they stand, and stores each where it belongs', () => {
    for (const width of [2, 4] as const)
      for (const [size, kernel] of [
        [7, 1],
        [12, 3],
      ] as const) {
        const pad = (kernel - 1) / 2
        const weight = apart(sparseWeight([11, 6, kernel, kernel], { width, keep: 0.2 }))
        const made = modelOf(
          [
            [2, 6, size, size],
            [2, 11, size, size],
          ],
          (b, [x, r]) => {
            const y = b.op('Conv', [x!, b.constant(weight), b.constant(randomTensor([11], 5))], {
              pads: intList([pad, pad, pad, pad]),
            })
            const scaled = b.op('Mul', [y, b.constant(randomTensor([11, 1, 1], 8))])
            return b.op('Relu', [b.op('Add', [scaled, r!])])
          },
        )
        const offer = checkKernel(made, onlyWidth(width), { covers: 4, extraHalo: [1, 0, 2, 1] })
        expect(offer.codeKey(layoutsOf(offer))).toContain('"outputs":')
      }
  })

  it('computes groups: to the other groups every weight is zero', () => {
    const grouped = (weight: FloatTensor, group: number) =>
      modelOf([[1, weight.shape[1]! * group, 8, 8]], (b, [x]) =>
        b.op('Conv', [x!, b.constant(weight)], {
          group: int(group),
          pads: intList([1, 1, 1, 1]),
        }),
      )
    for (const width of [1, 2, 4] as const)
      checkKernel(grouped(sparseWeight([12, 5, 3, 3]), 3), onlyWidth(width), { covers: 1 })
  })

  it('computes with weights that are all zero', () => {
    const empty = modelOf([[1, 2, 4, 4]], (b, [x]) =>
      b.op('Conv', [x!, b.constant(floats([3, 2, 1, 1], new Float32Array(6)))]),
    )
    checkKernel(empty, spmm)
  })

  it('prices by stored weights: shared zeros in blocks, scattered ones alone', () => {
    const chosen = (width: number) =>
      checkKernel(
        modelOf([[1, 16, 4, 4]], (b, [x]) =>
          b.op('Conv', [x!, b.constant(sparseWeight([16, 16, 1, 1], { width, keep: 0.2 }))]),
        ),
        spmm,
      ).kernel
    expect(chosen(1)).toBe('spmm-28x1-f32')
    expect(chosen(2)).toBe('spmm-16x2-f32')
    expect(chosen(4)).toMatch(/^spmm-(8x4|16x2)-f32$/)
  })

  it('knows the tiles it is priced by: together they cover the plane', () => {
    expect(tilesOf({ rows: 7, columns: 7 }, 4)).toEqual([
      { count: 3, vectors: 4 },
      { count: 1, vectors: 2 },
    ])
    for (const rows of [1, 2, 7, 14])
      for (const columns of [1, 5, 7, 16, 33, 56])
        for (const size of [2, 4]) {
          const tiles = tilesOf({ rows, columns }, size)
          const vectors = tiles.reduce((sum, tile) => sum + tile.count * tile.vectors, 0)
          expect(vectors).toBe(rows * Math.ceil(columns / 4))
        }
    // Half-empty tiles cost more per vector than full ones.
    const perVector = (rows: number) =>
      spmmCost({ plane: { rows, columns: 7 }, width: 2, stored: 500, outputs: 8 }) / (rows * 2)
    expect(perVector(7)).toBeGreaterThan(1.02 * perVector(8))
  })

  it('declines dense weights, strides and groups by name', () => {
    const reason = (
      weight: FloatTensor,
      attributes: Record<string, ReturnType<typeof intList | typeof int>>,
    ) => {
      const channels = weight.shape[1]! * (attributes.group ? 4 : 1)
      const dense = modelOf([[1, channels, 4, 4]], (b, [x]) =>
        b.op('Conv', [x!, b.constant(weight)], attributes),
      )
      let found = ''
      try {
        checkKernel(dense, spmm)
      } catch (error) {
        found = String(error)
      }
      return found
    }
    expect(reason(randomTensor([4, 4, 1, 1], 2), {})).toContain('0 % of its weights are zero')
    const sparse = sparseWeight([4, 4, 1, 1])
    expect(reason(sparse, { strides: intList([1, 3]) })).toContain('computes strides 1 and 2')
    expect(reason(floats([4, 1, 1, 1], new Float32Array(4)), { group: int(4) })).toContain(
      'a channel of its own each',
    )
  })
})

describe('recogniseSparsity', () => {
  const of = (t: FloatTensor) =>
    structureName(
      recogniseSparsity({
        data: t.data,
        outputs: t.shape[0]!,
        columns: sizeOf(t.shape.slice(1)),
        taps: t.shape[2]! * t.shape[3]!,
      }).structure,
    )

  it('tells dense, scattered, shared and patterned zeros apart', () => {
    expect(of(randomTensor([4, 8, 3, 3], 1))).toBe('dense')
    expect(of(sparseWeight([16, 16, 3, 3], { keep: 0.2 }))).toBe('element')
    expect(of(sparseWeight([16, 16, 1, 1], { width: 2, keep: 0.2 }))).toBe('shared by 2')
    expect(of(sparseWeight([16, 16, 1, 1], { width: 4, keep: 0.2 }))).toBe('shared by 4')
    const patterned = randomTensor([4, 4, 3, 3], 6)
    patterned.data.forEach((_, i) => {
      const kernel = Math.floor(i / 9)
      const kept = kernel % 3 === 0 ? [] : kernel % 2 === 0 ? [0, 1, 3, 4] : [4, 5, 7, 8]
      if (!kept.includes(i % 9)) patterned.data[i] = 0
    })
    expect(of(patterned)).toBe('2 patterns + connectivity')
  })

  it('counts the columns that blocks of outputs must store', () => {
    const data = Float32Array.of(1, 0, 0, 2, 0, 0, 3, 0, 4, 0, 0, 0)
    const { groups, density } = recogniseSparsity({ data, outputs: 3, columns: 4, taps: 1 })
    // The first and the third output share column 0; as neighbours none would share anything.
    expect([1, 2, 4].map((width) => groups[width as 1].stored)).toEqual([4, 3, 3])
    expect([...groups[2].order]).toEqual([0, 2, 1])
    expect(density).toBe(4 / 12)
  })
})

describe('a sparse network', () => {
  const attributes = { pads: intList([1, 1, 1, 1]) }
  const scaled = (t: FloatTensor): FloatTensor =>
    floats(
      t.shape,
      t.data.map((w) => w / Math.sqrt(0.1 * sizeOf(t.shape.slice(1)))),
    )
  const sparse = (b: GraphBuilder, x: string, outputs: number, seed: number, kernel = 3) => {
    const shape = [outputs, b.type(x).shape[1]!, kernel, kernel] as const
    const weight = b.constant(scaled(sparseWeight(shape, { width: 2, keep: 0.1, seed })))
    return b.op('Conv', [x, weight], kernel === 3 ? attributes : {})
  }

  it('stays in planes from layer to layer, and computes what ONNX Runtime does', async () => {
    const model = build([[1, 3, 14, 14]], (b, x) => {
      const first = b.op('Relu', [conv(b, x, 32)])
      const a = b.op('Relu', [sparse(b, first, 32, 1)])
      const c = b.op('Relu', [b.op('Add', [sparse(b, a, 32, 2), first])])
      const d = b.op('Relu', [sparse(b, c, 48, 3, 1)])
      return b.op('GlobalAveragePool', [sparse(b, d, 32, 4)])
    })
    const compiled = await expectSame(model, 5e-6)
    const kernels = kernelsOf(compiled)
    expect(kernels.filter((name) => name === 'spmm-16x2-f32')).toHaveLength(4)
    // The image comes and the means go plain; into planes once, out of them once.
    expect(kernels.filter((name) => name.startsWith('convert'))).toHaveLength(4)
    const report = printReport(compiled.report)
    expect(report).toMatch(/ {2}spmm-16x2-f32 chw, .*\n {4}also offered: .*conv-gemm-f32 nhwc ×/)
    expect(report).toMatch(/9\d % zeros \(shared by 2\), table [\d.]+ kB; csr [\d.]+ kB/)
    expect(report).toMatch(/\(Conv \+ \w+.*\)\n {2}spmm-16x2-f32/)
    expect(report).toContain('spmm-f32, spmm-last-f32: 0 % of its weights')
  })

  it('leaves a small sparse layer between dense ones where its neighbours lie', async () => {
    const model = build([[1, 8, 12, 12]], (b, x) => {
      const weight = b.constant(sparseWeight([8, 8, 1, 1], { keep: 0.6 }))
      return conv(b, b.op('Conv', [conv(b, x, 8, 1), weight]), 8, 2)
    })
    const kernels = kernelsOf(await expectSame(model, 5e-6))
    expect(kernels.filter((name) => name.startsWith('spmm'))).toEqual([])
  })

  it('keeps halos clean for images of odd sizes, batches and results in planes', async () => {
    const model = build([[2, 3, 9, 13]], (b, x) => {
      const first = conv(b, x, 16)
      const a = sparse(b, first, 24, 5)
      const s = b.op('Sigmoid', [a])
      return [b.op('Mul', [sparse(b, s, 16, 6), first]), a]
    })
    await expectSame(model, 5e-6)
  })
})
