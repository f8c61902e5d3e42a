// Small cases for every op record: what the laws over the registry run.
import { type Attribute, float, int, intList, string } from '../../src/ir/graph.ts'
import { type Dtype, floats, ints, sizeOf, tensor, type Tensor } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'

/** One node on concrete inputs; int64 inputs and those listed in `constants` are initializers. */
export interface OpCase {
  readonly op: string
  readonly inputs: readonly (Tensor | undefined)[]
  readonly attributes: Readonly<Record<string, Attribute>>
  readonly outputs: number
  /** Opset of the model, 18 by default. */
  readonly opset: number
  readonly constants: readonly number[]
}

interface Extras {
  readonly attributes?: Readonly<Record<string, Attribute>>
  readonly outputs?: number
  readonly opset?: number
  readonly constants?: readonly number[]
}

const random = createRandom(20)

/** Standard normal values. */
const normal = (...shape: number[]): Tensor =>
  floats(
    shape,
    Array.from({ length: sizeOf(shape) }, () => random.normal()),
  )
/** Uniform between 0.5 and 2: safe for logarithms, roots and divisors. */
const positive = (...shape: number[]): Tensor =>
  floats(
    shape,
    Array.from({ length: sizeOf(shape) }, () => 0.5 + 1.5 * random.uniform()),
  )
const bools = (...shape: number[]): Tensor =>
  tensor(
    'bool',
    shape,
    Uint8Array.from({ length: sizeOf(shape) }, () => random.integer(2)),
  )
const whole = (dtype: 'int32' | 'int64', values: readonly number[], shape = [values.length]) =>
  dtype === 'int64' ? ints(values, shape) : tensor('int32', shape, Int32Array.from(values))
const scalar = (value: number): Tensor => floats([], [value])
const list = (...values: number[]): Tensor => ints(values)

function one(op: string, inputs: readonly (Tensor | undefined)[], extras: Extras = {}): OpCase {
  return { op, inputs, attributes: {}, outputs: 1, opset: 18, constants: [], ...extras }
}

const activations = ['Relu', 'Sigmoid', 'Tanh', 'HardSwish', 'Softplus', 'Softsign', 'Mish']
const parametric: Readonly<Record<string, readonly string[]>> = {
  LeakyRelu: ['alpha'],
  HardSigmoid: ['alpha', 'beta'],
  Elu: ['alpha'],
  Selu: ['alpha', 'gamma'],
  Celu: ['alpha'],
  ThresholdedRelu: ['alpha'],
}
const unary = ['Sqrt', 'Neg', 'Abs', 'Exp', 'Log', 'Erf', 'Sign', 'Floor', 'Ceil', 'Round', 'Sin']
const arithmetic = ['Add', 'Sub', 'Mul', 'Div']
const comparisons = ['Equal', 'Less', 'Greater', 'LessOrEqual', 'GreaterOrEqual']
const reductions = ['Sum', 'Mean', 'Max', 'Min', 'Prod', 'SumSquare', 'L2', 'L1', 'LogSum']

