// What kernels over channel planes share: parameters, and where vectors of their operands lie.
import type { PlacedLayouts } from '../kernel.ts'
import { type ChwGeometry, chwGeometry } from '../layout.ts'
import { at, get, loadLanes, loadSplat, loop, store } from '../tile/build.ts'
import type { Address, TileFunction, TileStatement } from '../tile/nodes.ts'
import { applyEpilogue, type Epilogue } from './epilogue.ts'
import type { PlaneTile, PlaneVector } from './plane-tiles.ts'

/** What a kernel reads and writes. */
export interface PlaneProblem {
  readonly name: string
  readonly input: readonly number[]
  readonly output: readonly number[]
  readonly layouts: PlacedLayouts
  readonly epilogue: Epilogue
  /** Packed constants that come before those of the epilogue, with their bytes. */
  readonly constants: readonly { readonly name: string; readonly bytes: number }[]
}

/** Input rows and columns per output row and column. */
export interface PlaneStride {
  readonly y: number
  readonly x: number
}

/** Which channel is meant: a constant one, plus `per` for each step of the loop `o`. */
export interface ChannelAt {
  readonly first: number
  readonly per: number
  /** The variable that holds the number of its plane, where numbers per channel lie in another order. */
  readonly plane?: string
}

/** Places of a function over planes. Loops are `n` for images, `o` for channels, and those of the tile. */
export interface PlaneFrame {
  readonly input: ChwGeometry
  readonly output: ChwGeometry
  /** Parameter index of the first packed constant. */
  readonly constants: number
  /** True when every operand of the epilogue and the output have no halo, so that rows are one long row. */
  readonly isFlat: boolean
  /** A vector of the input, before the channel and the window's place are added. */
  inputAt(tile: PlaneTile, vector: PlaneVector, stride: PlaneStride): Address
  /** Stores one vector of an accumulator, through the epilogue. */
  storeAt(
    where: { tile: PlaneTile; vector: PlaneVector; channel: ChannelAt },
    register: string,
  ): TileStatement
  /** The function around statements that compute one image. */
  wrap(body: readonly TileStatement[]): TileFunction
}

/** Lays out a function's parameters: input, values, constants, numbers per channel, output. */
export function planeFrame(problem: PlaneProblem): PlaneFrame {
  const { name, layouts, epilogue, constants } = problem
  const input = chwGeometry(problem.input, layouts.inputs[0]!)
  const output = chwGeometry(problem.output, layouts.outputs[0]!)
  const values = layouts.inputs.slice(1).map((layout) => chwGeometry(problem.output, layout))
  const constantsAt = layouts.inputs.length
  const perChannel = epilogue.operands.filter(({ kind }) => kind === 'channel')
  let [nextValue, nextChannel] = [1, constantsAt + constants.length]
  const operands = epilogue.operands.map(({ kind }) => {
    if (kind === 'channel') return { base: nextChannel++, geometry: undefined }
    const base = nextValue++
    return { base, geometry: values[base - 1]! }
  })
  const outputBase = constantsAt + constants.length + perChannel.length

  const vectorAt = (
    { base, geometry: g }: { base: number; geometry: ChwGeometry },
    where: { tile: PlaneTile; vector: PlaneVector; channel: ChannelAt },
  ): Address => {
    const { tile, vector, channel } = where
    const { first, per, plane } = channel
    const offset = g.origin + (plane === undefined ? first * g.planeBytes : 0)
    return at(base, offset + vector.row * g.rowBytes + vector.column * 4, {
      ...movesOf(tile, g, { y: 1, x: 1 }),
      ...(plane === undefined ? { o: per * g.planeBytes } : { [plane]: g.planeBytes }),
    })
  }

  return {
    input,
    output,
    constants: constantsAt,
    isFlat: [output, ...values].every((g) => g.rowBytes === g.w * 4),
    inputAt: (tile, { row, column }, stride) =>
      at(0, row * stride.y * input.rowBytes + column * stride.x * 4, movesOf(tile, input, stride)),
    storeAt: (where, register) => {
      const { channel, vector } = where
      const loaded = operands.map(({ base, geometry }) =>
        geometry === undefined
          ? loadSplat(at(base, channel.first * 4, { o: channel.per * 4 }))
          : loadLanes(vectorAt({ base, geometry }, where), vector.lanes),
      )
      const target = vectorAt({ base: outputBase, geometry: output }, where)
      return store(target, applyEpilogue(epilogue, get(register), loaded), vector.lanes)
    },
    wrap: (body) => ({
      name,
      parameters: [
        'x',
        ...values.map((_, i) => `value${i}`),
        ...constants.map((constant) => constant.name),
        ...perChannel.map((_, i) => `channel${i}`),
        'out',
      ],
      extents: [
        input.sizeBytes,
        ...values.map((g) => g.sizeBytes),
        ...constants.map(({ bytes }) => bytes),
        ...perChannel.map(() => Math.ceil(output.c / 4) * 16),
        output.sizeBytes,
      ],
      body: [loop('n', input.n, body)],
    }),
  }
}

function movesOf(tile: PlaneTile, g: ChwGeometry, stride: PlaneStride): Record<string, number> {
  return {
    n: g.imageBytes,
    ...(tile.y && { [tile.y]: stride.y * g.rowBytes }),
    ...(tile.x && { [tile.x]: stride.x * 4 }),
  }
}
