// Small graphs as text, with seeded weights: what pass laws and pass tests run on.
import type { Graph, Model } from '../../src/ir/graph.ts'
import { subgraphsOf } from '../../src/ir/graph.ts'
import { parseGraph } from '../../src/ir/text.ts'
import { Weights } from '../../src/ir/weights.ts'
import { floats, sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom, deriveSeed } from '../../src/util/random.ts'

const header = 'model ir 8 producer "test"\nopset "" '

/** Returns a model of one graph: its body as `printGraph` writes it. Float constants without data are random; names with "var" positive. */
export function graphOf(body: string, opset = 18): Model {
  const text = `${header}${opset}\ngraph "test" {\n${body}\n}`
  const drawn = new Weights()
  const draw = (graph: Graph): void => {
    for (const { name, dtype, shape } of graph.constants) {
      if (dtype !== 'float32') continue
      const random = createRandom(deriveSeed(3, name))
      const value = () => (name.includes('var') ? 0.5 + random.uniform() : random.normal())
      drawn.set(name, floats(shape, Array.from({ length: sizeOf(shape) }, value)))
    }
    for (const node of graph.nodes) subgraphsOf(node).forEach(draw)
  }
  draw(parseGraph(text).graph)
  return parseGraph(text, drawn)
}

/** The body of a graph as text, without header. */
export function bodyOf(text: string): string[] {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => line.startsWith('graph'))
  return lines.slice(start + 1, -2).map((line) => line.trim())
}

const norm = (name: string, channels: number) =>
  ['scale', 'shift', 'mean', 'var']
    .map((part) => `const ${name}.${part}: float32[${channels}]`)
    .join('\n')

