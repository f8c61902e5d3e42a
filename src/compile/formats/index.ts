// The registry of formats: one line per file, and what each makes of a weight.
import type { Grouping } from '../../ir/grouping.ts'
import type { SparseWeight } from '../../ir/sparsity.ts'
import { darb } from './darb.ts'
import { fkw } from './fkw.ts'
import { groupsBySize, type SparseFormat } from './format.ts'
import { lists } from './lists.ts'
import { nm } from './nm.ts'

/** All formats. */
export const formats: readonly SparseFormat[] = [lists, fkw, darb, nm]

/** Returns the bytes that a weight takes in each format that can hold it, fewest first. */
export function formatSizes(
  weight: SparseWeight,
  grouping: Grouping,
): { readonly format: string; readonly bytes: number }[] {
  return formats
    .flatMap((format) => {
      let bits = 0
      for (const groups of groupsBySize(grouping)) {
        const encoded = format.encode(weight, groups)
        if (typeof encoded === 'string') return []
        bits += encoded.structureBits + encoded.weights.length * 32
      }
      return [{ format: format.name, bytes: Math.ceil(bits / 8) }]
    })
    .sort((a, b) => a.bytes - b.bytes)
}
