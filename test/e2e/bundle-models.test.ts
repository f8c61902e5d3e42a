// Real models: bundles equal ONNX Runtime. TERSOR_SHARED names the folder that holds models/.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { readOnnx } from '../../src/onnx/read.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { randomFeeds, runReference } from '../support/ort.ts'

const folder = process.env.TERSOR_SHARED && join(process.env.TERSOR_SHARED, 'models')
if (!folder) console.log('bundles of real models: skipped, TERSOR_SHARED names no folder')

const files: readonly (readonly [string, Record<string, number>])[] = [
  ['resnet20-cifar10.onnx', {}],
  ['resnet56-cifar10.onnx', {}],
  ['proxyless-w0.3-r176-imagenet.onnx', {}],
  ['ultraface-rfb-320.onnx', {}],
  ['yunet-n-320.onnx', {}],
  ['fastestdet.onnx', {}],
  ['mnist-cntk.onnx', {}],
  ['ppocr-cls.onnx', { x_dim2: 48, x_dim3: 192 }],
  ['tinystories-260k.onnx', { length: 16 }],
]

/** A sum of 576 products (3×3×64) may be off by 576 · 2⁻²³ ≈ 7e-5 of its magnitude; a seventh of it. */
const TOLERANCE = 1e-5

describe.skipIf(!folder)('bundles of real models', () => {
  it.each(files.filter(([file]) => folder && existsSync(join(folder, file))))(
    '%s',
    async (file, sizes) => {
      const bytes = new Uint8Array(readFileSync(join(folder!, file)))
      const model = readOnnx(bytes)
      const bundle = await load(compile(model, { bindings: sizes }))
      const feeds = randomFeeds(model, 3, {
        bindings: Object.fromEntries(
          model.graph.inputs.flatMap(({ shape }) =>
            (shape ?? [])
              .filter((dim) => typeof dim === 'string')
              .map((dim) => [dim, sizes[dim] ?? 1]),
          ),
        ),
      })
      const expected = await runReference(bytes, feeds)
      const found = await bundle.run(
        Object.fromEntries(
          Object.entries(feeds).map(([name, { data }]) => [name, data as Float32Array]),
        ),
      )
      for (const [name, { data }] of Object.entries(expected)) {
        const [error, scale] = largest(found[name] as Tensor, data as Float32Array)
        console.log(`${file} ${name}: error ${error.toExponential(1)} of ${scale.toFixed(2)}`)
        expect(error / Math.max(1, scale)).toBeLessThan(TOLERANCE)
      }
    },
  )
})

function largest(found: Tensor, expected: Float32Array): [error: number, scale: number] {
  const values = found.data as Float32Array
  expect(values.length).toBe(expected.length)
  let [error, scale] = [0, 0]
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(values[i]! - expected[i]!)
    error = Number.isNaN(difference) ? Infinity : Math.max(error, difference)
    scale = Math.max(scale, Math.abs(expected[i]!))
  }
  return [error, scale]
}
