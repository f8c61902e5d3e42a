// Reference networks have the published sizes, and ONNX Runtime runs them as the compiler does.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../src/compile/compile.ts'
import { analyze } from '../src/ir/analyze.ts'
import type { Model } from '../src/ir/graph.ts'
import { verify } from '../src/ir/verify.ts'
import { writeOnnx } from '../src/onnx/write.ts'
import { sizeOf } from '../src/tensor/tensor.ts'
import { zoo } from '../src/zoo/index.ts'
import { resnet18 } from '../src/zoo/resnet.ts'
import { randomFeeds, runReference } from './support/ort.ts'
import { shaken } from './support/shake.ts'

/** Trained parameters: no running statistics of BatchNorm, no scalar limits, no masks of windows. */
function parameters(model: Model): number {
  return model.graph.constants
    .filter(({ name, dtype, shape }) => dtype === 'float32' && shape.length > 0 && isTrained(name))
    .reduce((sum, { shape }) => sum + sizeOf(shape), 0)
}

function isTrained(name: string): boolean {
  return !/\.norm\.(mean|var)$/.test(name) && !name.startsWith('const_')
}

function macs(model: Model): number {
  const analysis = analyze(model)
  return model.graph.nodes.reduce((sum, node) => sum + analysis.cost(node).macs, 0)
}

/** Parameters, and multiply-adds at 224 × 224 to two digits, as the published implementations state them. */
const published: Readonly<Record<string, { parameters: number; gigaMacs?: number }>> = {
  // torchvision
  resnet18: { parameters: 11_689_512, gigaMacs: 1.81 },
  'mobilenet-v2': { parameters: 3_504_872, gigaMacs: 0.3 },
  densenet: { parameters: 7_978_856, gigaMacs: 2.83 },
  googlenet: { parameters: 6_624_904, gigaMacs: 1.5 },
  'shufflenet-v2': { parameters: 2_278_604, gigaMacs: 0.14 },
  convnext: { parameters: 28_589_128, gigaMacs: 4.46 },
  swin: { parameters: 28_288_354 },
  // timm; DeiT's class token is a parameter of its own, here it is part of the positions
  'se-resnet18': { parameters: 11_778_592 },
  vit: { parameters: 5_717_416 - 192 },
  mixer: { parameters: 18_528_264 },
  // Caffe's examples/mnist
  lenet5: { parameters: 431_080 },
  // milesial/Pytorch-UNet with two classes
  unet: { parameters: 31_037_698 },
}

describe('reference networks', () => {
  it.each(Object.entries(published))('%s has the published size', (name, size) => {
    const model = zoo.find((entry) => entry.name === name)!.reference!()
    verify(model)
    expect(parameters(model)).toBe(size.parameters)
    if (size.gigaMacs !== undefined) expect(macs(model) / 1e9).toBeCloseTo(size.gigaMacs, 2)
  })

  it.each(zoo)('$name compiles to what ONNX Runtime computes', async ({ small }) => {
    const model = shaken(small(2), 6)
    const feeds = randomFeeds(model, 5, { bindings: { batch: 1 }, integers: 10 })
    const expected = (await runReference(model, feeds)).logits!.data as Float32Array
    const bundle = await load(compile(model))
    const [name, input] = Object.entries(feeds)[0]!
    const found = (await bundle.run({ [name]: input.data as Float32Array })).logits!
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
