// MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool → vectors over channels that read only
// elements inside the input: outputs are split into runs whose windows are cut off alike.
import { intOf, type Node } from '../../ir/graph.ts'
import { poolWindow } from '../../ir/ops/pool.ts'
import type { Window } from '../../ir/ops/shared/window.ts'
import type { Kernel, Offer, OfferContext } from '../kernel.ts'
import { bytesOf, NHWC, nhwc } from '../layout.ts'
import { absorb, epilogueKey, epilogueValues, packEpilogue } from './epilogue.ts'
import { betweenPasses, emitWindow } from './window-function.ts'
import type { WindowRun } from './window-nest.ts'

/** Largest element under each window. */
export const maxPool: Kernel = {
  name: 'pool-max-f32',
  offer(node, context) {
    if (node.op !== 'MaxPool' || node.domain !== '') return ''
    if (node.outputs[1]) return 'computes no indices'
    return windowed(node, context, { name: this.name, reduction: 'max' })
  },
}

/** Mean under each window. */
export const averagePool: Kernel = {
  name: 'pool-average-f32',
  offer(node, context) {
    if (node.op !== 'AveragePool' || node.domain !== '') return ''
    return windowed(node, context, { name: this.name, reduction: 'mean' })
  },
}

/** Mean over all pixels. */
export const globalAveragePool: Kernel = {
  name: 'pool-global-average-f32',
  offer(node, context) {
    if (node.op !== 'GlobalAveragePool' || node.domain !== '') return ''
    return global(node, context, { name: this.name, reduction: 'mean' })
  },
}

/** Maximum over all pixels. */
export const globalMaxPool: Kernel = {
  name: 'pool-global-max-f32',
  offer(node, context) {
    if (node.op !== 'GlobalMaxPool' || node.domain !== '') return ''
    return global(node, context, { name: this.name, reduction: 'max' })
  },
}

interface Pool {
  readonly name: string
  readonly reduction: 'max' | 'mean'
}

function windowed(node: Node, context: OfferContext, pool: Pool): Offer[] | string {
  const input = context.type(node.inputs[0]!)
  if (input.shape.length !== 4) return `pools two spatial axes, found [${input.shape}]`
  const window = poolWindow(node, input.shape)
  const countPads = intOf(node, 'count_include_pad', 0) === 1
  const axes = [0, 1].map((axis) =>
    runsOf(window, axis, { size: input.shape[2 + axis]!, countPads }),
  )
  return offerOf(node, context, { ...pool, rows: axes[0]!, columns: axes[1]! })
}

function global(node: Node, context: OfferContext, pool: Pool): Offer[] | string {
  const { shape } = context.type(node.inputs[0]!)
  if (shape.length !== 4) return `pools two spatial axes, found [${shape}]`
  const [rows, columns] = shape.slice(2).map((size): WindowRun[] => {
    const taps = { taps: size, tapStep: 1, divisor: size }
    return [{ start: 0, count: 1, inStart: 0, inStep: 1, ...taps }]
  })
  return offerOf(node, context, { ...pool, rows: rows!, columns: columns! })
}

function offerOf(
  node: Node,
  context: OfferContext,
  pool: Pool & { rows: readonly WindowRun[]; columns: readonly WindowRun[] },
): Offer[] | string {
  const { dtype, shape: input } = context.type(node.inputs[0]!)
  if (dtype !== 'float32') return `computes float32, not ${dtype}`
  const output = context.type(node.outputs[0]!).shape
  if ([...input, ...output].some((size) => size === 0)) return 'the input or output is empty'
  const { name, reduction, rows, columns } = pool
  const epilogue = absorb(node, context, 1)
  const values = epilogueValues(epilogue)
  const taps = Math.max(...rows.map((r) => r.taps)) * Math.max(...columns.map((r) => r.taps))
  const problem = { input, output, rows, columns }
  const between = betweenPasses(problem)
  return [
    {
      kernel: name,
      covers: epilogue.covers,
      inputs: [node.inputs[0]!, ...values].map((value) => ({ value, layout: nhwc(0, 0, 0, 0) })),
      outputs: [{ value: epilogue.output, layout: 'nhwc' }],
      cost: output.reduce((product, size) => product * size, taps + 2),
      scratchBytes: between ? bytesOf({ dtype, shape: between }, NHWC) : 0,
      inPlace: values.map((_, i) => i + 1),
      tolerance: (reduction === 'max' ? 2 : taps + 4) * 2 ** -24,
      codeKey: (layouts) => JSON.stringify([problem, epilogueKey(epilogue, layouts)]),
      pack: () => packEpilogue(epilogue),
      emit: (layouts) => emitWindow({ name, ...problem, reduction, epilogue, layouts }),
    },
  ]
}

// Outputs of one axis in runs of equal taps: those at the ends see less of the input.
function runsOf(
  window: Window,
  axis: number,
  { size, countPads }: { size: number; countPads: boolean },
): WindowRun[] {
  const stride = window.strides[axis]!
  const tapStep = window.dilations[axis]!
  const begin = window.begin[axis]!
  const runs: (WindowRun & { count: number; from: number })[] = []
  for (let j = 0; j < window.output[axis]!; j++) {
    const first = j * stride - begin
    const inside = (low: number, high: number) =>
      Array.from({ length: window.kernel[axis]! }, (_, t) => t).filter((t) => {
        const position = first + t * tapStep
        return position >= low && position < high
      })
    const valid = inside(0, size)
    const from = valid[0] ?? 0
    const taps = valid.length
    // What ceil_mode adds beyond the pads is never counted.
    const divisor = countPads ? inside(-begin, size + window.end[axis]!).length : taps
    const last = runs.at(-1)
    if (last !== undefined && last.from === from && last.taps === taps && last.divisor === divisor)
      last.count++
    else {
      const inStart = taps === 0 ? 0 : first + from * tapStep
      runs.push({ start: j, count: 1, inStart, inStep: stride, taps, tapStep, divisor, from })
    }
  }
  return runs.map(({ from: _, ...run }) => run)
}
