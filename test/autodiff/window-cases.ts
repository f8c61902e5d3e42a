// Cases of convolutions and pools.
import { int, intList, string } from '../../src/ir/graph.ts'
import { distinct, normal, type VjpCase } from './check.ts'

const conv = (
  x: readonly number[],
  w: readonly number[],
  attributes: VjpCase['attributes'] = {},
  note = '',
): VjpCase => ({ op: 'Conv', inputs: [x, w, [w[0]!]], attributes, note })

const pads = (...amounts: number[]) => ({ pads: intList(amounts) })
const strides = (...steps: number[]) => ({ strides: intList(steps) })

/** Every stride, padding, dilation and grouping that takes another way. */
export const convolutions: readonly VjpCase[] = [
  conv([2, 4, 5, 6], [3, 4, 3, 3], pads(1, 1, 1, 1), 'split taps'),
  conv([2, 4, 5, 6], [3, 4, 3, 3], {}, 'no padding'),
  conv([2, 4, 5, 6], [3, 4, 3, 2], pads(0, 1, 2, 0), 'uneven'),
  conv([2, 4, 7, 6], [3, 4, 3, 3], { ...pads(2, 2, 2, 2), dilations: intList([2, 2]) }, 'dilated'),
  conv([2, 4, 6, 6], [3, 4, 3, 3], { ...pads(1, 1, 1, 1), ...strides(2, 2) }, 'stride 2, even'),
  conv([2, 4, 7, 5], [3, 4, 3, 3], { ...pads(1, 1, 1, 1), ...strides(2, 2) }, 'stride 2, odd'),
  conv([2, 4, 8, 8], [3, 4, 1, 1], strides(2, 2), '1x1 stride 2'),
  conv([2, 4, 8, 8], [3, 4, 2, 2], strides(3, 2), 'gaps'),
  conv([2, 4, 4, 4], [3, 4, 1, 1], {}, '1x1'),
  conv([2, 3, 5, 5], [2, 3, 3, 3], pads(1, 1, 1, 1), 'few channels'),
  conv([2, 3, 6, 6], [2, 3, 3, 3], { ...pads(1, 1, 1, 1), ...strides(2, 2) }, 'few, stride 2'),
  conv([2, 3, 3, 3], [2, 3, 2, 2], pads(2, 2, 2, 2), 'padding beyond the kernel'),
  conv([2, 4, 5, 5], [4, 1, 3, 3], { ...pads(1, 1, 1, 1), group: int(4) }, 'depthwise'),
  conv(
    [2, 4, 6, 7],
    [4, 1, 3, 3],
    { ...pads(1, 1, 1, 1), ...strides(2, 2), group: int(4) },
    'depthwise stride 2',
  ),
  conv(
    [2, 2, 5, 5],
    [6, 1, 3, 3],
    { ...pads(1, 1, 1, 1), group: int(2) },
    'depthwise, multiplier 3',
  ),
  conv([2, 6, 5, 5], [4, 3, 3, 3], { ...pads(1, 1, 1, 1), group: int(2) }, 'grouped'),
  conv([2, 8, 5, 6], [6, 4, 3, 3], { ...pads(1, 1, 1, 1), group: int(2) }, 'grouped, split taps'),
  conv([2, 8, 6, 6], [6, 4, 3, 3], { ...strides(2, 2), group: int(2) }, 'grouped, stride 2'),
  conv([2, 4, 5, 5], [3, 4, 2, 2], { auto_pad: string('SAME_LOWER') }, 'same lower'),
  conv(
    [2, 4, 6, 6],
    [3, 4, 3, 3],
    { auto_pad: string('SAME_UPPER'), ...strides(2, 2) },
    'same upper',
  ),
  conv([2, 4, 9], [3, 4, 3], pads(1, 1), 'one axis'),
  conv([2, 4, 9], [3, 4, 3], { ...pads(1, 0), ...strides(2) }, 'one axis, stride 2'),
  conv([1, 2, 4, 3, 4], [2, 2, 2, 2, 3], { pads: intList([1, 0, 1, 0, 1, 1]) }, 'three axes'),
  ...[
    { note: 'transposed', attributes: {} },
    {
      note: 'transposed, stride 2',
      attributes: { ...strides(2, 2), ...pads(1, 1, 1, 1), output_padding: intList([1, 1]) },
    },
    { note: 'transposed, stride 2 odd', attributes: { ...strides(2, 3), ...pads(0, 1, 1, 0) } },
  ].map(
    ({ note, attributes }): VjpCase => ({
      op: 'ConvTranspose',
      inputs: [[2, 4, 3, 4], [4, 3, 3, 3], [3]],
      attributes,
      note,
    }),
  ),
  {
    op: 'ConvTranspose',
    inputs: [
      [2, 4, 3, 4],
      [4, 2, 3, 3],
    ],
    attributes: { ...strides(2, 2), group: int(2) },
    note: 'grouped',
  },
  {
    op: 'ConvTranspose',
    inputs: [
      [2, 4, 3, 4],
      [4, 1, 2, 2],
    ],
    attributes: { ...strides(2, 2), group: int(4) },
    note: 'depthwise',
  },
  {
    op: 'ConvTranspose',
    inputs: [
      [1, 2, 3, 3],
      [2, 2, 3, 3],
    ],
    attributes: { ...strides(2, 2), output_shape: intList([6, 5]) },
    note: 'output shape',
  },
]

const pool = (op: string, attributes: VjpCase['attributes'], sample = normal): VjpCase => ({
  op,
  inputs: [[2, 2, 6, 5]],
  attributes,
  sample,
})
const kernel = (...size: number[]) => ({ kernel_shape: intList(size) })

/** Pools with and without overlap, padding and a ragged end. */
export const pools: readonly VjpCase[] = [
  pool('MaxPool', { ...kernel(2, 2), ...strides(2, 2) }, distinct),
  pool('MaxPool', { ...kernel(3, 3), ...strides(2, 2), ...pads(1, 1, 1, 1) }, distinct),
  pool('MaxPool', { ...kernel(3, 2), ...strides(1, 1), dilations: intList([2, 1]) }, distinct),
  pool('MaxPool', { ...kernel(2, 2), ...strides(2, 2), ceil_mode: int(1) }, distinct),
  pool('AveragePool', { ...kernel(2, 5), ...strides(2, 5) }),
  pool('AveragePool', { ...kernel(2, 2), ...strides(2, 2) }),
  pool('AveragePool', { ...kernel(3, 3), ...strides(2, 2), ...pads(1, 1, 1, 1) }),
  pool('AveragePool', {
    ...kernel(3, 3),
    ...strides(1, 1),
    ...pads(1, 1, 1, 1),
    count_include_pad: int(1),
  }),
  pool('AveragePool', { ...kernel(2, 2), ...strides(2, 2), ceil_mode: int(1) }),
  pool('GlobalAveragePool', {}),
  pool('GlobalMaxPool', {}, distinct),
  {
    op: 'MaxPool',
    inputs: [[2, 2, 7]],
    attributes: { ...kernel(3), ...strides(2) },
    sample: distinct,
  },
]
