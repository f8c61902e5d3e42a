// Keeps the promises that row loops make about data: the checker's bounds rest on them.
import { tripsOf } from './build.ts'
import type { Address, TileFunction, TileStatement } from './nodes.ts'

/** Returns what is wrong with the tables of a function; `data` holds the bytes of each constant parameter. */
export function checkTables(
  fn: TileFunction,
  data: readonly (Uint8Array | undefined)[],
): readonly string[] {
  const problems = new Set<string>()
  const done = new Set<string>()
  const bytesAt = (base: number) => {
    const bytes = data[base]
    if (bytes === undefined) problems.add(`${fn.name}: "${fn.parameters[base]}" is no constant`)
    return bytes && new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
  const walk = (list: readonly TileStatement[], loops: ReadonlyMap<string, Steps>) => {
    for (const s of list) {
      if (s.kind === 'loop')
        walk(
          s.body,
          new Map([...loops, [s.name, { step: s.step, trips: tripsOf(s.count, s.step) }]]),
        )
      if (s.kind !== 'nnz') continue
      // Copies of a row loop, as for the pixels at an edge, read the same table.
      const key = JSON.stringify([s.rows, s.table, s.entries, s.cursors.length, s.range])
      if (done.has(key)) continue
      done.add(key)
      const table = bytesAt(s.table.base)
      const rows = s.rows && bytesAt(s.rows.base)
      if (table === undefined || (s.rows && rows === undefined)) continue
      for (const offset of s.rows ? offsetsOf(s.rows, loops) : []) {
        const [from, to] = [rows!.getInt32(offset, true), rows!.getInt32(offset + 4, true)]
        if (!(from >= 0 && from <= to && to <= s.entries))
          problems.add(`${fn.name}: a row from ${from} to ${to}, of ${s.entries} entries`)
      }
      const [low, high] = s.range
      for (const start of offsetsOf(s.table, loops))
        for (let entry = 0; entry < s.entries; entry++)
          s.cursors.forEach((_, i) => {
            const cursor = table.getInt32(start + entry * s.entryBytes + i * 4, true)
            if (!(cursor >= low && cursor <= high))
              problems.add(`${fn.name}: a cursor of ${cursor}, outside ${low} to ${high}`)
          })
    }
  }
  walk(fn.body, new Map())
  return [...problems]
}

interface Steps {
  readonly step: number
  readonly trips: number
}

// Every offset an address takes under the loops around it.
function offsetsOf(address: Address, loops: ReadonlyMap<string, Steps>): number[] {
  let offsets = [address.offset]
  for (const [name, stride] of Object.entries(address.strides)) {
    const { step, trips } = loops.get(name)!
    offsets = offsets.flatMap((offset) =>
      Array.from({ length: trips }, (_, i) => offset + i * step * stride),
    )
  }
  return offsets
}
