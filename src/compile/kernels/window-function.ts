// The function around a window nest: parameters, extents, operands.
import type { PlacedLayouts } from '../kernel.ts'
import { input } from '../../ir/formula.ts'
import { NHWC, type NhwcGeometry, nhwcGeometry } from '../layout.ts'
import type { TileFunction, TileStatement } from '../tile/nodes.ts'
import type { Epilogue } from './epilogue.ts'
import { type Reduction, type WindowNest, type WindowRun, windowStatements } from './window-nest.ts'

/** A depthwise convolution or a pool with its layouts. */
export interface WindowSpec {
  readonly name: string
  readonly input: readonly number[]
  readonly output: readonly number[]
  readonly rows: readonly WindowRun[]
  readonly columns: readonly WindowRun[]
  readonly reduction: Reduction['kind']
  /** Bytes of the packed weights, where the reduction has them. */
  readonly weightBytes?: number
  readonly epilogue: Epilogue
  readonly layouts: PlacedLayouts
}

/** From this many taps on, a pool over overlapping windows runs along rows first, then along columns. */
const SEPARABLE_TAPS = 16

/** Returns the shape of what a pool keeps between its two passes, or undefined where one pass is better. */
export function betweenPasses(
  spec: Pick<WindowSpec, 'input' | 'output' | 'rows' | 'columns'>,
): readonly number[] | undefined {
  const { output, rows, columns } = spec
  const most = (runs: readonly WindowRun[]) => Math.max(...runs.map((run) => run.taps))
  const overlap = (runs: readonly WindowRun[], count: number) =>
    count > 1 && runs[0]!.inStep < most(runs)
  if (most(rows) * most(columns) < SEPARABLE_TAPS) return undefined
  if (!overlap(rows, output[2]!) || !overlap(columns, output[3]!)) return undefined
  return [...spec.input.slice(0, 3), output[3]!]
}

/** Returns the function: input, values, weights (if any), numbers per channel, output, scratch (if any). */
export function emitWindow(spec: WindowSpec): TileFunction {
  const { name, output, rows, columns, epilogue, layouts, weightBytes } = spec
  const a = nhwcGeometry(spec.input, layouts.inputs[0]!)
  const out = nhwcGeometry(output, layouts.outputs[0]!)
  const values = layouts.inputs.slice(1).map((layout) => nhwcGeometry(output, layout))
  const weightsAt = 1 + values.length
  let nextValue = 1
  let nextChannel = weightsAt + (weightBytes === undefined ? 0 : 1)
  const operands = epilogue.operands.map((operand) => {
    if (operand.kind === 'channel') return nextChannel++
    const base = nextValue++
    return { base, geometry: values[base - 1]! }
  })
  const channelNames = Array.from(
    { length: epilogue.operands.length - values.length },
    (_, i) => `channel${i}`,
  )
  const reduction: Reduction =
    spec.reduction === 'weights' ? { kind: 'weights', base: weightsAt } : { kind: spec.reduction }
  const nest = { input: { base: 0, geometry: a }, output: { base: nextChannel, geometry: out } }
  const between = spec.reduction === 'weights' ? undefined : betweenPasses(spec)
  const scratch = between && nhwcGeometry(between, NHWC)
  const body = (fma: boolean) => {
    const whole = { ...nest, rows, columns, reduction, epilogue, operands, fma }
    return scratch ? twoPasses(whole, scratch) : windowStatements(whole)
  }
  return {
    name,
    parameters: [
      'x',
      ...values.map((_, i) => `value${i}`),
      ...(weightBytes === undefined ? [] : ['weights']),
      ...channelNames,
      'out',
      ...(scratch ? ['scratch'] : []),
    ],
    extents: [
      a.sizeBytes,
      ...values.map((g) => g.sizeBytes),
      ...(weightBytes === undefined ? [] : [weightBytes]),
      ...channelNames.map(() => out.channels * 4),
      out.sizeBytes,
      ...(scratch ? [scratch.sizeBytes] : []),
    ],
    body: body(false),
    ...(reduction.kind === 'weights' && { relaxed: body(true) }),
  }
}

// Along each row into the scratch buffer, then down its columns into the output.
function twoPasses(nest: WindowNest, geometry: NhwcGeometry): TileStatement[] {
  const scratch = { base: nest.output.base + 1, geometry }
  const all = (count: number): WindowRun[] => [
    { start: 0, count, inStart: 0, inStep: 1, taps: 1, tapStep: 1, divisor: 1 },
  ]
  const none: Epilogue = { covers: [], output: '', formula: input(0), operands: [] }
  return [
    ...windowStatements({
      ...nest,
      output: scratch,
      rows: all(geometry.h),
      epilogue: none,
      operands: [],
    }),
    ...windowStatements({ ...nest, input: scratch, columns: all(geometry.w) }),
  ]
}
