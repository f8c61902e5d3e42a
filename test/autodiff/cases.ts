// Small cases of every differentiable op, for the law that gradients agree with finite differences.
import { float, int, intList, string } from '../../src/ir/graph.ts'
import { floats, ints, tensor } from '../../src/tensor/tensor.ts'
import { distinct, nonzero, normal, positive, type VjpCase } from './check.ts'
import { convolutions, pools } from './window-cases.ts'

const none = floats([0], [])

const unary = (op: string, sample = normal, attributes = {}): VjpCase => ({
  op,
  inputs: [[3, 4]],
  sample,
  attributes,
})

const elementwise: VjpCase[] = [
  ...['Relu', 'LeakyRelu', 'Elu', 'Selu', 'Celu', 'HardSwish', 'Abs', 'Softsign'].map((op) =>
    unary(op, nonzero),
  ),
  ...['Sigmoid', 'Tanh', 'Softplus', 'Erf', 'Mish', 'Exp', 'Sin', 'Cos', 'Neg', 'Identity'].map(
    (op) => unary(op),
  ),
  ...['Sqrt', 'Log'].map((op) => unary(op, positive)),
  unary('Reciprocal', nonzero),
  unary('HardSigmoid', nonzero, { alpha: float(0.3), beta: float(0.4) }),
  unary('ThresholdedRelu', distinct, { alpha: float(0.06) }),
  unary('Elu', nonzero, { alpha: float(0.7) }),
  unary('Celu', nonzero, { alpha: float(0.7) }),
  unary('Cast', normal, { to: int(1) }),
  unary('Shrink', nonzero, { lambd: float(0.1), bias: float(0.05) }),
  unary('Dropout'),
  ...['Sign', 'Floor', 'Ceil', 'Round'].map((op) =>
    unary(op, (random, count) =>
      Float32Array.from({ length: count }, () => random.integer(5) - 2.3),
    ),
  ),
  {
    op: 'Clip',
    inputs: [[3, 4]],
    constants: { 1: floats([], [-0.6]), 2: floats([], [0.66]) },
    sample: distinct,
  },
  {
    op: 'Clip',
    inputs: [[3, 4], [], []],
    sample: [distinct, () => Float32Array.of(-0.48), () => Float32Array.of(0.48)],
  },
]

const shapes: [readonly number[], readonly number[]][] = [
  [
    [2, 3],
    [2, 3],
  ],
  [[2, 3, 4], [4]],
  [
    [2, 1, 4],
    [3, 1],
  ],
  [[], [2, 2]],
]

const several: VjpCase[] = [
  ...['Add', 'Sub', 'Mul', 'Sum', 'Mean'].flatMap((op) => shapes.map((inputs) => ({ op, inputs }))),
  ...shapes.map((inputs) => ({ op: 'Div', inputs, sample: [normal, nonzero] })),
  { op: 'Pow', inputs: [[3, 2], [2]], sample: positive },
  { op: 'Pow', inputs: [[3, 4]], constants: { 1: floats([], [2]) } },
  { op: 'Pow', inputs: [[3, 4]], constants: { 1: floats([], [3]) } },
  { op: 'Pow', inputs: [[3, 4]], constants: { 1: floats([], [0.5]) }, sample: positive },
  {
    op: 'Max',
    inputs: [[3, 4]],
    constants: { 1: floats([1, 4], [0, 0.12, 5, -5]) },
    sample: distinct,
  },
  {
    op: 'Max',
    inputs: [[3, 4], [4]],
    sample: [distinct, () => Float32Array.of(0, -0.18, 0.24, 0.06)],
  },
  { op: 'Min', inputs: [[12], [12], [1]], sample: [distinct, nonzero, () => Float32Array.of(0.1)] },
  {
    op: 'PRelu',
    inputs: [
      [2, 3, 2],
      [3, 1],
    ],
    sample: nonzero,
  },
  {
    op: 'Where',
    inputs: [[2, 3], [3]],
    constants: { 0: tensor('bool', [2, 3], Uint8Array.of(1, 0, 0, 1, 1, 0)) },
  },
]

const products: VjpCase[] = [
  {
    op: 'MatMul',
    inputs: [
      [3, 4],
      [4, 2],
    ],
  },
  {
    op: 'MatMul',
    inputs: [
      [2, 3, 4],
      [4, 2],
    ],
  },
  {
    op: 'MatMul',
    inputs: [
      [2, 3, 4],
      [2, 4, 2],
    ],
  },
  {
    op: 'MatMul',
    inputs: [
      [2, 1, 3, 4],
      [3, 4, 2],
    ],
  },
  { op: 'MatMul', inputs: [[4], [4, 2]] },
  { op: 'MatMul', inputs: [[2, 3, 4], [4]] },
  { op: 'MatMul', inputs: [[4], [4]] },
  {
    op: 'MatMul',
    inputs: [
      [3, 4],
      [2, 4, 5],
    ],
  },
  ...[0, 1].flatMap((transA) =>
    [0, 1].map(
      (transB): VjpCase => ({
        op: 'Gemm',
        inputs: [transA ? [4, 3] : [3, 4], transB ? [2, 4] : [4, 2], [2]],
        attributes: { transA: int(transA), transB: int(transB), alpha: float(0.5), beta: float(2) },
      }),
    ),
  ),
  {
    op: 'Gemm',
    inputs: [
      [3, 4],
      [4, 2],
      [3, 1],
    ],
  },
  {
    op: 'Gemm',
    inputs: [
      [3, 4],
      [4, 2],
    ],
  },
]

