// Sharing: 2, 4 or more outputs have one mask. The sparse kernels load an input once for all of them,
// and run at full speed per weight. Scores of the sharing outputs are summed, projected, and the mask
// is written to each.
import { type FloatTensor, floatData, floats, sizeOf } from '../../tensor/tensor.ts'
import { OptionError } from '../../util/errors.ts'
import type { Structure } from '../contracts.ts'
import { defineStructure } from './define.ts'
import { similarOrder } from './similar-order.ts'

/** Returns a structure whose masks are shared by `share` outputs at a time (a power of two, 1 to 64). */
export function shared(base: Structure, share: number): Structure {
  if (share === 1) return base
  if (![2, 4, 8, 16, 32, 64].includes(share))
    throw new OptionError(
      `Cannot share "${base.name}" by ${share} outputs: expected 2, 4, 8, 16, 32 or 64`,
    )
  const small = (shape: readonly number[]) => [Math.ceil(shape[0]! / share), ...shape.slice(1)]
  const { groups } = base
  return defineStructure({
    name: `${base.name}/${share}`,
    paper: base.paper,
    share,
    exact: base.exact,
    refuses: (shape) =>
      shape[0]! < share
        ? `${shape[0]} outputs cannot share by ${share}`
        : base.refuses(small(shape)),
    levels: (shape) => base.levels(small(shape)),
    project(score, level, order) {
      const mask = base.project(sumOutputs(score, share, order), level)
      return spread(mask, { shape: score.shape, share, order, into: Uint8Array })
    },
    ...(groups && {
      groups: (shape: readonly number[], order?: Int32Array) =>
        groups(small(shape)).map((group) =>
          spread(group, { shape, share, order, into: Int32Array }),
        ),
    }),
    order: (score, level) =>
      similarOrder(columnsOf(base, score), {
        share,
        density: base.levels(small(score.shape))[level] ?? 1,
      }),
  })
}

// What outputs are compared by: the groups that a mask chooses among, where it chooses among groups.
function columnsOf(base: Structure, score: FloatTensor): FloatTensor {
  const outputs = score.shape[0]!
  const [groupOf, another] = base.groups?.([1, ...score.shape.slice(1)]) ?? []
  if (groupOf === undefined || another !== undefined) return score
  const count = groupOf.reduce((most, group) => Math.max(most, group + 1), 0)
  const inner = groupOf.length
  if (count === inner) return score
  const values = floatData(score)
  const sums = new Float32Array(outputs * count)
  for (let i = 0; i < values.length; i++)
    sums[Math.floor(i / inner) * count + groupOf[i % inner]!]! += values[i]!
  return floats([outputs, count], sums)
}

function sumOutputs(score: FloatTensor, share: number, order: Int32Array | undefined): FloatTensor {
  const [outputs, ...rest] = score.shape as [number, ...number[]]
  const inner = sizeOf(rest)
  const values = floatData(score)
  const sums = new Float32Array(Math.ceil(outputs / share) * inner)
  for (let at = 0; at < outputs; at++) {
    const from = (order?.[at] ?? at) * inner
    const to = Math.floor(at / share) * inner
    for (let i = 0; i < inner; i++) sums[to + i]! += values[from + i]!
  }
  return floats([Math.ceil(outputs / share), ...rest], sums)
}

interface Spread<T> {
  readonly shape: readonly number[]
  readonly share: number
  readonly order: Int32Array | undefined
  readonly into: new (length: number) => T
}

// Gives every output the entries of the row it shares.
function spread<T extends Uint8Array | Int32Array>(rows: T, to: Spread<T>): T {
  const outputs = to.shape[0]!
  const inner = sizeOf(to.shape.slice(1))
  const result = new to.into(outputs * inner)
  for (let at = 0; at < outputs; at++) {
    const from = Math.floor(at / to.share) * inner
    result.set(rows.subarray(from, from + inner), (to.order?.[at] ?? at) * inner)
  }
  return result
}