const elementwise: readonly OpCase[] = [
  ...activations.map((op) => one(op, [normal(2, 3, 5)])),
  ...Object.entries(parametric).flatMap(([op, names]) => [
    one(op, [normal(2, 9)]),
    one(op, [normal(2, 9)], {
      attributes: Object.fromEntries(names.map((name, i) => [name, float(0.7 - 0.3 * i)])),
    }),
  ]),
  one('Gelu', [normal(2, 9)], { opset: 20 }),
  one('Gelu', [normal(2, 9)], { opset: 20, attributes: { approximate: string('tanh') } }),
  one('PRelu', [normal(2, 3, 4), positive(3, 1)]),
  one('Clip', [normal(4, 5), scalar(-0.5), scalar(0.75)]),
  one('Clip', [normal(4, 5), undefined, scalar(0.25)], { constants: [2] }),
  one('Clip', [normal(4, 5)], { opset: 9, attributes: { min: float(-0.5), max: float(0.5) } }),
  one('Clip', [normal(4, 5)], { opset: 9, attributes: { max: float(0.5) } }),
  one('Shrink', [normal(3, 5)]),
  one('Shrink', [normal(3, 5)], { attributes: { lambd: float(0.3), bias: float(0.2) } }),
  one('IsNaN', [floats([3], [1, Number.NaN, 0])]),
  ...unary.map((op) => one(op, [positive(3, 4)])),
  one('Round', [floats([5], [0.5, 1.5, -0.5, 2.5, -2.5])]),
  one('Cos', [normal(3, 4)]),
  one('Reciprocal', [positive(3, 4)]),
  one('Not', [bools(7)]),
  ...arithmetic.map((op) => one(op, [normal(2, 3, 4), positive(3, 1)])),
  one('Div', [whole('int32', [7, -7, 5, -5]), whole('int32', [2, 2, -3, -3])]),
  one('Div', [whole('int64', [7, -7, 5, -5]), whole('int64', [2, 2, -3, -3])]),
  one('Mul', [whole('int64', [3, -4]), whole('int64', [5, 1e9])]),
  one('Pow', [positive(2, 4), normal(4)]),
  one('Pow', [normal(2, 4), scalar(2)], { constants: [1] }),
  one('Pow', [positive(2, 4), whole('int64', [2, 3, 0, -1])]),
  one('Mod', [whole('int64', [7, -7, 7, -7]), whole('int64', [3, 3, -3, -3])]),
  one('Mod', [normal(6), positive(6)], { attributes: { fmod: int(1) } }),
  ...comparisons.map((op) => one(op, [whole('int32', [1, 2, 3]), whole('int32', [2, 2, 2])])),
  ...['And', 'Or', 'Xor'].map((op) => one(op, [bools(4, 3), bools(3)])),
  one('Where', [bools(3, 1), normal(2, 3, 4), normal(4)]),
  ...['Min', 'Max', 'Sum', 'Mean'].map((op) => one(op, [normal(2, 3), normal(3), normal(2, 1)])),
  one('Max', [whole('int64', [3, -4]), whole('int64', [1, 1])]),
]

const space = (pads: readonly number[], rest: Record<string, Attribute> = {}) => ({
  attributes: { pads: intList(pads), ...rest },
})
const kernel = (...sizes: number[]) => ({ kernel_shape: intList(sizes) })

