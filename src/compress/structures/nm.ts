// N:M: of every M neighbouring input channels an output reads N. Mishra et al. 2021; shared by outputs
// it is the column-wise N:M of a tile.
import { floatData, sizeOf } from '../../tensor/tensor.ts'
import type { Structure } from '../contracts.ts'
import { defineStructure } from './define.ts'
import type { StructureFamily } from './family.ts'

/** M as GPUs have it. */
const GROUP = 4

/** `nm` is N:4, `nm:8` N:8; N is the level. */
export const nm: StructureFamily = {
  name: 'nm',
  shares: [1, 2, 4],
  argument: 'M, for example nm:8',
  make(argument) {
    if (argument === undefined) return ofGroup(GROUP, 'nm')
    const m = Number(argument)
    return Number.isInteger(m) && m > 1 ? ofGroup(m, `nm:${m}`) : undefined
  },
}

function ofGroup(m: number, name: string): Structure {
  return defineStructure({
    name,
    paper: 'https://arxiv.org/abs/2104.08378',
    refuses: (shape) =>
      shape.length < 2 || shape[1]! < m
        ? `[${shape}] has fewer than ${m} input channels`
        : undefined,
    levels: () => Array.from({ length: m }, (_, dropped) => (m - dropped) / m),
    exact: true,
    project(score, level) {
      const { shape } = score
      const values = floatData(score)
      const taps = sizeOf(shape.slice(2))
      const inputs = shape[1]!
      const mask = new Uint8Array(values.length)
      for (let output = 0; output < shape[0]!; output++)
        for (let tap = 0; tap < taps; tap++)
          for (let first = 0; first < inputs; first += m) {
            const at = (output * inputs + first) * taps + tap
            keepLargest(mask, values, {
              at,
              step: taps,
              size: Math.min(m, inputs - first),
              keep: m - level,
            })
          }
      return mask
    },
  })
}

interface Run {
  readonly at: number
  readonly step: number
  readonly size: number
  readonly keep: number
}

// Groups are small: an entry stays when fewer than `keep` beat it, the earlier one on a tie.
function keepLargest(mask: Uint8Array, values: Float32Array, { at, step, size, keep }: Run): void {
  for (let i = 0; i < size; i++) {
    const value = values[at + i * step]!
    let better = 0
    for (let j = 0; j < size; j++) {
      const other = values[at + j * step]!
      if (other > value || (other === value && j < i)) better++
    }
    if (better < keep) mask[at + i * step] = 1
  }
}
