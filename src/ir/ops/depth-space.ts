// DepthToSpace and SpaceToDepth: Reshape → Transpose → Reshape.
import { intList, intOf, type Node, stringOf } from '../graph.ts'
import { defineOp, type OpRecord } from '../op.ts'
import { need, needTensor, reject } from './shared/check.ts'
import { reshapeTensor, transposeTensor } from './shared/move.ts'
import { depthToSpaceVjp, spaceToDepthVjp } from './gradients/movement.ts'

/** Blocks of channels become blocks of pixels. */
export const depthToSpace = defineOp({
  name: 'DepthToSpace',
  vjp: depthToSpaceVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const { block, n, c, h, w } = blocks(context.node, shape)
    if (c % (block * block) !== 0) reject(`${c} channels are not a multiple of ${block}²`)
    return [{ dtype, shape: [n, c / block ** 2, h * block, w * block] }]
  },
  evaluate: (node, inputs) => {
    const t = needTensor(node, inputs, 0)
    const { block, n, c, h, w } = blocks(node, t.shape)
    const out = c / block ** 2
    const { inner, permutation } = depthToSpaceSteps(node, { block, out })
    const moved = transposeTensor(reshapeTensor(t, [n, ...inner, h, w]), permutation)
    return [reshapeTensor(moved, [n, out, h * block, w * block])]
  },
  expand: (b, { node, inputs }) => {
    const { block, n, c, h, w } = blocks(node, inputs[0]!.shape)
    const out = c / block ** 2
    const { inner, permutation } = depthToSpaceSteps(node, { block, out })
    const split6 = b.op('Reshape', [node.inputs[0]!, b.ints([n, ...inner, h, w])])
    const moved = b.op('Transpose', [split6], { perm: intList(permutation) })
    return [b.op('Reshape', [moved, b.ints([n, out, h * block, w * block])])]
  },
  units: { kind: 'move', data: [0] },
})

function depthToSpaceSteps(node: Node, { block, out }: { block: number; out: number }) {
  const mode = stringOf(node, 'mode', 'DCR')
  if (mode === 'DCR') return { inner: [block, block, out], permutation: [0, 3, 4, 1, 5, 2] }
  if (mode !== 'CRD') reject(`mode "${mode}" is neither DCR nor CRD`)
  return { inner: [out, block, block], permutation: [0, 1, 4, 2, 5, 3] }
}

/** Blocks of pixels become blocks of channels. */
export const spaceToDepth = defineOp({
  name: 'SpaceToDepth',
  vjp: spaceToDepthVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const { block, n, c, h, w } = blocks(context.node, shape)
    if (h % block !== 0 || w % block !== 0) reject(`[${h}, ${w}] is not a multiple of ${block}`)
    return [{ dtype, shape: [n, c * block ** 2, h / block, w / block] }]
  },
  evaluate: (node, inputs) => {
    const t = needTensor(node, inputs, 0)
    const { block, n, c, h, w } = blocks(node, t.shape)
    const parts = reshapeTensor(t, [n, c, h / block, block, w / block, block])
    const moved = transposeTensor(parts, spaceToDepthOrder)
    return [reshapeTensor(moved, [n, c * block ** 2, h / block, w / block])]
  },
  expand: (b, { node, inputs }) => {
    const { block, n, c, h, w } = blocks(node, inputs[0]!.shape)
    const shape = b.ints([n, c, h / block, block, w / block, block])
    const parts = b.op('Reshape', [node.inputs[0]!, shape])
    const moved = b.op('Transpose', [parts], { perm: intList(spaceToDepthOrder) })
    return [b.op('Reshape', [moved, b.ints([n, c * block ** 2, h / block, w / block])])]
  },
  units: { kind: 'move', data: [0] },
})

const spaceToDepthOrder = [0, 3, 5, 1, 2, 4]

function blocks(node: Node, shape: readonly number[]) {
  const [n, c, h, w] = shape
  const block = intOf(node, 'blocksize', 0)
  if (shape.length !== 4) reject(`expected [n, c, h, w], found [${shape}]`)
  if (block < 1) reject(`blocksize is ${block}`)
  return { block, n: n!, c: c!, h: h!, w: w! }
}

/** The records of this file. */
export const depthSpaceOps: readonly OpRecord[] = [depthToSpace, spaceToDepth]