const axes = (...list: number[]) => ({ 1: ints(list) })

const reductions: VjpCase[] = [
  ...['ReduceSum', 'ReduceMean', 'ReduceSumSquare', 'ReduceLogSumExp'].flatMap((op): VjpCase[] => [
    { op, inputs: [[2, 3, 4]], constants: axes(1) },
    { op, inputs: [[2, 3, 4]], constants: axes(0, -1), attributes: { keepdims: int(0) } },
    { op, inputs: [[2, 3]] },
  ]),
  { op: 'ReduceL2', inputs: [[2, 3]], constants: axes(1), attributes: { keepdims: int(0) } },
  { op: 'ReduceL1', inputs: [[2, 3]], constants: axes(1), sample: nonzero },
  { op: 'ReduceLogSum', inputs: [[2, 3]], constants: axes(1), sample: positive },
  { op: 'ReduceMax', inputs: [[3, 4]], constants: axes(1), sample: distinct },
  {
    op: 'ReduceMin',
    inputs: [[3, 4]],
    constants: axes(0),
    attributes: { keepdims: int(0) },
    sample: distinct,
  },
  ...['Softmax', 'LogSoftmax'].flatMap((op): VjpCase[] => [
    { op, inputs: [[3, 4]] },
    { op, inputs: [[2, 3, 4]], attributes: { axis: int(1) } },
  ]),
  { op: 'CumSum', inputs: [[3, 4]], constants: { 1: tensor('int64', [], BigInt64Array.of(1n)) } },
  {
    op: 'CumSum',
    inputs: [[3, 4]],
    constants: { 1: tensor('int64', [], BigInt64Array.of(0n)) },
    attributes: { reverse: int(1), exclusive: int(1) },
  },
]

const norms: VjpCase[] = [
  {
    op: 'BatchNormalization',
    inputs: [[2, 3, 2, 2], [3], [3], [3], [3]],
    sample: [normal, normal, normal, normal, positive],
  },
  {
    op: 'BatchNormalization',
    inputs: [[4, 3], [3], [3], [3], [3]],
    sample: [normal, normal, normal, normal, positive],
    attributes: { epsilon: float(0.01) },
  },
  { op: 'LayerNormalization', inputs: [[2, 3, 4], [4], [4]] },
  {
    op: 'LayerNormalization',
    inputs: [
      [2, 3, 4],
      [3, 4],
    ],
    attributes: { axis: int(1) },
  },
  { op: 'InstanceNormalization', inputs: [[2, 3, 2, 3], [3], [3]] },
]

const slice = (
  shape: number[],
  starts: number[],
  ends: number[],
  along: number[],
  steps: number[],
): VjpCase => ({
  op: 'Slice',
  inputs: [shape],
  constants: { 1: ints(starts), 2: ints(ends), 3: ints(along), 4: ints(steps) },
})

const padding = (shape: number[], amounts: number[], mode = 'constant'): VjpCase => ({
  op: 'Pad',
  inputs: [shape],
  constants: { 1: ints(amounts) },
  attributes: { mode: string(mode) },
})

