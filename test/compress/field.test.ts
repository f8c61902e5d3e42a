// Shapes of networks on which published pruners broke, each cut here in every class. The references
// are issues of Torch-Pruning, NNI, TinyNeuralNetwork, onnx2torch and NNCF.
import { expect, it } from 'vitest'
import { int, intList, string } from '../../src/ir/graph.ts'
import { checkUnits, unitSubject } from '../support/check-units.ts'
import { Net } from './nets.ts'

interface Case {
  readonly name: string
  /** Sizes of the classes with a choice that must be found, by name. */
  readonly classes: Readonly<Record<string, number>>
  build(net: Net, image: string): string
}

const mean = (net: Net, x: string) => net.op('GlobalAveragePool', [x])

const cases: readonly Case[] = [
  {
    name: 'a Reshape after a linear layer changes the number of channels (Torch-Pruning #125)',
    classes: { 'seed.weight': 6, 'image.weight': 5 },
    build(net, image) {
      const noise = net.op('Flatten', [mean(net, image)])
      const flat = net.op('Relu', [net.linear(noise, 'seed', 6 * 4 * 4)])
      const picture = net.op('Reshape', [flat, net.b.ints([-1, 6, 4, 4])])
      const out = net.conv(picture, 'image', { out: 5 })
      return net.linear(net.op('Flatten', [net.op('Tanh', [out])]), 'fc', 3)
    },
  },
  {
    name: 'attention pools queries and keys by depthwise convolutions per head (Torch-Pruning #287, MViT)',
    classes: { 'qkv.weight': 4, 'qkv.weight#2': 3 },
    build(net, image) {
      const rows = net.op('Reshape', [
        net.conv(image, 'patches', { out: 6 }),
        net.b.ints([1, 6, 64]),
      ])
      const tokens = net.op('Transpose', [rows], { perm: intList([0, 2, 1]) })
      const fused = net.op('MatMul', [tokens, net.weight('qkv.weight', [6, 36])])
      const split = net.op('Reshape', [fused, net.b.ints([1, 64, 3, 3, 4])])
      const parts = net.op('Transpose', [split], { perm: intList([2, 0, 3, 1, 4]) })
      const pieces = net.b.ops('Split', [parts, net.b.ints([1, 1, 1])], { axis: int(0) }, 3)
      const [q, k, v] = pieces.map((piece, index) => {
        // Heads stand where the batch does: [heads, 4, 8, 8].
        const turned = net.op('Transpose', [net.op('Squeeze', [piece, net.b.ints([0])])], {
          perm: intList([0, 1, 3, 2]),
        })
        const picture = net.op('Reshape', [turned, net.b.ints([3, 4, 8, 8])])
        const pooled = net.conv(picture, `pool${index}`, { out: 4, group: 4, stride: 2 })
        const flat = net.op('Reshape', [pooled, net.b.ints([3, 4, 16])])
        return net.op('Transpose', [flat], { perm: intList([0, 2, 1]) })
      })
      const scores = net.op('MatMul', [q!, net.op('Transpose', [k!], { perm: intList([0, 2, 1]) })])
      const mixed = net.op('MatMul', [net.op('Softmax', [scores], { axis: int(-1) }), v!])
      const back = net.op('Transpose', [mixed], { perm: intList([1, 0, 2]) })
      const merged = net.op('Reshape', [back, net.b.ints([1, 16, 12])])
      return net.op('MatMul', [merged, net.weight('out.weight', [12, 5])])
    },
  },
  {
    name: 'one layer modulates norms by six chunks (Torch-Pruning #300, DiT)',
    classes: { 'mlp.weight': 12, 'inner.weight': 7 },
    build(net, image) {
      const stream = net.op('Reshape', [
        net.conv(image, 'patches', { out: 8 }),
        net.b.ints([1, 8, 64]),
      ])
      const tokens = net.op('Transpose', [stream], { perm: intList([0, 2, 1]) })
      const condition = net.op('Flatten', [mean(net, net.conv(image, 'inner', { out: 7 }))])
      const six = net.linear(net.op('HardSwish', [condition]), 'modulation', 48)
      const parts = net.b.ops('Split', [six], { axis: int(1), num_outputs: int(6) }, 6)
      const wide = parts.map((part) => net.op('Unsqueeze', [part, net.b.ints([1])]))
      const modulated = (x: string, shift: string, scale: string) => {
        const normal = net.op('LayerNormalization', [x, net.weight(`${shift}.g`, [8], 0.1, 1)])
        const factor = net.op('Add', [scale, net.b.scalar(1)])
        return net.op('Add', [net.op('Mul', [normal, factor]), shift])
      }
      const first = net.op('MatMul', [
        modulated(tokens, wide[0]!, wide[1]!),
        net.weight('mix.weight', [8, 8]),
      ])
      const x = net.op('Add', [tokens, net.op('Mul', [first, wide[2]!])])
      const second = modulated(x, wide[3]!, wide[4]!)
      const hidden = net.op('Relu', [net.op('MatMul', [second, net.weight('mlp.weight', [8, 12])])])
      const made = net.op('MatMul', [hidden, net.weight('mlp.out', [12, 8])])
      const y = net.op('Add', [x, net.op('Mul', [made, wide[5]!])])
      return net.op('MatMul', [y, net.weight('head.weight', [8, 4])])
    },
  },
  {
    name: 'sizes baked into Resize (onnx2torch #24)',
    classes: { 'a.weight': 6, 'b.weight': 5 },
    build(net, image) {
      const x = net.block(image, 'a', { out: 6, stride: 2 })
      const sizes = net.b.ints([1, 6, 8, 8])
      const big = net.op('Resize', [x, '', '', sizes], {
        mode: string('nearest'),
        coordinate_transformation_mode: string('asymmetric'),
        nearest_mode: string('floor'),
      })
      return net.linear(net.op('Flatten', [mean(net, net.block(big, 'b', { out: 5 }))]), 'fc', 3)
    },
  },
  {
    name: 'squeeze-and-excite through linear layers and a Reshape (NNCF #938, #956)',
    classes: { 'a.weight': 8, 'squeeze.weight': 3 },
    build(net, image) {
      const x = net.block(image, 'a', { out: 8 })
      const pooled = net.op('Reshape', [mean(net, x), net.b.ints([-1, 8])])
      const narrow = net.op('Relu', [net.linear(pooled, 'squeeze', 3)])
      const gate = net.op('Sigmoid', [net.linear(narrow, 'excite', 8)])
      const scaled = net.op('Mul', [x, net.op('Reshape', [gate, net.b.ints([-1, 8, 1, 1])])])
      return net.linear(net.op('Flatten', [mean(net, scaled)]), 'fc', 3)
    },
  },
  {
    name: 'an activation viewed as three axes and back (TinyNeuralNetwork #65)',
    classes: { 'a.weight': 6, 'b.weight': 4 },
    build(net, image) {
      const x = net.block(image, 'a', { out: 6 })
      const flat = net.op('Reshape', [x, net.b.ints([1, 6, -1])])
      const back = net.op('Reshape', [net.op('Tanh', [flat]), net.b.ints([1, 6, 8, 8])])
      return net.linear(net.op('Flatten', [mean(net, net.block(back, 'b', { out: 4 }))]), 'fc', 3)
    },
  },
  {
    name: 'channels chunked, computed apart and joined again (NNI #2707, #5172)',
    classes: { 'a.weight': 4, 'a.weight#2': 4, 'left.weight': 6 },
    build(net, image) {
      const x = net.block(image, 'a', { out: 8 })
      const halves = net.b.ops('Split', [x], { axis: int(1), num_outputs: int(2) }, 2)
      const left = net.block(halves[0]!, 'left', { out: 6 })
      const joined = net.op('Concat', [left, halves[1]!], { axis: int(1) })
      return net.linear(net.op('Flatten', [mean(net, joined)]), 'fc', 3)
    },
  },
]

it.each(cases)('$name', async ({ classes, build }) => {
  const net = new Net(7)
  const image = net.b.input('image', 'float32', [1, 3, 8, 8])
  const subject = unitSubject(net.finish(build(net, image)))
  const sizes = Object.fromEntries(subject.open.map(({ name, size }) => [name, size]))
  expect(sizes).toMatchObject(classes)
  const { worst, worstClass, changed } = await checkUnits(subject)
  expect(worst, worstClass).toBeLessThan(1e-5)
  expect(changed).toBe(subject.open.length)
})
