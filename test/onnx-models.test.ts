// Real models: read → write and every pass, against ONNX Runtime on the original file.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { Editor } from '../src/ir/edit.ts'
import type { Model } from '../src/ir/graph.ts'
import { parseGraph, printGraph } from '../src/ir/text.ts'
import { verify } from '../src/ir/verify.ts'
import { readOnnxFile } from '../src/onnx/file.ts'
import { readOnnx } from '../src/onnx/read.ts'
import { writeOnnx } from '../src/onnx/write.ts'
import {
  clean,
  deploy,
  type Moments,
  runPasses,
  train,
  unfoldTargets,
} from '../src/passes/index.ts'
import { ints, type Tensor } from '../src/tensor/tensor.ts'
import { distance, randomFeeds, runReference } from './support/ort.ts'

const folder = process.env.TERSOR_SHARED && join(process.env.TERSOR_SHARED, 'models')
const files = folder && existsSync(folder) ? readdirSync(folder).filter(isModel).sort() : []
if (files.length === 0)
  it.skip('real models: TERSOR_SHARED does not name a folder with models/*.onnx', () => {})

// QONNX writes its Quant nodes in the default domain, which ONNX Runtime rejects.
function isModel(file: string): boolean {
  return file.endsWith('.onnx') && !file.includes('qonnx')
}

const bindings = { x_dim2: 48, x_dim3: 192, sequence: 512, length: 16, batch: 3 }

/** The model with inner values as outputs. */
function observing(model: Model, names: readonly string[]): Model {
  const editor = new Editor(model)
  for (const name of names) editor.addOutput({ name, dtype: 'float32', shape: undefined })
  return editor.finish()
}

/** Mean and variance per channel of a value [n, c, …]. */
function momentsOf({ data, shape }: Tensor): Moments {
  const [n, c] = shape as [number, number]
  const inner = data.length / (n * c)
  const sums = Array.from({ length: c }, () => [0, 0] as [number, number])
  for (let i = 0; i < data.length; i++) {
    const x = Number(data[i])
    const sum = sums[Math.floor(i / inner) % c]!
    sum[0] += x
    sum[1] += x * x
  }
  const mean = sums.map(([sum]) => sum / (n * inner))
  const variance = sums.map(([, squares], i) => Math.max(0, squares / (n * inner) - mean[i]! ** 2))
  return { mean, variance }
}

describe.skipIf(files.length === 0).each(files)('%s', (file) => {
  const path = join(folder ?? '', file)
  let model: Model
  let feeds: Record<string, Tensor>
  let expected: Record<string, Tensor>

  beforeAll(async () => {
    model = readOnnxFile(path)
    feeds = randomFeeds(model, 1, { bindings })
    if (feeds.sr) feeds.sr = ints([16000], [])
    expected = await runReference(readFileSync(path), feeds)
  })

  it('computes the same to the last bit after reading and writing', async () => {
    expect(distance(expected, await runReference(writeOnnx(model), feeds))).toBe(0)
  })

  it('keeps its bytes when read and written again', () => {
    const bytes = writeOnnx(model)
    expect(Buffer.compare(bytes, writeOnnx(readOnnx(bytes)))).toBe(0)
  })

  it('survives the way through text', () => {
    const again = parseGraph(printGraph(model), model.weights)
    expect(Buffer.compare(writeOnnx(again), writeOnnx(model))).toBe(0)
  })

  it('computes the same after the clean pipeline, at opset 18', async () => {
    const { model: cleaned } = runPasses(model, clean)
    verify(cleaned)
    expect(cleaned.opsets['']).toBe(18)
    // Folding moves a weight's Reshape ahead; what follows may be summed in another order.
    expect(distance(expected, await runReference(cleaned, feeds))).toBeLessThan(1e-6)
  })

  it('computes the same after the deploy pipeline', async () => {
    const { model: small } = runPasses(model, [...clean, ...deploy])
    verify(small)
    expect(small.graph.nodes.some((node) => node.op === 'BatchNormalization')).toBe(false)
    // One rounding of each scaled weight: 2^-24 relative, over up to 55 layers.
    expect(distance(expected, await runReference(small, feeds))).toBeLessThan(1e-5)
  })

  it('computes the same with norms unfolded from measured moments', async () => {
    const small = runPasses(model, [...clean, ...deploy]).model
    const targets = unfoldTargets(small)
    const values = await runReference(observing(small, targets), feeds)
    const moments = Object.fromEntries(targets.map((name) => [name, momentsOf(values[name]!)]))
    const { model: unfolded, reports } = runPasses(small, train, { moments })
    verify(unfolded)
    expect(reports[0]!.changed).toBe(targets.length)
    expect(distance(expected, await runReference(unfolded, feeds))).toBeLessThan(1e-4)
  })

  it('is left alone by a second run of the pipelines', () => {
    const first = runPasses(model, [...clean, ...deploy])
    const { reports } = runPasses(first.model, [...clean, ...deploy])
    expect(reports.map((report) => report.changed)).toEqual(reports.map(() => 0))
  })
})