const convolutions: readonly OpCase[] = [
  one('Conv', [normal(2, 3, 7, 6), normal(4, 3, 3, 3), normal(4)], space([1, 1, 1, 1])),
  one(
    'Conv',
    [normal(1, 3, 8, 7), normal(4, 3, 3, 2)],
    space([0, 1, 2, 0], { strides: intList([2, 3]) }),
  ),
  one(
    'Conv',
    [normal(1, 4, 7, 7), normal(4, 1, 3, 3)],
    space([2, 2, 2, 2], { group: int(4), dilations: intList([2, 2]) }),
  ),
  one('Conv', [normal(1, 4, 5, 5), normal(6, 2, 1, 1), normal(6)], {
    attributes: { group: int(2) },
  }),
  one('Conv', [normal(1, 2, 9), normal(3, 2, 4)], {
    attributes: { auto_pad: string('SAME_UPPER'), strides: intList([2]) },
  }),
  one('Conv', [normal(1, 2, 9), normal(3, 2, 4)], {
    attributes: { auto_pad: string('SAME_LOWER') },
  }),
  one('Conv', [normal(1, 2, 9), normal(3, 2, 4)], { attributes: { auto_pad: string('VALID') } }),
  one('Conv', [normal(1, 2, 4, 4, 3), normal(2, 2, 2, 3, 2)]),
  one('ConvTranspose', [normal(1, 3, 4, 5), normal(3, 2, 3, 3), normal(2)]),
  one(
    'ConvTranspose',
    [normal(1, 4, 4, 5), normal(4, 2, 3, 3)],
    space([1, 0, 1, 1], {
      strides: intList([2, 2]),
      output_padding: intList([1, 0]),
      group: int(2),
    }),
  ),
  one('ConvTranspose', [normal(1, 3, 4, 4), normal(3, 2, 3, 3)], {
    attributes: { strides: intList([2, 2]), dilations: intList([2, 2]) },
  }),
  one('ConvTranspose', [normal(1, 2, 3, 3), normal(2, 2, 3, 3)], {
    attributes: { strides: intList([3, 2]), output_shape: intList([10, 8]) },
  }),
  one('ConvTranspose', [normal(1, 2, 3, 3), normal(2, 2, 3, 3)], {
    attributes: { strides: intList([2, 2]), auto_pad: string('SAME_UPPER') },
  }),
  one('ConvTranspose', [normal(1, 3, 4, 5), normal(3, 2, 2, 2), normal(2)], {
    attributes: { strides: intList([2, 2]) },
  }),
  one('ConvTranspose', [normal(1, 3, 4, 5), normal(3, 2, 2, 2), normal(2)], {
    attributes: { strides: intList([2, 2]), pads: intList([1, 1, 1, 1]) },
  }),
  one('Conv', [normal(2, 4, 9), normal(6, 2, 3), normal(6)], {
    attributes: {
      group: int(2),
      pads: intList([2, 0]),
      strides: intList([2]),
      dilations: intList([2]),
    },
  }),
  one('AveragePool', [normal(1, 2, 9)], {
    attributes: { ...kernel(3), strides: intList([2]), pads: intList([1, 1]) },
  }),
  one('ConvTranspose', [normal(1, 3, 7), normal(3, 2, 4)], {
    attributes: { strides: intList([2]), pads: intList([1, 1]) },
  }),
  one('MaxPool', [normal(1, 2, 7, 6)], {
    attributes: { ...kernel(3, 2), strides: intList([2, 2]), pads: intList([1, 0, 1, 1]) },
    outputs: 2,
  }),
  one('MaxPool', [normal(1, 2, 6, 6)], {
    attributes: { ...kernel(3, 3), strides: intList([2, 2]), ceil_mode: int(1) },
  }),
  one('MaxPool', [normal(1, 2, 8)], { attributes: { ...kernel(3), dilations: intList([2]) } }),
  one('MaxPool', [normal(1, 2, 7, 7)], {
    attributes: { ...kernel(3, 3), strides: intList([2, 2]), auto_pad: string('SAME_LOWER') },
  }),
  one('AveragePool', [normal(1, 2, 7, 6)], {
    attributes: { ...kernel(3, 2), strides: intList([2, 1]), pads: intList([1, 0, 1, 1]) },
  }),
  one('AveragePool', [normal(1, 2, 7, 6)], {
    attributes: { ...kernel(3, 2), pads: intList([1, 1, 1, 1]), count_include_pad: int(1) },
  }),
  one('AveragePool', [normal(1, 2, 6, 6)], {
    attributes: { ...kernel(3, 3), strides: intList([2, 2]), ceil_mode: int(1) },
  }),
  one('GlobalAveragePool', [normal(2, 3, 4, 5)]),
  one('GlobalMaxPool', [normal(2, 3, 4, 5)]),
  one('BatchNormalization', [normal(2, 3, 4, 2), normal(3), normal(3), normal(3), positive(3)], {
    attributes: { epsilon: float(1e-3) },
  }),
  one('BatchNormalization', [normal(4, 3), normal(3), normal(3), normal(3), positive(3)], {
    opset: 9,
  }),
  one('LRN', [normal(2, 5, 3, 2)], {
    attributes: { size: int(3), alpha: float(0.3), beta: float(0.6), bias: float(1.5) },
  }),
  one('LpNormalization', [normal(2, 3, 4)], { attributes: { axis: int(1) } }),
  one('LpNormalization', [normal(2, 3, 4)], { attributes: { p: int(1) } }),
  one('MeanVarianceNormalization', [normal(2, 3, 4, 5)]),
  one('InstanceNormalization', [normal(2, 3, 4, 5), normal(3), normal(3)]),
  one('LayerNormalization', [normal(2, 3, 4), normal(4), normal(4)]),
  one('LayerNormalization', [normal(2, 3, 4), normal(3, 4)], {
    attributes: { axis: int(1) },
    outputs: 3,
  }),
  one('GroupNormalization', [normal(2, 4, 3, 3), normal(4), normal(4)], {
    opset: 21,
    attributes: { num_groups: int(2) },
  }),
]

const products: readonly OpCase[] = [
  one('MatMul', [normal(3, 4), normal(4, 5)]),
  one('MatMul', [normal(2, 1, 3, 4), normal(5, 4, 2)]),
  one('MatMul', [normal(4), normal(2, 4, 3)]),
  one('MatMul', [normal(2, 3, 4), normal(4)]),
  one('Gemm', [normal(3, 4), normal(4, 5), normal(5)]),
  one('Gemm', [normal(4, 3), normal(5, 4), normal(3, 1)], {
    attributes: { transA: int(1), transB: int(1), alpha: float(0.5), beta: float(2) },
  }),
  one('Gemm', [normal(3, 4), normal(4, 5)]),
]

