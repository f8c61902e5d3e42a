// Which vector constants are kept in locals: materialising one takes three instructions on x64.
import type { TileExpr, TileLeaf } from '../tile/nodes.ts'
import { loop, operandsOf } from '../tile/build.ts'
import { VECTOR_REGISTERS, vectorPressure } from '../tile/check.ts'

type Splat = Extract<TileExpr, { kind: 'splat' }>

/** A constant with the number of its uses. */
export interface ConstantUse {
  readonly key: string
  readonly splat: Splat
  readonly uses: number
}

/** Identifies a constant by type and bits. */
export function constantKey({ type, value }: Splat): string {
  return `${type} ${Object.is(value, -0) ? '-0' : value}`
}

/** Returns the constants of straight-line code, most used first. Zero is left out: it costs one instruction. */
export function constantsOf(leaves: readonly TileLeaf[]): ConstantUse[] {
  const found = new Map<string, { key: string; splat: Splat; uses: number }>()
  for (const { value } of leaves) {
    const seen = new Set<TileExpr>()
    const visit = (e: TileExpr) => {
      if (e.kind === 'splat') {
        if (Object.is(e.value, 0)) return
        const key = constantKey(e)
        const known = found.get(key)
        if (known) known.uses++
        else found.set(key, { key, splat: e, uses: 1 })
        return
      }
      if (seen.has(e)) return
      seen.add(e)
      for (const operand of operandsOf(e)) visit(operand)
    }
    visit(value)
  }
  return [...found.values()].sort((a, b) => b.uses - a.uses)
}

/** Returns the constants worth loading before an innermost loop: as many as leave its registers free. */
export function hoistedConstants(leaves: readonly TileLeaf[]): ConstantUse[] {
  const constants = constantsOf(leaves)
  if (constants.length === 0) return []
  const body = [loop('l', 2, leaves)]
  const pressure = vectorPressure({ name: '', parameters: [], extents: [], body })
  return constants.slice(0, Math.max(0, VECTOR_REGISTERS - pressure))
}