const movement: VjpCase[] = [
  { op: 'Transpose', inputs: [[2, 3, 4]], attributes: { perm: intList([2, 0, 1]) } },
  { op: 'Transpose', inputs: [[2, 3, 4]] },
  { op: 'Reshape', inputs: [[2, 3, 4]], constants: { 1: ints([0, -1]) } },
  { op: 'Flatten', inputs: [[2, 3, 4]], attributes: { axis: int(2) } },
  { op: 'Squeeze', inputs: [[2, 1, 4]], constants: { 1: ints([1]) } },
  { op: 'Unsqueeze', inputs: [[2, 4]], constants: { 1: ints([0, 3]) } },
  { op: 'Expand', inputs: [[3, 1]], constants: { 1: ints([2, 1, 4]) } },
  { op: 'Trilu', inputs: [[2, 3, 4]] },
  {
    op: 'Trilu',
    inputs: [[3, 3]],
    constants: { 1: tensor('int64', [], BigInt64Array.of(-1n)) },
    attributes: { upper: int(0) },
  },
  { op: 'Tile', inputs: [[2, 3]], constants: { 1: ints([3, 2]) } },
  {
    op: 'Concat',
    inputs: [
      [2, 3],
      [2, 1],
      [2, 2],
    ],
    attributes: { axis: int(-1) },
  },
  {
    op: 'Concat',
    inputs: [[2, 3]],
    constants: { 1: floats([1, 3], [1, 2, 3]) },
    attributes: { axis: int(0) },
  },
  {
    op: 'Split',
    inputs: [[2, 6]],
    constants: { 1: ints([1, 3, 2]) },
    attributes: { axis: int(1) },
    outputs: 3,
  },
  {
    op: 'Split',
    inputs: [[2, 6]],
    constants: { 1: ints([1, 3, 2]) },
    attributes: { axis: int(1) },
    outputs: 3,
    used: [1],
  },
  slice([4, 5], [1], [3], [0], [1]),
  slice([2, 3, 6, 6], [0, 0], [6, 6], [2, 3], [2, 2]),
  slice([2, 3, 5, 7], [1, 0], [100, 100], [2, 3], [2, 2]),
  slice([7, 5], [-1], [-100], [0], [-2]),
  slice([7, 5], [5, 0], [0, 5], [0, 1], [-3, 2]),
  padding([2, 3], [1, 0, 2, 1]),
  padding([4, 3], [-1, 1, 0, -1]),
  padding([4, 5], [2, 0, 1, 3], 'reflect'),
  padding([2, 3], [2, 0, 1, 3], 'edge'),
  { op: 'Pad', inputs: [[2, 3], []], constants: { 1: ints([1, 0, 2, 1]) } },
  { op: 'Gather', inputs: [[4, 3]], constants: { 1: ints([2, 0, 2, -1]) } },
  {
    op: 'Gather',
    inputs: [[2, 5, 3]],
    constants: { 1: ints([4, 0, 1, 1], [2, 2]) },
    attributes: { axis: int(1) },
  },
  {
    op: 'Gather',
    inputs: [[2, 5]],
    constants: { 1: tensor('int64', [], BigInt64Array.of(3n)) },
    attributes: { axis: int(1) },
  },
  { op: 'GatherElements', inputs: [[3, 3]], constants: { 1: ints([2, 0, 0, 1, 2, 2], [2, 3]) } },
  { op: 'GatherND', inputs: [[3, 2, 2]], constants: { 1: ints([2, 0, 0, 1, 2, 0], [3, 2]) } },
  {
    op: 'ScatterElements',
    inputs: [
      [4, 3],
      [2, 3],
    ],
    constants: { 1: ints([0, 3, 2, 1, 0, 0], [2, 3]) },
  },
  {
    op: 'ScatterElements',
    inputs: [
      [4, 3],
      [2, 3],
    ],
    constants: { 1: ints([0, 3, 0, 1, 0, 0], [2, 3]) },
    attributes: { reduction: string('add') },
  },
  {
    op: 'ScatterND',
    inputs: [
      [4, 3],
      [2, 3],
    ],
    constants: { 1: ints([3, 1], [2, 1]) },
  },
  {
    op: 'ScatterND',
    inputs: [
      [4, 3],
      [3, 3],
    ],
    constants: { 1: ints([3, 1, 3], [3, 1]) },
    attributes: { reduction: string('add') },
  },
  {
    op: 'DepthToSpace',
    inputs: [[2, 8, 2, 3]],
    attributes: { blocksize: int(2), mode: string('DCR') },
  },
  {
    op: 'DepthToSpace',
    inputs: [[2, 8, 2, 3]],
    attributes: { blocksize: int(2), mode: string('CRD') },
  },
  { op: 'SpaceToDepth', inputs: [[2, 2, 4, 6]], attributes: { blocksize: int(2) } },
  {
    op: 'TopK',
    inputs: [[3, 5]],
    constants: { 1: ints([2]) },
    outputs: 2,
    used: [0],
    sample: distinct,
  },
]

const resize = (
  mode: string,
  coordinates: string,
  scales: number[],
  shape = [1, 2, 3, 4],
): VjpCase => ({
  op: 'Resize',
  inputs: [shape],
  constants: { 1: none, 2: floats([scales.length], scales) },
  attributes: {
    mode: string(mode),
    coordinate_transformation_mode: string(coordinates),
    nearest_mode: string('floor'),
  },
  note: `${mode} ${coordinates}`,
})

const resizes: VjpCase[] = [
  resize('nearest', 'asymmetric', [1, 1, 2, 2]),
  resize('nearest', 'asymmetric', [1, 1, 2, 3]),
  resize('nearest', 'half_pixel', [1, 1, 1.7, 0.7]),
  resize('linear', 'half_pixel', [1, 1, 2, 2]),
  resize('linear', 'align_corners', [1, 1, 3, 2]),
  resize('linear', 'asymmetric', [1, 1, 0.5, 0.5], [1, 2, 4, 6]),
  resize('cubic', 'half_pixel', [1, 1, 2, 2]),
]

/** All cases. */
export const vjpCases: readonly VjpCase[] = [
  ...elementwise,
  ...several,
  ...products,
  ...convolutions,
  ...pools,
  ...reductions,
  ...norms,
  ...movement,
  ...resizes,
]