const folds: readonly OpCase[] = [
  ...reductions.flatMap((name) => [
    one(`Reduce${name}`, [positive(2, 3, 4), list(1)]),
    one(`Reduce${name}`, [positive(2, 3, 4), list(-1, 0)], { attributes: { keepdims: int(0) } }),
    one(`Reduce${name}`, [positive(2, 3, 4)]),
  ]),
  one('ReduceLogSumExp', [normal(3, 4), list(1)]),
  one('ReduceMean', [normal(2, 3, 4)], { opset: 13, attributes: { axes: intList([2]) } }),
  one('ReduceSum', [normal(2, 3, 4)], { opset: 11, attributes: { axes: intList([0, 2]) } }),
  one('ReduceSum', [normal(2, 3), undefined], { attributes: { noop_with_empty_axes: int(1) } }),
  one('ReduceMax', [whole('int64', [3, 9, 1, 4], [2, 2]), list(1)]),
  ...['ArgMax', 'ArgMin'].flatMap((op) => [
    one(op, [normal(3, 4)], { attributes: { axis: int(-1), keepdims: int(0) } }),
    one(op, [floats([2, 3], [1, 1, 0, 0, 2, 2])], {
      attributes: { axis: int(1), select_last_index: int(1) },
    }),
  ]),
  ...['Softmax', 'LogSoftmax'].flatMap((op) => [
    one(op, [normal(2, 3, 4)]),
    one(op, [normal(2, 3, 4)], { attributes: { axis: int(1) } }),
    one(op, [normal(2, 3, 4)], { opset: 11, attributes: { axis: int(1) } }),
    one(op, [normal(2, 3, 4)], { opset: 11 }),
    one(op, [normal(2, 6)], { opset: 11 }),
  ]),
  one('TopK', [normal(3, 7), list(3)], { outputs: 2 }),
  one('TopK', [floats([2, 4], [1, 1, 2, 0, 3, 3, 3, 3]), list(2)], {
    attributes: { largest: int(0) },
    outputs: 2,
  }),
  one('TopK', [normal(4, 3)], { opset: 9, attributes: { k: int(2), axis: int(0) }, outputs: 2 }),
  one('CumSum', [normal(3, 4), ints([1], [])]),
  one('CumSum', [normal(3, 4), ints([-2], [])], {
    attributes: { exclusive: int(1), reverse: int(1) },
  }),
]

