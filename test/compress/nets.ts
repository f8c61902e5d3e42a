// Small networks that hold every way units couple; random weights, deterministic by seed.
import { GraphBuilder } from '../../src/ir/builder.ts'
import { float, int, intList, string, type Attribute, type Model } from '../../src/ir/graph.ts'
import { floats, ints, sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'

/** A builder with named random layers. */
export class Net {
  readonly b = new GraphBuilder()
  readonly #random

  constructor(seed: number) {
    this.#random = createRandom(seed)
  }

  weight(name: string, shape: readonly number[], scale = 0.5, mean = 0): string {
    const data = Array.from({ length: sizeOf(shape) }, () => mean + scale * this.#random.normal())
    return this.b.constant(floats(shape, data), name)
  }

  conv(
    x: string,
    name: string,
    { out, kernel = 3, group = 1, stride = 1, bias = false }: ConvOptions,
  ): string {
    const channels = this.b.type(x).shape[1]!
    const w = this.weight(`${name}.weight`, [out, channels / group, kernel, kernel])
    const inputs = bias ? [x, w, this.weight(`${name}.bias`, [out])] : [x, w]
    const pad = kernel >> 1
    return this.b.op('Conv', inputs, {
      group: int(group),
      strides: intList([stride, stride]),
      pads: intList([pad, pad, pad, pad]),
    })
  }

  norm(x: string, name: string): string {
    const c = this.b.type(x).shape[1]!
    return this.b.op(
      'BatchNormalization',
      [
        x,
        this.weight(`${name}.scale`, [c], 0.2, 1),
        this.weight(`${name}.shift`, [c]),
        this.weight(`${name}.mean`, [c]),
        this.b.constant(
          floats(
            [c],
            Array.from({ length: c }, () => 0.5 + this.#random.uniform()),
          ),
          `${name}.variance`,
        ),
      ],
      { epsilon: float(1e-5) },
    )
  }

  block(x: string, name: string, options: ConvOptions): string {
    return this.op('Relu', [this.norm(this.conv(x, name, options), `${name}.norm`)])
  }

  /** All steps and the last one; inputs [t, n, i]. */
  recurrent(op: 'LSTM' | 'GRU', x: string, name: string, options: RecurrentOptions): string[] {
    const { out, directions: d, state } = options
    const gates = op === 'LSTM' ? 4 : 3
    const inputs = [
      x,
      this.weight(`${name}.w`, [d, gates * out, this.b.type(x).shape[2]!]),
      this.weight(`${name}.r`, [d, gates * out, out]),
      this.weight(`${name}.b`, [d, 2 * gates * out]),
    ]
    if (state !== undefined) inputs.push('', state)
    else if (op === 'LSTM') inputs.push('', '', '', this.weight(`${name}.p`, [d, 3 * out]))
    const direction = string(d === 2 ? 'bidirectional' : 'forward')
    return this.b.ops(op, inputs, { hidden_size: int(out), direction }, 2)
  }

  linear(x: string, name: string, out: number): string {
    const k = this.b.type(x).shape[1]!
    return this.op(
      'Gemm',
      [x, this.weight(`${name}.weight`, [out, k]), this.weight(`${name}.bias`, [out])],
      {
        transB: int(1),
      },
    )
  }

  op(op: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}): string {
    return this.b.op(op, inputs, attributes)
  }

  finish(value: string): Model {
    this.b.output(value, 'result')
    return this.b.build()
  }
}

interface ConvOptions {
  readonly out: number
  readonly kernel?: number
  readonly group?: number
  readonly stride?: number
  readonly bias?: boolean
}

interface RecurrentOptions {
  readonly out: number
  readonly directions: 1 | 2
  readonly state?: string
}

type Recipe = (net: Net, image: string) => string

const head: (net: Net, x: string) => string = (net, x) =>
  net.linear(net.op('Flatten', [net.op('GlobalAveragePool', [x])]), 'fc', 5)

/** Rows of the picture as steps: [t, 1, features]. */
const sequence: (net: Net, image: string) => string = (net, image) =>
  net.op('Reshape', [
    net.op('Transpose', [net.conv(image, 'rows', { out: 3 })], { perm: intList([2, 0, 1, 3]) }),
    net.b.ints([8, 1, 24]),
  ])

const recipes: Record<string, Recipe> = {
  'a chain with pooling and Flatten'(net, image) {
    let x = net.block(image, 'a', { out: 8 })
    x = net.op('MaxPool', [x], { kernel_shape: intList([2, 2]), strides: intList([2, 2]) })
    x = net.op('LeakyRelu', [net.conv(x, 'b', { out: 6, bias: true })])
    return net.linear(net.op('Flatten', [x]), 'fc', 5)
  },
  'a residual stream'(net, image) {
    const stem = net.block(image, 'stem', { out: 8 })
    const inner = net.block(stem, 'a', { out: 6 })
    const outer = net.norm(net.conv(inner, 'b', { out: 8 }), 'b.norm')
    return head(net, net.op('Relu', [net.op('Add', [outer, stem])]))
  },
  'an option-A shortcut by Slice and Pad'(net, image) {
    const stem = net.block(image, 'stem', { out: 8 })
    const main = net.norm(net.conv(stem, 'a', { out: 16, stride: 2 }), 'a.norm')
    const b = net.b
    const half = net.op('Slice', [
      stem,
      b.ints([0, 0]),
      b.ints([2 ** 31, 2 ** 31]),
      b.ints([2, 3]),
      b.ints([2, 2]),
    ])
    const padded = net.op('Pad', [half, b.ints([0, 4, 0, 0, 0, 4, 0, 0])])
    return head(net, net.op('Relu', [net.op('Add', [main, padded])]))
  },
  'depthwise separable with ReLU6'(net, image) {
    let x = net.block(image, 'expand', { out: 12, kernel: 1 })
    x = net.norm(net.conv(x, 'depth', { out: 12, group: 12, bias: true }), 'depth.norm')
    x = net.op('Clip', [x, net.b.scalar(0), net.b.scalar(6)])
    return head(net, net.conv(x, 'project', { out: 7, kernel: 1 }))
  },
  'depthwise with two filters per channel'(net, image) {
    const x = net.block(image, 'a', { out: 6 })
    return head(net, net.block(x, 'depth', { out: 12, group: 6 }))
  },
  'a grouped convolution'(net, image) {
    const x = net.block(image, 'a', { out: 8 })
    return head(net, net.block(x, 'grouped', { out: 12, group: 2 }))
  },
  'squeeze and excite'(net, image) {
    const x = net.block(image, 'a', { out: 10 })
    let s = net.op('GlobalAveragePool', [x])
    s = net.op('Relu', [net.conv(s, 'squeeze', { out: 4, kernel: 1, bias: true })])
    s = net.op('HardSigmoid', [net.conv(s, 'excite', { out: 10, kernel: 1, bias: true })])
    return head(net, net.op('Mul', [x, s]))
  },
  'Concat, Split and Slice on channels'(net, image) {
    const a = net.block(image, 'a', { out: 6 })
    const b = net.block(image, 'b', { out: 4 })
    const joined = net.norm(net.op('Concat', [a, b, image], { axis: int(1) }), 'joined')
    const [left, right] = net.b.ops('Split', [joined, net.b.ints([5, 8])], { axis: int(1) }, 2)
    const c = net.conv(left!, 'c', { out: 4 })
    const part = net.op('Slice', [right!, net.b.ints([4]), net.b.ints([-1]), net.b.ints([1])])
    return head(net, net.op('Add', [c, net.conv(part, 'd', { out: 4 })]))
  },
  'a channel shuffle'(net, image) {
    const x = net.block(image, 'a', { out: 12 })
    const split = net.op('Reshape', [x, net.b.ints([1, 3, 4, 8, 8])])
    const swapped = net.op('Transpose', [split], { perm: intList([0, 2, 1, 3, 4]) })
    const shuffled = net.op('Reshape', [swapped, net.b.ints([1, 12, 8, 8])])
    return head(net, net.block(shuffled, 'b', { out: 6, group: 3 }))
  },
  'element-wise constants and PRelu'(net, image) {
    let x = net.conv(image, 'a', { out: 8 })
    x = net.op('Mul', [x, net.weight('gain', [8, 1, 1])])
    x = net.op('Add', [net.weight('offset', [1, 8, 1, 1]), x])
    x = net.op('PRelu', [x, net.weight('slope', [8, 1, 1])])
    return head(net, net.op('Div', [x, net.weight('divisor', [8, 1, 1], 0.1, 2)]))
  },
  'transposed convolutions'(net, image) {
    let x = net.block(image, 'a', { out: 6 })
    const strides = { strides: intList([2, 2]) }
    x = net.op(
      'ConvTranspose',
      [x, net.weight('up.weight', [6, 8, 2, 2]), net.weight('up.bias', [8])],
      strides,
    )
    x = net.op('Relu', [x])
    x = net.op('ConvTranspose', [x, net.weight('deep.weight', [8, 1, 2, 2])], {
      ...strides,
      group: int(8),
    })
    return head(net, x)
  },
  'attention with heads'(net, image) {
    const rows = net.op('Reshape', [net.conv(image, 'a', { out: 12 }), net.b.ints([1, 12, 64])])
    const tokens = net.op('Transpose', [rows], { perm: intList([0, 2, 1]) })
    const project = (name: string) => {
      const y = net.op('MatMul', [tokens, net.weight(`${name}.weight`, [12, 12])])
      const biased = net.op('Add', [y, net.weight(`${name}.bias`, [12])])
      const heads = net.op('Reshape', [biased, net.b.ints([0, 0, 3, 4])])
      return net.op('Transpose', [heads], { perm: intList([0, 2, 1, 3]) })
    }
    const [q, k, v] = [project('q'), project('k'), project('v')]
    const scores = net.op('MatMul', [q, net.op('Transpose', [k], { perm: intList([0, 1, 3, 2]) })])
    const mixed = net.op('MatMul', [net.op('Softmax', [scores], { axis: int(-1) }), v])
    const merged = net.op('Reshape', [
      net.op('Transpose', [mixed], { perm: intList([0, 2, 1, 3]) }),
      net.b.ints([0, 0, -1]),
    ])
    const out = net.op('MatMul', [merged, net.weight('out.weight', [12, 5])])
    return net.op('ReduceMean', [out, net.b.ints([1])], { keepdims: int(0) })
  },
  'pixels from channels'(net, image) {
    const x = net.block(image, 'a', { out: 16 })
    const big = net.op('DepthToSpace', [x], { blocksize: int(2), mode: string('CRD') })
    const back = net.op('Squeeze', [net.op('GlobalAveragePool', [net.block(big, 'b', { out: 6 })])])
    return net.linear(net.op('Unsqueeze', [back, net.b.ints([0])]), 'fc', 5)
  },
  'grouped transposed convolutions'(net, image) {
    const x = net.block(image, 'a', { out: 8 })
    const w = net.weight('up.weight', [8, 3, 2, 2])
    const up = net.op('ConvTranspose', [x, w, net.weight('up.bias', [12])], {
      group: int(4),
      strides: intList([2, 2]),
    })
    return head(net, net.op('Tanh', [up]))
  },
  'whole groups under GroupNormalization'(net, image) {
    const x = net.conv(image, 'a', { out: 12, bias: true })
    const normal = net.op(
      'GroupNormalization',
      [x, net.weight('gn.scale', [4], 0.2, 1), net.weight('gn.shift', [4])],
      { num_groups: int(4) },
    )
    return head(net, net.op('Relu', [normal]))
  },
  'GroupNormalization as exporters write it'(net, image) {
    const x = net.conv(image, 'a', { out: 12, bias: true })
    const grouped = net.op('Reshape', [x, net.b.ints([0, 4, -1])])
    const parts = [net.weight('gn.scale', [4], 0.2, 1), net.weight('gn.shift', [4])]
    const normal = net.op('InstanceNormalization', [grouped, ...parts])
    const back = net.op('Reshape', [normal, net.b.ints([1, 12, 8, 8])])
    return head(net, net.op('Mul', [back, net.weight('gain', [12, 1, 1], 0.2, 1)]))
  },
  'LSTM in both directions, with peepholes, over another'(net, image) {
    const first = net.recurrent('LSTM', sequence(net, image), 'first', { out: 5, directions: 2 })
    const joined = net.op('Reshape', [
      net.op('Transpose', [first[0]!], { perm: intList([0, 2, 1, 3]) }),
      net.b.ints([8, 1, 10]),
    ])
    const [, last] = net.recurrent('LSTM', joined, 'second', { out: 6, directions: 1 })
    return net.linear(net.op('Squeeze', [last!, net.b.ints([0])]), 'fc', 5)
  },
  'GRU with an initial state'(net, image) {
    const state = net.weight('start', [1, 1, 6])
    const [all] = net.recurrent('GRU', sequence(net, image), 'gru', {
      out: 6,
      directions: 1,
      state,
    })
    const mean = net.op('ReduceMean', [all!, net.b.ints([0, 1])], { keepdims: int(0) })
    return net.linear(mean, 'fc', 5)
  },
  'queries grouped over fewer keys'(net, image) {
    const tokens = net.op('Reshape', [sequence(net, image), net.b.ints([1, 8, 24])])
    const heads = (name: string, count: number) => {
      const y = net.op('MatMul', [tokens, net.weight(`${name}.weight`, [24, 4 * count])])
      const split = net.op('Reshape', [y, net.b.ints([0, 0, count, 4])])
      return net.op('Transpose', [split], { perm: intList([0, 2, 1, 3]) })
    }
    const repeated = (x: string) => {
      const wide = net.op('Expand', [
        net.op('Unsqueeze', [x, net.b.ints([2])]),
        net.b.ints([1, 2, 3, 8, 4]),
      ])
      return net.op('Reshape', [wide, net.b.ints([0, 6, 8, 4])])
    }
    const [q, k, v] = [heads('q', 6), repeated(heads('k', 2)), repeated(heads('v', 2))]
    const scores = net.op('MatMul', [q, net.op('Transpose', [k], { perm: intList([0, 1, 3, 2]) })])
    const mixed = net.op('MatMul', [net.op('Softmax', [scores], { axis: int(-1) }), v])
    const merged = net.op('Reshape', [
      net.op('Transpose', [mixed], { perm: intList([0, 2, 1, 3]) }),
      net.b.ints([0, 0, -1]),
    ])
    return net.op('ReduceMean', [
      net.op('MatMul', [merged, net.weight('out.weight', [24, 5])]),
      net.b.ints([1]),
    ])
  },
  'fused queries, keys and values'(net, image) {
    const tokens = net.op('Reshape', [sequence(net, image), net.b.ints([1, 8, 24])])
    const y = net.op('MatMul', [tokens, net.weight('qkv.weight', [24, 36])])
    const biased = net.op('Add', [y, net.weight('qkv.bias', [36])])
    const split = net.op('Reshape', [biased, net.b.ints([1, 8, 3, 3, 4])])
    const parts = net.op('Transpose', [split], { perm: intList([2, 0, 3, 1, 4]) })
    const [q, k, v] = [0, 1, 2].map((i) =>
      net.op('Gather', [parts, net.b.constant(ints([i], []))], { axis: int(0) }),
    )
    const turned = net.op('Transpose', [k!], { perm: intList([0, 1, 3, 2]) })
    const bias = net.weight('position.bias', [1, 3, 8, 8])
    const scores = net.op('Add', [net.op('MatMul', [q!, turned]), bias])
    const mixed = net.op('MatMul', [net.op('Softmax', [scores], { axis: int(-1) }), v!])
    const merged = net.op('Reshape', [
      net.op('Transpose', [mixed], { perm: intList([0, 2, 1, 3]) }),
      net.b.ints([1, 8, 12]),
    ])
    return net.op('ReduceMean', [
      net.op('MatMul', [merged, net.weight('out.weight', [12, 5])]),
      net.b.ints([1]),
    ])
  },
  'one table as embedding and as output'(net, image) {
    const table = net.weight('table', [7, 10])
    const rows = net.op('Gather', [table, net.b.ints([3, 1, 6, 6])])
    const mixed = net.op('Mul', [net.op('Tanh', [net.linear(rows, 'mix', 10)]), rows])
    const logits = net.op('Gemm', [mixed, table], { transB: int(1) })
    return net.op('Add', [logits, net.op('ReduceMean', [image])])
  },
  'a class token, and angles from a table'(net, image) {
    const rows = net.op('Reshape', [net.conv(image, 'a', { out: 6 }), net.b.ints([1, 6, 64])])
    const tokens = net.op('Transpose', [rows], { perm: intList([0, 2, 1]) })
    const first = net.op('Expand', [net.weight('token', [1, 1, 6]), net.b.ints([1, 1, 6])])
    const joined = net.op('Concat', [first, tokens, net.weight('last', [1, 1, 6])], {
      axis: int(1),
    })
    const x = net.op('Add', [joined, net.weight('positions', [1, 66, 6])])
    const y = net.op('MatMul', [net.op('Tanh', [x]), net.weight('q.weight', [6, 8])])
    const heads = net.op('Reshape', [y, net.b.ints([1, 66, 2, 4])])
    const range = [net.b.ints([0]), net.b.ints([66]), net.b.ints([0])]
    const angles = net.op('Slice', [net.weight('angles', [99, 4]), ...range])
    const turned = net.op('Mul', [heads, net.op('Unsqueeze', [angles, net.b.ints([0, 2])])])
    const merged = net.op('Reshape', [net.op('Sin', [turned]), net.b.ints([1, 66, 8])])
    return net.op('MatMul', [merged, net.weight('out.weight', [8, 5])])
  },
  'the best along another axis'(net, image) {
    const x = net.op('Reshape', [net.block(image, 'a', { out: 6 }), net.b.ints([1, 6, 64])])
    const [best] = net.b.ops('TopK', [x, net.b.ints([3])], { axis: int(-1) }, 2)
    const pooled = net.op('GlobalAveragePool', [net.op('Unsqueeze', [best!, net.b.ints([3])])])
    return net.linear(net.op('Flatten', [pooled]), 'fc', 5)
  },
  'one weight read twice'(net, image) {
    const a = net.block(image, 'a', { out: 6 })
    const b = net.block(image, 'b', { out: 6, kernel: 1 })
    const w = net.weight('shared.weight', [4, 6, 1, 1])
    const [x, y] = [net.op('Conv', [a, w]), net.op('Conv', [b, w])]
    const pooled = [x, y].map((value) => net.op('GlobalAveragePool', [net.op('Tanh', [value])]))
    return net.linear(net.op('Flatten', [net.op('Add', pooled)]), 'fc', 5)
  },
}

/** Every network by what it shows. */
export function testNets(seed = 1): { name: string; model: Model }[] {
  return Object.entries(recipes).map(([name, recipe]) => {
    const net = new Net(seed)
    const image = net.b.input('image', 'float32', [1, 3, 8, 8])
    return { name, model: net.finish(recipe(net, image)) }
  })
}

/** A network of random steps: what couples with what is left to chance. */
export function randomNet(seed: number): Model {
  const random = createRandom(seed)
  const net = new Net(seed)
  const values = [net.b.input('image', 'float32', [1, 3, 8, 8])]
  const channels = (x: string) => net.b.type(x).shape[1]!
  const pick = () => values[Math.max(0, values.length - 1 - random.integer(4))]!
  const two = 2 * (1 + random.integer(3))
  const steps: ((x: string, name: string) => string)[] = [
    (x, name) => net.block(x, name, { out: two * (1 + random.integer(3)) }),
    (x, name) => net.conv(x, name, { out: two, kernel: 1, bias: true }),
    (x, name) => net.block(x, name, { out: channels(x), group: channels(x) }),
    (x, name) => net.block(x, name, { out: channels(x), group: channels(x) % 2 === 0 ? 2 : 1 }),
    (x) => net.op('HardSwish', [x]),
    (x, name) => net.op('PRelu', [x, net.weight(`${name}.slope`, [channels(x), 1, 1])]),
    (x, name) => net.norm(x, `${name}.norm`),
    (x) => {
      const same = values.filter((value) => channels(value) === channels(x))
      return net.op('Add', [x, same[random.integer(same.length)]!])
    },
    (x) => net.op('Mul', [x, net.op('Sigmoid', [net.op('GlobalAveragePool', [x])])]),
    (x) => net.op('Concat', [x, pick()], { axis: int(1) }),
    (x) => {
      const cut = 1 + random.integer(channels(x) - 1)
      const sizes = net.b.ints([cut, channels(x) - cut])
      return net.b.ops('Split', [x, sizes], { axis: int(1) }, 2)[random.integer(2)]!
    },
    (x) => net.op('Pad', [x, net.b.ints([0, random.integer(3), 0, 0, 0, random.integer(3), 0, 0])]),
    (x) => {
      const groups = channels(x) % 2 === 0 ? 2 : 1
      const shape = [1, groups, channels(x) / groups, 8, 8]
      const split = net.op('Reshape', [x, net.b.ints(shape)])
      const swapped = net.op('Transpose', [split], { perm: intList([0, 2, 1, 3, 4]) })
      return net.op('Reshape', [swapped, net.b.ints([1, channels(x), 8, 8])])
    },
  ]
  values.push(net.block(values[0]!, 'stem', { out: 2 * two }))
  for (let i = 0; i < 9; i++) {
    const x = pick()
    if (channels(x) < 2 || channels(x) > 40) continue
    values.push(steps[random.integer(steps.length)]!(x, `step${i}`))
  }
  return net.finish(head(net, net.op('Concat', values.slice(-2), { axis: int(1) })))
}

/** A network whose units are partly frozen: the stem also is an output. */
export function frozenNet(): Model {
  const net = new Net(1)
  const image = net.b.input('image', 'float32', [1, 3, 8, 8])
  const stem = net.block(image, 'stem', { out: 6 })
  net.b.output(stem, 'features')
  return net.finish(head(net, net.block(stem, 'body', { out: 8 })))
}
