// Conv (+ element-wise) → implicit GEMM over a padded channels-last buffer, every offset a constant.
// ConvTranspose → the same, once per phase of the strides: each phase is a small stride-1 convolution.
import type { Node } from '../../ir/graph.ts'
import { intOf } from '../../ir/graph.ts'
import { convTransposeWindow, convWindow } from '../../ir/ops/conv.ts'
import type { Kernel, Layout, Offer, OfferContext, PlacedLayouts } from '../kernel.ts'
import { nhwc, nhwcGeometry } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import { type ConstantPart, madeOf } from '../storage.ts'
import type { TileFunction } from '../tile/nodes.ts'
import { type AxisPlan, convolutionAxis, haloOf, transposedAxes } from './conv-axes.ts'
import { operandsOf } from './conv-operands.ts'
import {
  absorb,
  type Epilogue,
  epilogueKey,
  epilogueValues,
  isHeavy,
  packEpilogue,
} from './epilogue.ts'
import { gemmStatements } from './gemm-nest.ts'
import { type Panels, packedBytes, packPanels, panelParts, planPanels } from './gemm-panels.ts'
import { type GemmSchedule, gemmSchedules } from './gemm-tiles.ts'

/** Everything about a convolution but the weights. */
interface Problem {
  readonly input: readonly number[]
  readonly output: readonly number[]
  /** Channels of one group; small groups are computed several at a time, with zeros between. */
  readonly groups: number
  readonly cIn: number
  readonly cOut: number
  readonly phases: readonly { readonly y: AxisPlan; readonly x: AxisPlan }[]
  readonly schedule: GemmSchedule
}

/** Weights by output channel, input channel within the (widened) group, and kernel position. */
type WeightAt = (o: number, c: number, ky: number, kx: number) => number

/** Conv of any stride, dilation, padding and grouping. */
export const convGemm: Kernel = {
  name: 'conv-gemm-f32',
  offer(node, context) {
    if (node.op !== 'Conv' || node.domain !== '') return ''
    const found = operandsOf(node, context)
    if (typeof found === 'string') return found
    const { input, weight, data, bias } = found
    const window = convWindow(node, input, weight)
    const [kh, kw] = [weight[2]!, weight[3]!]
    const [y, x] = [convolutionAxis(window, 0), convolutionAxis(window, 1)]
    const groups = intOf(node, 'group', 1)
    const [perIn, perOut] = [weight[1]!, weight[0]! / groups]
    const at: WeightAt = (o, c, ky, kx) => data[((o * perIn + c) * kh + ky) * kw + kx]!
    const output = context.type(node.outputs[0]!).shape
    const joined = joinGroups({ groups, perIn, perOut, at })
    const problem = { input, output, ...joined.sizes, phases: [{ y, x }] }
    return offersOf(node, context, { problem, weight: joined.at, bias })
  },
}

/** ConvTranspose of any stride, dilation, padding and grouping. */
export const convTransposeGemm: Kernel = {
  name: 'conv-transpose-gemm-f32',
  offer(node, context) {
    if (node.op !== 'ConvTranspose' || node.domain !== '') return ''
    const found = operandsOf(node, context)
    if (typeof found === 'string') return found
    const { input, weight, data, bias } = found
    const window = convTransposeWindow(node, input, weight)
    const [kh, kw] = [weight[2]!, weight[3]!]
    const groups = intOf(node, 'group', 1)
    const [perIn, perOut] = [weight[0]! / groups, weight[1]!]
    const at: WeightAt = (o, c, ky, kx) => {
      const row = Math.floor(o / perOut) * perIn + c
      return data[((row * perOut + (o % perOut)) * kh + ky) * kw + kx]!
    }
    const output = context.type(node.outputs[0]!).shape
    const joined = joinGroups({ groups, perIn, perOut, at })
    const xs = transposedAxes(window, 1)
    const phases = transposedAxes(window, 0).flatMap((y) => xs.map((x) => ({ y, x })))
    const problem = { input, output, ...joined.sizes, phases }
    return offersOf(node, context, { problem, weight: joined.at, bias })
  },
}