const movement: readonly OpCase[] = [
  one('Transpose', [normal(2, 3, 4)]),
  one('Transpose', [whole('int32', [1, 2, 3, 4, 5, 6], [2, 1, 3])], {
    attributes: { perm: intList([2, 0, 1]) },
  }),
  one('Concat', [normal(2, 3), normal(2, 1), normal(2, 2)], { attributes: { axis: int(-1) } }),
  one('Concat', [bools(2, 3), bools(1, 3)], { attributes: { axis: int(0) } }),
  one('Split', [normal(2, 7), list(3, 4)], { attributes: { axis: int(1) }, outputs: 2 }),
  one('Split', [normal(7, 2)], { attributes: { num_outputs: int(3) }, outputs: 3 }),
  one('Split', [normal(2, 6)], {
    opset: 11,
    attributes: { axis: int(1), split: intList([2, 4]) },
    outputs: 2,
  }),
  one('Split', [normal(2, 6)], { opset: 11, attributes: { axis: int(1) }, outputs: 3 }),
  one('Slice', [normal(5, 6, 3), list(1, -4), list(4, 1000), list(0, 1)]),
  one('Slice', [normal(5, 6), list(-1, 4), list(-1000, 0), list(0, 1), list(-1, -2)]),
  one('Slice', [normal(5, 6), list(3), list(2)]),
  one('Slice', [normal(5, 6)], {
    opset: 9,
    attributes: { starts: intList([1]), ends: intList([-1]), axes: intList([1]) },
  }),
  one('Tile', [normal(2, 3), list(2, 1)]),
  one('Expand', [normal(3, 1), list(2, 1, 4)]),
  one('Pad', [normal(3, 4), list(1, 0, 2, 3), scalar(1.5)], { constants: [2] }),
  one('Pad', [normal(3, 4), list(-1, 0, 1, -2)]),
  one('Pad', [normal(3, 4), list(2, 3, 1, 2)], { attributes: { mode: string('reflect') } }),
  one('Pad', [normal(3, 4), list(2, 3, 1, 2)], { attributes: { mode: string('edge') } }),
  one('Pad', [normal(3, 4), list(2, 1), undefined, list(-1)], {}),
  one('Pad', [normal(3, 4), list(2, 3, 1, 2)], { opset: 19, attributes: { mode: string('wrap') } }),
  one('Pad', [normal(3, 4)], {
    opset: 9,
    attributes: { pads: intList([0, 1, 1, 0]), value: float(2) },
  }),
  one('Gather', [normal(4, 3), ints([3, -4, 0, 1], [2, 2])]),
  one('Gather', [normal(2, 6), list(0, 2, 4, 1, 5, 5, 4, 3)], { attributes: { axis: int(1) } }),
  one('Gather', [normal(2, 5), ints([2], [])], { attributes: { axis: int(1) } }),
  one('GatherElements', [normal(3, 3), ints([0, 2, -1, 1], [2, 2])], {
    attributes: { axis: int(1) },
  }),
  one('GatherND', [normal(2, 3, 4), ints([0, 1, 1, -1], [2, 2])]),
  one('GatherND', [normal(2, 3, 4), ints([1, 2], [2, 1])], { attributes: { batch_dims: int(1) } }),
  one('ScatterElements', [normal(3, 3), ints([0, 2, -1, 1], [2, 2]), normal(2, 2)], {
    attributes: { axis: int(1) },
  }),
  one('ScatterND', [normal(4, 2), ints([1, 3], [2, 1]), normal(2, 2)]),
  one('Trilu', [normal(2, 3, 4)]),
  one('Trilu', [normal(3, 4), ints([-1], [])], { attributes: { upper: int(0) } }),
  one('DepthToSpace', [normal(1, 8, 2, 3)], { attributes: { blocksize: int(2) } }),
  one('DepthToSpace', [normal(1, 8, 2, 3)], {
    attributes: { blocksize: int(2), mode: string('CRD') },
  }),
  one('SpaceToDepth', [normal(1, 2, 4, 6)], { attributes: { blocksize: int(2) } }),
]

const shapes: readonly OpCase[] = [
  one('Reshape', [normal(2, 3, 4), list(0, -1)]),
  one('Reshape', [floats([0, 3], []), list(3, 0)], { attributes: { allowzero: int(1) } }),
  one('Flatten', [normal(2, 3, 4)], { attributes: { axis: int(2) } }),
  one('Flatten', [normal(2, 3, 4)], { attributes: { axis: int(-1) } }),
  one('Flatten', [normal(2, 3, 4)], { attributes: { axis: int(0) } }),
  one('Squeeze', [normal(1, 3, 1, 4)]),
  one('Squeeze', [normal(1, 3, 1, 4), list(-2)]),
  one('Squeeze', [normal(1, 3, 1, 4)], { opset: 11, attributes: { axes: intList([0, 2]) } }),
  one('Unsqueeze', [normal(3, 4), list(0, -1)]),
  one('Unsqueeze', [normal(3, 4)], { opset: 11, attributes: { axes: intList([1]) } }),
  one('Identity', [normal(3)]),
  one('Dropout', [normal(3)]),
  one('Dropout', [normal(3)], { opset: 11, attributes: { ratio: float(0.3) } }),
  one('Shape', [normal(2, 3, 4)]),
  one('Shape', [normal(2, 3, 4)], { attributes: { start: int(-2), end: int(-1) } }),
  one('Size', [normal(2, 3)]),
  one('Constant', [], { attributes: { value: { type: 'tensor', value: floats([2], [1, 2]) } } }),
  one('Constant', [], { attributes: { value_ints: intList([4, 5]) } }),
  one('ConstantOfShape', [list(2, 3)], {
    attributes: { value: { type: 'tensor', value: ints([7]) } },
  }),
  one('ConstantOfShape', [list(2, 3)]),
  one('Range', [ints([10], []), ints([3], []), ints([-3], [])]),
]

