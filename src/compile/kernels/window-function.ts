// The function around a window nest: parameters, extents, operands.
import type { PlacedLayouts } from '../kernel.ts'
import { nhwcGeometry } from '../layout.ts'
import type { TileFunction } from '../tile/nodes.ts'
import type { Epilogue } from './epilogue.ts'
import { type Reduction, type WindowRun, windowStatements } from './window-nest.ts'

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

/** Returns the function: input, values, weights (if any), numbers per channel, output. */
export function emitWindow(spec: WindowSpec): TileFunction {
  const { name, input, output, rows, columns, epilogue, layouts, weightBytes } = spec
  const a = nhwcGeometry(input, layouts.inputs[0]!)
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
  return {
    name,
    parameters: [
      'x',
      ...values.map((_, i) => `value${i}`),
      ...(weightBytes === undefined ? [] : ['weights']),
      ...channelNames,
      'out',
    ],
    extents: [
      a.sizeBytes,
      ...values.map((g) => g.sizeBytes),
      ...(weightBytes === undefined ? [] : [weightBytes]),
      ...channelNames.map(() => out.channels * 4),
      out.sizeBytes,
    ],
    body: windowStatements({
      input: { base: 0, geometry: a },
      output: { base: nextChannel, geometry: out },
      rows,
      columns,
      reduction,
      epilogue,
      operands,
    }),
  }
}