// Groups whose channels do not fill vectors are joined until they do; weights between them are zero.
function joinGroups(given: { groups: number; perIn: number; perOut: number; at: WeightAt }) {
  const { groups, perIn, perOut, at } = given
  let join = groups === 1 ? 1 : groups
  for (let s = 1; s < groups; s++)
    if (groups % s === 0 && (s * perIn) % 4 === 0 && (s * perOut) % 4 === 0) {
      join = s
      break
    }
  const widened: WeightAt = (o, c, ky, kx) => {
    const own = Math.floor(o / perOut) % join
    return Math.floor(c / perIn) === own ? at(o, c % perIn, ky, kx) : 0
  }
  const sizes = { groups: groups / join, cIn: perIn * join, cOut: perOut * join }
  return { sizes, at: join === 1 ? at : widened }
}

interface Weights {
  readonly problem: Problem
  readonly weight: WeightAt
  readonly bias: Float32Array | undefined
}

type Unscheduled = Omit<Weights, 'problem'> & { readonly problem: Omit<Problem, 'schedule'> }

function offersOf(node: Node, context: OfferContext, { problem, ...rest }: Unscheduled): Offer[] {
  return gemmSchedules(context.tunes).map((schedule) =>
    offerOf(node, context, { ...rest, problem: { ...problem, schedule } }),
  )
}

function offerOf(node: Node, context: OfferContext, weights: Weights): Offer {
  const { problem } = weights
  const epilogue = absorb(node, context, 1)
  const { input, phases } = problem
  const values = epilogueValues(epilogue)
  const [top, bottom] = haloOf(
    phases.map((p) => p.y),
    input[2]!,
  )
  const [left, right] = haloOf(
    phases.map((p) => p.x),
    input[3]!,
  )
  const depth = Math.max(...phases.map((p) => p.y.taps * p.x.taps)) * problem.cIn
  return {
    kernel: node.op === 'Conv' ? convGemm.name : convTransposeGemm.name,
    covers: epilogue.covers,
    inputs: [
      { value: node.inputs[0]!, layout: nhwc(top, left, bottom, right) },
      ...values.map((value) => ({ value, layout: nhwc(0, 0, 0, 0) })),
    ],
    outputs: [{ value: epilogue.output, layout: 'nhwc' }],
    cost: costOf(problem),
    scratchBytes: 0,
    inPlace: isHeavy(epilogue) ? [] : values.map((_, i) => i + 1),
    tolerance: (depth + 4) * 2 ** -24,
    codeKey: (layouts) => JSON.stringify([problem, epilogueKey(epilogue, layouts)]),
    pack: () => [
      madeOf(bytesOfView(flushSubnormals(packWeights(weights))), partsOf(problem)),
      ...packEpilogue(epilogue),
    ],
    emit: (layouts) => emit(problem, epilogue, layouts),
  }
}

/** How a phase walks. */
interface PhasePlan {
  readonly panels: readonly Panels[]
  /** Steps of the reduction: rows, columns, channels of the window. */
  readonly depth: number
  /** Bytes of the packed weights of one group. */
  readonly bytes: number
}

function planPhase(problem: Problem, { y, x }: Problem['phases'][number]): PhasePlan {
  const { cIn, cOut, schedule } = problem
  const depth = y.taps * x.taps * cIn
  const isPointwise = y.taps * x.taps === 1 && y.inStep === 1 && x.inStep === 1
  const panels = planPanels(cOut, isPointwise ? y.count * x.count : x.count, schedule.width)
  return { panels, depth, bytes: packedBytes(panels, depth) }
}

function packWeights({ problem, weight, bias }: Weights): Float32Array {
  const { groups, cIn, cOut, phases } = problem
  const parts: Float32Array[] = []
  for (const phase of phases) {
    const { panels, depth } = planPhase(problem, phase)
    const { y, x } = phase
    for (let g = 0; g < groups; g++)
      parts.push(
        packPanels(panels, depth, {
          bias: (o) => (o < cOut ? (bias?.[g * cOut + o] ?? 0) : 0),
          weight: (o, step) => {
            if (o >= cOut) return 0
            const column = Math.floor(step / cIn) % x.taps
            const row = Math.floor(step / (cIn * x.taps))
            return weight(
              g * cOut + o,
              step % cIn,
              y.kernelStart + row * y.kernelStep,
              x.kernelStart + column * x.kernelStep,
            )
          },
        }),
      )
  }
  const packed = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let next = 0
  for (const part of parts) {
    packed.set(part, next)
    next += part.length
  }
  return packed
}

