// Reference networks have the published sizes, and ONNX Runtime runs them as the compiler does.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../src/compile/compile.ts'
import { analyze } from '../src/ir/analyze.ts'
import type { Model } from '../src/ir/graph.ts'
import { verify } from '../src/ir/verify.ts'
import { writeOnnx } from '../src/onnx/write.ts'
import { sizeOf } from '../src/tensor/tensor.ts'
import { mobilenetV2 } from '../src/zoo/mobilenet.ts'
import { resnet18 } from '../src/zoo/resnet.ts'
import { resnetCifar } from '../src/zoo/resnet-cifar.ts'
import { randomFeeds, runReference } from './support/ort.ts'

/** Trained parameters: everything but the running statistics of BatchNorm and scalar limits. */
function parameters(model: Model): number {
  return model.graph.constants
    .filter(({ name, shape }) => shape.length > 0 && !/\.norm\.(mean|var)$/.test(name))
    .reduce((sum, { shape }) => sum + sizeOf(shape), 0)
}

function macs(model: Model): number {
  const analysis = analyze(model)
  return model.graph.nodes
    .filter(({ op }) => op === 'Conv' || op === 'Gemm')
    .reduce((sum, node) => sum + analysis.cost(node).macs, 0)
}

describe('reference networks', () => {
  it('resnet18() has the parameters and multiply-adds of torchvision', () => {
    const model = resnet18()
    verify(model)
    expect(parameters(model)).toBe(11_689_512)
    expect(macs(model)).toBe(1_814_073_344)
  })

  it('mobilenetV2() has the parameters and multiply-adds of torchvision', () => {
    const model = mobilenetV2()
    verify(model)
    expect(parameters(model)).toBe(3_504_872)
    expect(macs(model)).toBe(300_774_272)
  })

  it.each([
    ['resnet18', resnet18({ size: 32, widths: [8, 12, 16, 20], classes: 7, seed: 2 })],
    ['mobilenetV2', mobilenetV2({ size: 32, width: 0.35, classes: 7, seed: 2 })],
    ['resnetCifar', resnetCifar({ blocks: 1, widths: [8, 12], size: 16, seed: 2 })],
  ])('%s() compiles to what ONNX Runtime computes', async (_, model) => {
    const feeds = randomFeeds(model, 5, { bindings: { batch: 1 } })
    const expected = (await runReference(model, feeds)).logits!.data as Float32Array
    const bundle = await load(compile(model))
    const found = (await bundle.run({ image: feeds.image!.data as Float32Array })).logits!
    const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    expect(scale).toBeGreaterThan(1e-3)
    expected.forEach((value, i) => {
      expect(Math.abs(Number(found.data[i]) - value) / scale).toBeLessThan(1e-5)
    })
  })

  it('the same seed gives the same bytes, another seed others', () => {
    const bytes = (seed: number) =>
      Buffer.from(writeOnnx(resnet18({ size: 32, widths: [4, 8], classes: 3, seed })))
    expect(bytes(4).equals(bytes(4))).toBe(true)
    expect(bytes(4).equals(bytes(5))).toBe(false)
  })
})