/** Models by name; every pass must keep what they compute. */
export const graphs: Readonly<Record<string, Model>> = {
  'calls of functions, nested, with attributes': parseGraph(`
    model ir 10 producer "test"
    opset "" 18
    opset "mine" 1
    function "mine" "Scaled" (a, b) -> (c, a2) {
      opset "" 17
      attribute alpha
      default beta = 2f
      k = Constant() {value_float=reference alpha 1}
      e = Elu(a) {alpha=reference beta 1}
      f = LeakyRelu(e) {alpha=reference missing 1}
      c = Mul(f, k)
      a2 = Add(a, b)
    }
    function "mine" "Twice" (x) -> (y, r) {
      opset "" 18
      opset "mine" 1
      h, r = "mine" Scaled(x, x) {alpha=0.5f, beta=3f}
      y, q = "mine" Scaled(h, r) {alpha=0.25f} @ second
    }
    graph "test" {
      input x: float32[2, 3]
      output y: float32[2, 3]
      output z: float32[2, 3]
      output u: float32[2, 3]
      y, z = "mine" Twice(x)
      v, w = "mine" Twice(y) @ again
      u = Add(v, w)
    }`),
  'conv with norm and residual': graphOf(`
    input x: float32[n, 3, 8, 8]
    output y: float32[n, 4, 8, 8]
    const w1: float32[4, 3, 3, 3]
    const w2: float32[4, 4, 1, 1]
    const b2: float32[4]
    ${norm('n1', 4)}
    ${norm('n2', 4)}
    a = Conv(x, w1) {pads=ints[1, 1, 1, 1]}
    b = BatchNormalization(a, n1.scale, n1.shift, n1.mean, n1.var) {epsilon=0.001f}
    c = Relu(b)
    d = Conv(c, w2, b2) @ second
    e = BatchNormalization(d, n2.scale, n2.shift, n2.mean, n2.var)
    y = Add(e, c)`),
  'transposed and grouped convolutions with norms': graphOf(`
    input x: float32[1, 4, 5, 5]
    output y: float32[1, 6, 9, 9]
    const w1: float32[4, 2, 3, 3]
    const w2: float32[4, 3, 3, 3]
    ${norm('n1', 4)}
    ${norm('n2', 6)}
    a = Conv(x, w1) {group=2, pads=ints[1, 1, 1, 1]}
    b = BatchNormalization(a, n1.scale, n1.shift, n1.mean, n1.var)
    c = ConvTranspose(b, w2) {group=2, strides=ints[2, 2], pads=ints[1, 1, 1, 1]}
    y = BatchNormalization(c, n2.scale, n2.shift, n2.mean, n2.var)`),
  'gemm with norm, both layouts': graphOf(`
    input x: float32[n, 5]
    output y: float32[n, 3]
    const w1: float32[4, 5]
    const b1: float32[4]
    const w2: float32[4, 3]
    const b2: float32[1, 3]
    ${norm('n1', 4)}
    ${norm('n2', 3)}
    a = Gemm(x, w1, b1) {transB=1, beta=0.5f}
    b = BatchNormalization(a, n1.scale, n1.shift, n1.mean, n1.var)
    c = Gemm(b, w2, b2) {alpha=2f}
    y = BatchNormalization(c, n2.scale, n2.shift, n2.mean, n2.var)`),
  'one weight under two norms': graphOf(`
    input x: float32[1, 3, 4, 4]
    output y: float32[1, 3, 4, 4]
    const w: float32[3, 3, 1, 1]
    ${norm('n1', 3)}
    ${norm('n2', 3)}
    a = Conv(x, w)
    b = BatchNormalization(a, n1.scale, n1.shift, n1.mean, n1.var)
    c = Conv(b, w)
    y = BatchNormalization(c, n2.scale, n2.shift, n2.mean, n2.var)`),
  'biases and scales as nodes': graphOf(`
    input x: float32[1, 2, 4, 4]
    output y: float32[1, 3]
    const w1: float32[4, 2, 3, 3]
    const w2: float32[4, 5, 2, 2]
    const w3: float32[45, 3]
    const b1: float32[4, 1, 1]
    const s1: float32[] = [0.5f]
    const b2: float32[1, 5, 1, 1]
    const b3: float32[3]
    const b4: float32[1, 3]
    const flat: int64[2] = [1, 45]
    a = Conv(x, w1)
    b = Add(b1, a)
    c = Mul(b, s1)
    d = ConvTranspose(c, w2)
    e = Sub(b2, d)
    f = Mul(e, e)
    g = Reshape(f, flat)
    h = Gemm(g, w3)
    i = Div(h, b3)
    y = Add(i, b4)`),
  'shape arithmetic around a dynamic batch': graphOf(`
    input x: float32[n, 4, 6]
    output y: float32[rows, 24]
    output z: int64[1]
    const zero: int64[] = [0]
    const one: int64[] = [1]
    const minus: int64[1] = [-1]
    const axis: int64[1] = [0]
    s = Shape(x)
    n0 = Gather(s, zero)
    c0 = Gather(s, one)
    nu = Unsqueeze(n0, axis)
    t = Concat(nu, minus) {axis=0}
    y = Reshape(x, t)
    z = Unsqueeze(c0, axis)`),
  'no-ops of every kind': graphOf(`
    input x: float32[2, 3, 4]
    output y: float32[2, 3, 4]
    output x2: float32[2, 3, 4]
    const whole: int64[3] = [2, 3, 4]
    const flat: int64[2] = [6, 4]
    const pads: int64[6] = [0, 0, 0, 0, 0, 0]
    const from: int64[1] = [0]
    const to: int64[1] = [9223372036854775807]
    const back: int64[1] = [-1]
    const low: int64[1] = [-9223372036854775807]
    a = Identity(x)
    b = Cast(a) {to=1}
    c = Reshape(b, whole)
    d = Transpose(c) {perm=ints[1, 0, 2]}
    e = Transpose(d) {perm=ints[1, 0, 2]}
    f = Pad(e, pads)
    g = Slice(f, from, to, from)
    h = Concat(g) {axis=1}
    i = Reshape(h, flat)
    j = Reshape(i, whole)
    k, mask = Dropout(j)
    r = Slice(k, back, low, from, back)
    y = Neg(r)
    x2 = Identity(x)`),
  'equal nodes, one of them an output': graphOf(`
    input x: float32[2, 3]
    output y: float32[2, 3]
    output z: float32[2, 3]
    const half: float32[] = [0.5f]
    const again: float32[] = [0.5f]
    a = Mul(x, half)
    b = Mul(x, again)
    y = Add(a, b)
    z = Mul(x, half)`),
  'branches, nested, with captures': graphOf(`
    input x: float32[n, 3]
    output y: float32[n, 3]
    output u: float32[n, 3]
    const yes: bool[] = [1]
    const limit: float32[] = [0f]
    m = ReduceMax(x) {keepdims=0}
    c = Greater(m, limit)
    y = If(yes) {then_branch=graph "a" {
      output t2: float32[n, 3]
      const k1: float32[3]
      t1 = Add(x, k1)
      t2 = If(yes) {then_branch=graph "inner" {
        output t3: float32[n, 3]
        t3 = Mul(t1, k1)
      }, else_branch=graph "other" {
        output e9: float32[n, 3]
        e9 = Neg(x)
      }}
    }, else_branch=graph "b" {
      output e1: float32[n, 3]
      e1 = Neg(x)
    }}
    u = If(c) {then_branch=graph "c" {
      output t4: float32[n, 3]
      t4 = Neg(x)
    }, else_branch=graph "d" {
      output e4: float32[n, 3]
      e4 = Abs(x)
    }}`),
  'constant nodes and foldable weights': graphOf(`
    input x: float32[n, 4]
    output y: float32[n, 2]
    output c: float32[2]
    const w: float32[2, 4]
    wt = Transpose(w) {perm=ints[1, 0]}
    p = MatMul(x, wt)
    k = Constant() {value=tensor float32[2] = [1f, 2f]}
    i = Constant() {value_ints=ints[1, 2]}
    y = Add(p, k)
    c = Cast(i) {to=1}`),
  'old attributes (opset 9)': graphOf(
    `
    input x: float32[2, 3, 4, 4]
    output y: float32[2, 12]
    output z: float32[2, 3]
    output u: float32[2, 3, 8, 8]
    const scales: float32[4] = [1f, 1f, 2f, 2f]
    a = Clip(x) {min=-0.5f, max=0.5f}
    b = Pad(a) {pads=ints[0, 0, 1, 1, 0, 0, 1, 1], value=0.25f}
    c = Slice(b) {axes=ints[2, 3], starts=ints[1, 1], ends=ints[5, 5]}
    d, mask = Dropout(c) {ratio=0.5f}
    e = ReduceSum(d) {axes=ints[3], keepdims=0}
    f = ReduceMean(d) {axes=ints[2, 3], keepdims=1}
    g = Squeeze(f) {axes=ints[2, 3]}
    z = Softmax(g)
    h = Softmax(e)
    y = Flatten(h)
    u = Upsample(d, scales) {mode="nearest"}`,
    9,
  ),
  'subnormal weights': graphOf(`
    input x: float32[1, 3]
    output y: float32[1, 3]
    const w: float32[3] = [1e-40f, 1f, -3e-39f]
    y = Mul(x, w)`),
}