// Of every phase and group, one after another as they are packed.
function partsOf(problem: Problem): ConstantPart[] {
  let offset = 0
  return problem.phases.flatMap((phase) => {
    const { panels, depth, bytes } = planPhase(problem, phase)
    return Array.from({ length: problem.groups }, () => {
      const parts = panelParts(panels, depth, offset)
      offset += bytes
      return parts
    }).flat()
  })
}

function emit(problem: Problem, epilogue: Epilogue, layouts: PlacedLayouts): TileFunction {
  const { input, output, groups, cIn, cOut, phases } = problem
  const a = nhwcGeometry(input, layouts.inputs[0] as Layout)
  const out = nhwcGeometry(output, layouts.outputs[0] as Layout)
  const values = layouts.inputs.slice(1).map((layout) => nhwcGeometry(output, layout))
  const plans = phases.map((phase) => planPhase(problem, phase))
  const weightBytes = plans.reduce((sum, plan) => sum + plan.bytes * groups, 0)
  const isValue = epilogue.operands.map((operand) => operand.kind === 'value')
  const channelOperands = isValue.filter((v) => !v).length
  const weightsAt = layouts.inputs.length
  let [nextValue, nextChannel] = [1, weightsAt + 1]
  const bases = isValue.map((v) => (v ? nextValue++ : nextChannel++))
  const outAt = weightsAt + 1 + channelOperands
  const stepsOf = (pick: (g: (typeof values)[number]) => number) =>
    isValue.map((v, i) => (v ? pick(values[bases[i]! - 1]!) : 0))
  const phase = (index: number, fma: boolean) => {
    const { y, x } = phases[index]!
    const { panels, bytes } = plans[index]!
    const offset = plans.slice(0, index).reduce((sum, plan) => sum + plan.bytes * groups, 0)
    const start = (g: typeof out) => g.origin + y.outStart * g.rowBytes + x.outStart * g.pixelBytes
    return gemmStatements(
      {
        a: { base: 0, offset: a.origin + y.inStart * a.rowBytes + x.inStart * a.pixelBytes },
        weights: { base: weightsAt, offset },
        out: { base: outAt, offset: start(out) },
        epilogue,
        operands: isValue.map((v, i) => ({
          base: bases[i]!,
          offset: v ? start(values[bases[i]! - 1]!) : 0,
        })),
        outer: [
          {
            count: groups,
            a: cIn * 4,
            out: cOut * 4,
            operands: stepsOf(() => cOut * 4),
            weights: bytes,
            channels: cOut * 4,
          },
          {
            count: a.n,
            a: a.imageBytes,
            out: out.imageBytes,
            operands: stepsOf((g) => g.imageBytes),
          },
          {
            count: y.count,
            a: y.inStep * a.rowBytes,
            out: y.outStep * out.rowBytes,
            operands: stepsOf((g) => y.outStep * g.rowBytes),
          },
        ],
        pixels: {
          count: x.count,
          a: x.inStep * a.pixelBytes,
          out: x.outStep * out.pixelBytes,
          operands: stepsOf((g) => x.outStep * g.pixelBytes),
        },
        taps: [
          { count: y.taps, a: y.tapStep * a.rowBytes },
          { count: x.taps, a: x.tapStep * a.pixelBytes },
          // Padding channels are skipped, though the taps of a row are then no single run: always faster.
          { count: cIn, a: 4 },
        ],
        channels: cOut,
        panels,
        tail: 'zeros',
        fma,
        schedule: problem.schedule,
      },
      phases.length > 1 ? `f${index}` : '',
    )
  }
  const body = (fma: boolean) => phases.flatMap((_, index) => phase(index, fma))
  return {
    name: 'conv-gemm-f32',
    parameters: [
      'x',
      ...values.map((_, i) => `value${i}`),
      'weights',
      ...Array.from({ length: channelOperands }, (_, i) => `channel${i}`),
      'out',
    ],
    extents: [
      a.sizeBytes,
      ...values.map((g) => g.sizeBytes),
      weightBytes,
      ...Array.from({ length: channelOperands }, () => out.channels * 4),
      out.sizeBytes,
    ],
    body: body(false),
    relaxed: body(true),
  }
}

function costOf(problem: Problem): number {
  const { input, groups, cOut, phases } = problem
  return phases.reduce((sum, phase) => {
    const { depth } = planPhase(problem, phase)
    const channels = Math.ceil(cOut / 4) * 4
    return sum + input[0]! * phase.y.count * phase.x.count * groups * channels * (depth + 2)
  }, 0)
}
