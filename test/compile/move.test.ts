import { describe, expect, it } from 'vitest'
import type { GraphBuilder } from '../../src/ir/builder.ts'
import { int, intList, string } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { build, conv, expectSame, kernelsOf, normal } from './bundle-harness.ts'

type Make = (b: GraphBuilder, x: string) => string | readonly string[]

const slice = (starts: number[], ends: number[], axes: number[], steps: number[]): Make => {
  return (b, x) => b.op('Slice', [x, b.ints(starts), b.ints(ends), b.ints(axes), b.ints(steps)])
}
const pad = (pads: number[], mode = 'constant', value?: number): Make => {
  return (b, x) =>
    b.op('Pad', [x, b.ints(pads), ...(value === undefined ? [] : [b.scalar(value)])], {
      mode: string(mode),
    })
}
const resize = (scales: number[], transform: string): Make => {
  return (b, x) =>
    b.op('Resize', [x, '', b.constant(floats([4], scales))], {
      mode: string('nearest'),
      coordinate_transformation_mode: string(transform),
      nearest_mode: string('floor'),
    })
}

/** On a [2, 6, 4, 6] value. */
const moves: Record<string, Make> = {
  'Transpose to channels last': (b, x) => b.op('Transpose', [x], { perm: intList([0, 2, 3, 1]) }),
  'Transpose of space': (b, x) => b.op('Transpose', [x], { perm: intList([0, 1, 3, 2]) }),
  'Transpose of everything': (b, x) => b.op('Transpose', [x], { perm: intList([3, 1, 0, 2]) }),
  'strided Slice of space': slice([0, 0], [99, 99], [2, 3], [2, 2]),
  'Slice of channels': slice([1], [5], [1], [1]),
  'reversed Slice': slice([-1, -1], [-99, -99], [1, 3], [-1, -2]),
  'Pad of channels': pad([0, 3, 0, 0, 0, 2, 0, 0]),
  'Pad of everything': pad([1, 1, 2, 3, 0, 2, 1, 0], 'constant', 1.5),
  'Pad with minus infinity': pad([0, 0, 1, 1, 0, 0, 1, 1], 'constant', -1e30),
  'Pad by reflection': pad([0, 0, 2, 1, 0, 0, 1, 2], 'reflect'),
  'Pad by edges': pad([0, 1, 2, 1, 0, 0, 1, 2], 'edge'),
  'negative Pad': pad([0, -1, 0, -2, 0, 0, -1, 1]),
  'Gather of channels': (b, x) => b.op('Gather', [x, b.ints([4, 0, 3, 3])], { axis: int(1) }),
  'Gather of one row': (b, x) =>
    b.op('Gather', [x, b.constant({ dtype: 'int64', shape: [], data: new BigInt64Array([2n]) })], {
      axis: int(2),
    }),
  'Expand of a mean': (b, x) =>
    b.op('Expand', [b.op('ReduceMean', [x, b.ints([2])]), b.ints([2, 6, 5, 6])]),
  Tile: (b, x) => b.op('Tile', [x, b.ints([1, 2, 1, 3])]),
  DepthToSpace: (b, x) =>
    b.op('DepthToSpace', [b.op('Concat', [x, x], { axis: int(1) })], { blocksize: int(2) }),
  'DepthToSpace, column-row-depth': (b, x) =>
    b.op('DepthToSpace', [b.op('Concat', [x, x], { axis: int(1) })], {
      blocksize: int(2),
      mode: string('CRD'),
    }),
  SpaceToDepth: (b, x) => b.op('SpaceToDepth', [x], { blocksize: int(2) }),
  'nearest Resize by 2': resize([1, 1, 2, 2], 'asymmetric'),
  'nearest Resize by 1.5 and 0.5': resize([1, 1, 1.5, 0.5], 'asymmetric'),
  'Concat of channels': (b, x) =>
    b.op('Concat', [x, b.op('Relu', [x]), b.constant(normal([2, 1, 4, 6]))], { axis: int(1) }),
  'Concat of rows': (b, x) => b.op('Concat', [x, b.op('Neg', [x])], { axis: int(2) }),
  'Split of channels': (b, x) => b.ops('Split', [x, b.ints([1, 3, 2])], { axis: int(1) }, 3),
  Flatten: (b, x) => b.op('Flatten', [x]),
  'channel shuffle': (b, x) => {
    const groups = b.op('Reshape', [x, b.ints([2, 2, 3, 4, 6])])
    const turned = b.op('Transpose', [groups], { perm: intList([0, 2, 1, 3, 4]) })
    return b.op('Reshape', [turned, b.ints([2, 6, 4, 6])])
  },
  'head of a detector': (b, x) => {
    const turned = b.op('Transpose', [x], { perm: intList([0, 2, 3, 1]) })
    return b.op('Reshape', [turned, b.ints([2, -1, 3])])
  },
}

describe('move', () => {
  it.each(Object.entries(moves))('%s of an input', async (_, make) => {
    await expectSame(build([[2, 6, 4, 6]], make), 1e-6)
  })

  it.each(Object.entries(moves))('%s of a convolution', async (_, make) => {
    await expectSame(build([[2, 3, 4, 6]], (b, x) => make(b, conv(b, x, 6))))
  })

  it.each(Object.entries(moves))('%s between convolutions', async (_, make) => {
    await expectSame(
      build([[2, 3, 4, 6]], (b, x) => {
        const made = make(b, conv(b, x, 6))
        const outputs = typeof made === 'string' ? [made] : made
        return outputs.map((y, i) => (b.type(y).shape.length === 4 ? conv(b, y, 5, i) : y))
      }),
      4e-6,
    )
  })

  it('pads the shortcut of a residual network without leaving its layout', async () => {
    const compiled = await expectSame(
      build([[1, 3, 8, 8]], (b, x) => {
        const y = conv(b, x, 8)
        const strided = slice([0, 0], [99, 99], [2, 3], [2, 2])(b, y) as string
        const wide = pad([0, 4, 0, 0, 0, 4, 0, 0])(b, strided) as string
        return conv(b, wide, 4, 3)
      }),
    )
    expect(kernelsOf(compiled).filter((name) => name.startsWith('convert'))).toHaveLength(2)
  })

  it('moves integers', async () => {
    await expectSame(
      build([[3, 5]], (b, x) => {
        const whole = b.op('Cast', [b.op('Mul', [x, b.scalar(100)])], { to: int(1) })
        return b.op('Transpose', [whole])
      }),
    )
  })
})