const toTypes: readonly (readonly [number, Dtype])[] = [
  [1, 'float32'],
  [3, 'int8'],
  [6, 'int32'],
  [7, 'int64'],
  [9, 'bool'],
  [10, 'float16'],
  [11, 'float64'],
]
const conversions: readonly OpCase[] = [
  ...toTypes.map(([to]) =>
    one('Cast', [floats([5], [1.75, -2.5, 0, 100, 0.1])], { attributes: { to: int(to) } }),
  ),
  one('Cast', [whole('int64', [3, 0, -1])], { attributes: { to: int(1) } }),
  one('Cast', [bools(4)], { attributes: { to: int(7) } }),
  one('CastLike', [normal(4), whole('int32', [1])], { opset: 15 }),
]

const sized = (mode: string, coordinates: string, rest: Record<string, Attribute> = {}) => ({
  attributes: { mode: string(mode), coordinate_transformation_mode: string(coordinates), ...rest },
  constants: [1, 2],
})
const scales = (...values: number[]): Tensor => floats([values.length], values)
const coordinateModes = ['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric']
const resizes: readonly OpCase[] = [
  ...coordinateModes.flatMap((coordinates) => [
    one(
      'Resize',
      [normal(1, 1, 4, 5), undefined, undefined, list(1, 1, 7, 3)],
      sized('linear', coordinates),
    ),
    one(
      'Resize',
      [normal(1, 1, 4, 5), undefined, scales(1, 1, 1.5, 2)],
      sized('nearest', coordinates),
    ),
    one(
      'Resize',
      [normal(1, 1, 4, 5), undefined, scales(1, 1, 1.5, 0.6)],
      sized('cubic', coordinates),
    ),
  ]),
  ...['floor', 'ceil', 'round_prefer_ceil'].map((nearest) =>
    one(
      'Resize',
      [normal(1, 1, 4, 5), undefined, scales(1, 1, 2.5, 0.6)],
      sized('nearest', 'half_pixel', { nearest_mode: string(nearest) }),
    ),
  ),
  one('Resize', [normal(1, 2, 3, 3), floats([0], []), scales(1, 1, 2, 2)], {
    ...sized('nearest', 'asymmetric', { nearest_mode: string('floor') }),
    opset: 11,
  }),
  one('Resize', [normal(1, 2, 3, 3), scales(1, 1, 2, 2)], { opset: 10, constants: [1] }),
  one('Upsample', [normal(1, 2, 3, 3), scales(1, 1, 2, 3)], { opset: 9, constants: [1] }),
  one('Upsample', [normal(1, 2, 3, 3), scales(1, 1, 2, 2)], {
    opset: 9,
    attributes: { mode: string('linear') },
    constants: [1],
  }),
  one('Upsample', [normal(1, 2, 3, 3)], {
    opset: 7,
    attributes: { scales: { type: 'floats', value: [1, 1, 2, 2] } },
  }),
]

const recurrences: readonly OpCase[] = [
  one('RNN', [normal(3, 2, 4), normal(1, 3, 4), normal(1, 3, 3)], {
    attributes: { hidden_size: int(3) },
    outputs: 2,
  }),
  one('GRU', [normal(2, 3, 4), normal(1, 9, 4), normal(1, 9, 3), normal(1, 18)], {
    attributes: { hidden_size: int(3) },
    outputs: 2,
  }),
  one('LSTM', [normal(2, 1, 3), normal(2, 20, 3), normal(2, 20, 5), normal(2, 40)], {
    attributes: { direction: string('bidirectional'), hidden_size: int(5) },
    outputs: 3,
  }),
  one(
    'LSTM',
    [
      ...[normal(3, 2, 4), normal(1, 12, 4), normal(1, 12, 3), undefined],
      ...[whole('int32', [3, 1]), normal(1, 2, 3), normal(1, 2, 3)],
    ],
    { attributes: { hidden_size: int(3) }, outputs: 3, constants: [4] },
  ),
]

/** All cases. */
export const opCases: readonly OpCase[] = [
  ...elementwise,
  ...convolutions,
  ...products,
  ...folds,
  ...movement,
  ...shapes,
  ...conversions,
  ...resizes,
  ...recurrences,
]
