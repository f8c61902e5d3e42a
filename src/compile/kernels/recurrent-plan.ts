// RNN, GRU, LSTM as a plan: sizes, packed weights, and where everything lies in scratch memory.
import type { Formula } from '../../ir/formula.ts'
import type { Recurrence } from '../../ir/ops/shared/recurrence.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import { floatsOf } from './floats.ts'

/** Columns of a product that are computed together: `first` gate, number of gates, padded columns. */
export interface Block {
  readonly first: number
  readonly gates: number
  /** Padded to whole panels. */
  readonly columns: number
  /** Float offset of its column 0 in a row of results. */
  readonly start: number
}

/** Everything the code of a recurrent node depends on, but data. */
export interface RecurrentPlan extends Omit<Recurrence, 'activations'> {
  /** Per direction, per activation: its formula. */
  readonly formulas: readonly (readonly Formula[])[]
  readonly hasPeepholes: boolean
  /** `hidden` rounded up to whole vectors: gates and states are padded to it. */
  readonly width: number
  /** Rows of inputs that share a load of weights, and columns of a panel, for X·Wᵀ. */
  readonly inputTile: Tile
  readonly stateTile: Tile
  readonly inputBlock: Block
  /** Blocks of H·Rᵀ; the GRU's candidate is a block of its own where it reads the reset state. */
  readonly stateBlocks: readonly Block[]
}

/** Rows by columns of results that are held in registers. */
export interface Tile {
  readonly rows: number
  readonly columns: number
}

/** Float offsets in the packed weights of one direction. */
export interface PackedOffsets {
  readonly inputBias: number
  readonly inputPanels: number
  readonly stateBias: number
  readonly statePanels: readonly number[]
  readonly peepholes: number
  readonly size: number
}

/** Float offsets in scratch memory. */
export interface ScratchOffsets {
  /** X·Wᵀ + b: [steps · batch, columns]. */
  readonly projected: number
  /** H·Rᵀ + b: [batch, columns of all blocks]. */
  readonly recurrent: number
  readonly hidden: number
  readonly cell: number
  /** The GRU's reset ⊙ H. */
  readonly reset: number
  readonly size: number
}

/** Plans a node; `formulas` are those of its activations. */
export function planRecurrence(
  r: Recurrence,
  formulas: readonly (readonly Formula[])[],
  hasPeepholes: boolean,
): RecurrentPlan {
  const width = Math.ceil(r.hidden / 4) * 4
  const inputTile = tileOf(r.steps * r.batch, r.gates * width)
  const resetsFirst = r.cell === 'GRU' && !r.linearBeforeReset
  const stateTile = tileOf(r.batch, (resetsFirst ? 1 : r.gates) * width)
  const blocksOf = (gates: readonly number[], { columns }: Tile): Block[] => {
    let [first, start] = [0, 0]
    return gates.map((count) => {
      const block = {
        first,
        gates: count,
        columns: Math.ceil((count * width) / columns) * columns,
        start,
      }
      first += count
      start += block.columns
      return block
    })
  }
  const { activations: _, ...sizes } = r
  return {
    ...sizes,
    formulas,
    hasPeepholes,
    width,
    inputTile,
    stateTile,
    inputBlock: blocksOf([r.gates], inputTile)[0]!,
    stateBlocks: blocksOf(resetsFirst ? [2, 1] : [r.gates], stateTile),
  }
}

// Eight or so accumulators: fewer chains wait for the adder, more spill (kernels.md §1.2).
function tileOf(rows: number, columns: number): Tile {
  if (rows >= 4) return { rows: 4, columns: Math.min(8, columns) }
  if (rows >= 2) return { rows: 2, columns: Math.min(16, columns) }
  return { rows: 1, columns: Math.min(32, columns) }
}

/** Returns where things lie in one direction's packed weights. */
export function packedOffsets(plan: RecurrentPlan): PackedOffsets {
  const { inputBlock, stateBlocks, inputSize, hidden, width } = plan
  const inputPanels = inputBlock.columns
  const stateBias = inputPanels + inputSize * inputBlock.columns
  let next = stateBias + stateColumns(plan)
  const statePanels = stateBlocks.map((block) => {
    const start = next
    next += hidden * block.columns
    return start
  })
  return {
    inputBias: 0,
    inputPanels,
    stateBias,
    statePanels,
    peepholes: next,
    size: next + (plan.hasPeepholes ? 3 * width : 0),
  }
}

/** Returns where things lie in scratch memory. */
export function scratchOffsets(plan: RecurrentPlan): ScratchOffsets {
  const { steps, batch, width, inputBlock } = plan
  const recurrent = steps * batch * inputBlock.columns
  const hidden = recurrent + batch * stateColumns(plan)
  const cell = hidden + batch * width
  const reset = cell + batch * width
  return { projected: 0, recurrent, hidden, cell, reset, size: reset + batch * width }
}

/** Columns of all blocks of H·Rᵀ. */
export function stateColumns({ stateBlocks }: RecurrentPlan): number {
  return stateBlocks.reduce((sum, { columns }) => sum + columns, 0)
}

/** Returns the weights of all directions: biases, then panels of columns, the input's index slow within each. */
export function packRecurrence(
  plan: RecurrentPlan,
  { w, r, bias, peepholes }: { w: Tensor; r: Tensor; bias?: Tensor; peepholes?: Tensor },
): Float32Array {
  const { reversed, gates, hidden, inputSize, width, inputTile, stateTile } = plan
  const at = packedOffsets(plan)
  const packed = new Float32Array(at.size * reversed.length)
  reversed.forEach((_, d) => {
    const own = packed.subarray(d * at.size, (d + 1) * at.size)
    const all = gates * hidden
    const rows = (t: Tensor, depth: number) =>
      floatsOf(t).subarray(d * all * depth, (d + 1) * all * depth)
    const biases = bias && floatsOf(bias).subarray(d * 2 * all, (d + 1) * 2 * all)
    const fill = (
      source: Float32Array,
      block: Block,
      to: { start: number; depth: number; tile: Tile },
    ) => {
      for (let g = 0; g < block.gates; g++)
        for (let u = 0; u < hidden; u++) {
          const row = (block.first + g) * hidden + u
          const column = g * width + u
          const panel = Math.floor(column / to.tile.columns)
          const lane = column % to.tile.columns
          for (let k = 0; k < to.depth; k++)
            own[to.start + (panel * to.depth + k) * to.tile.columns + lane] =
              source[row * to.depth + k]!
        }
    }
    const w1 = rows(w, inputSize)
    const r1 = rows(r, hidden)
    fill(w1, plan.inputBlock, { start: at.inputPanels, depth: inputSize, tile: inputTile })
    plan.stateBlocks.forEach((block, i) => {
      fill(r1, block, { start: at.statePanels[i]!, depth: hidden, tile: stateTile })
    })
    for (let g = 0; g < gates; g++)
      for (let u = 0; u < hidden; u++) {
        const block = plan.stateBlocks.find(({ first, gates: n }) => g >= first && g < first + n)!
        const row = g * hidden + u
        own[at.inputBias + g * width + u] = biases?.[row] ?? 0
        own[at.stateBias + block.start + (g - block.first) * width + u] = biases?.[all + row] ?? 0
      }
    if (peepholes !== undefined) {
      const p = floatsOf(peepholes)
      for (let g = 0; g < 3; g++)
        for (let u = 0; u < hidden; u++)
          own[at.peepholes + g * width + u] = p[(d * 3 + g) * hidden + u]!
    }
  })
  return packed
}
