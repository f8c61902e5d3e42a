// Conv with one input channel per group (+ element-wise) → plane by plane: a sparse network's
// depthwise layers stay in the layout of its 1×1 layers.
import { intOf, type Node } from '../../ir/graph.ts'
import { convWindow } from '../../ir/ops/conv.ts'
import type { Kernel, OfferContext, PlacedLayouts } from '../kernel.ts'
import { CHW, chw } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import { madeOf } from '../storage.ts'
import { at, get, loadSplat, loop, madd, set, shift } from '../tile/build.ts'
import type { TileExpr, TileFunction, TileStatement } from '../tile/nodes.ts'
import { type AxisPlan, convolutionAxis, haloOf } from './conv-axes.ts'
import { operandsOf } from './conv-operands.ts'
import { absorb, type Epilogue, epilogueKey, epilogueValues, packEpilogue } from './epilogue.ts'
import { planeFrame } from './plane-frame.ts'
import { loadEvery, overlaps, planeTiles } from './plane-tiles.ts'

/**
 * What a tap costs in dense multiply-adds, up to 3×3 and beyond; a step of 2 takes a second load and a
 * shuffle. As 29 layers of 4 × 4 to 120 × 120 pixels take on Node 20, beside those of depthwise-f32.
 */
const PRICE = { small: 1.35, large: 2.2 }

/** Weights of so many taps stay in registers over a whole plane, beside two sums. */
const HELD_TAPS = 9
/** Larger windows would be unrolled into too much code. */
const TAP_LIMIT = 49

/** Depthwise convolution with steps of 1 or 2 along rows, over channel planes. */
export const depthwisePlanes: Kernel = {
  name: 'depthwise-planes-f32',
  offer(node, context) {
    if (node.op !== 'Conv' || node.domain !== '') return ''
    const problem = problemOf(node, context)
    if (typeof problem === 'string') return problem
    const { input, output, y, x, weight, bias } = problem
    const [top, bottom] = haloOf([y], input[2]!)
    const [left, right] = haloOf([x], input[3]!)
    const epilogue = absorb(node, context, 1)
    const values = epilogueValues(epilogue)
    const [images, channels, height, width] = output as [number, number, number, number]
    const taps = y.taps * x.taps
    const pixels = images * channels * height * Math.ceil(width / 4) * 4
    return [
      {
        kernel: this.name,
        covers: epilogue.covers,
        inputs: [
          { value: node.inputs[0]!, layout: chw(top, left, bottom, right) },
          ...values.map((value) => ({ value, layout: CHW })),
        ],
        outputs: [{ value: epilogue.output, layout: 'chw' }],
        cost: pixels * (taps * x.inStep * (taps > 9 ? PRICE.large : PRICE.small) + 2),
        scratchBytes: 0,
        // Overlapping vectors read their operands after a neighbour was stored.
        inPlace: overlaps(width) ? [] : values.map((_, i) => i + 1),
        tolerance: (taps + 4) * 2 ** -24,
        codeKey: (layouts) => JSON.stringify([input, output, y, x, epilogueKey(epilogue, layouts)]),
        pack: () => [
          madeOf(bytesOfView(flushSubnormals(weight)), [
            { offset: 0, loops: [[weight.length, 4]], kind: 'weights', run: y.taps * x.taps },
          ]),
          bytesOfView(flushSubnormals(bias ?? new Float32Array(channels))),
          ...packEpilogue(epilogue),
        ],
        emit: (layouts) => emit(problem, epilogue, layouts),
      },
    ]
  },
}

interface Problem {
  readonly input: readonly number[]
  readonly output: readonly number[]
  readonly y: AxisPlan
  readonly x: AxisPlan
  readonly weight: Float32Array
  readonly bias: Float32Array | undefined
}

function problemOf(node: Node, context: OfferContext): Problem | string {
  const found = operandsOf(node, context)
  if (typeof found === 'string') return found
  const { input, output, weight, data, bias } = found
  const channels = input[1]!
  if (intOf(node, 'group', 1) !== channels || weight[0] !== channels || channels === 1)
    return 'not one output per input channel'
  const window = convWindow(node, input, weight)
  const [y, x] = [convolutionAxis(window, 0), convolutionAxis(window, 1)]
  if (x.inStep > 2) return `computes strides 1 and 2 along rows, not ${x.inStep}`
  if (y.taps * x.taps > TAP_LIMIT) return `unrolls up to ${TAP_LIMIT} taps, not ${y.taps * x.taps}`
  return { input, output, y, x, weight: data, bias }
}

function emit(
  { input, output, y, x }: Problem,
  epilogue: Epilogue,
  layouts: PlacedLayouts,
): TileFunction {
  const taps = y.taps * x.taps
  const [, channels, rows, columns] = output as [number, number, number, number]
  const frame = planeFrame({
    name: depthwisePlanes.name,
    input,
    output,
    layouts,
    epilogue,
    constants: [
      { name: 'weights', bytes: channels * taps * 4 },
      { name: 'bias', bytes: channels * 4 },
    ],
  })
  const { planeBytes, rowBytes, origin } = frame.input
  const stride = { y: y.inStep, x: x.inStep }
  const isHeld = taps <= HELD_TAPS
  const weightOf = (tap: number): TileExpr =>
    loadSplat(at(frame.constants, tap * 4, { o: taps * 4 }))
  const nameOf = (tap: number) => (isHeld ? `w${tap}` : 'w')
  const start = origin + y.inStart * rowBytes + x.inStart * 4
  const tiles = planeTiles({ rows, columns, apart: !isHeld }, isHeld ? 2 : 4, (tile) => {
    const statements: TileStatement[] = tile.vectors.map((_, v) => set(`s${v}`, get('bias')))
    for (let tap = 0; tap < taps; tap++) {
      if (!isHeld) statements.push(set(nameOf(tap), weightOf(tap)))
      const row = Math.floor(tap / x.taps) * y.tapStep
      const offset = start + row * rowBytes + (tap % x.taps) * x.tapStep * 4
      tile.vectors.forEach((vector, v) => {
        const first = frame.inputAt(tile, vector, stride)
        const strides = { ...first.strides, o: planeBytes }
        const from = shift({ ...first, strides }, offset)
        const value = loadEvery(from, vector.lanes, stride.x)
        statements.push(set(`s${v}`, madd(value, get(nameOf(tap)), get(`s${v}`))))
      })
    }
    const channel = { first: 0, per: 1 }
    tile.vectors.forEach((vector, v) => {
      statements.push(frame.storeAt({ tile, vector, channel }, `s${v}`))
    })
    return statements
  })
  const hold = Array.from({ length: isHeld ? taps : 0 }, (_, tap) =>
    set(nameOf(tap), weightOf(tap)),
  )
  const bias = set('bias', loadSplat(at(frame.constants + 1, 0, { o: 4 })))
  return frame.wrap([loop('o', channels, [bias, ...hold, ...tiles])])
}
