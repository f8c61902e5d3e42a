// Program → addresses: constants first, then the arena; outputs take over dying inputs where they may.

import { clearHaloFunction } from './kernels/convert.ts'
import { layoutName, sameLayout } from './layout.ts'
import type { Buffer, Program, ProgramStep } from './lower.ts'
import { ALIGNMENT, align, type Lifetime, planArena } from './memory.ts'
import type { TileFunction } from './tile/nodes.ts'

/** One call with fixed addresses. */
export interface PlacedStep {
  readonly kernel: string
  readonly nodes: readonly string[]
  readonly function: TileFunction
  readonly addresses: readonly number[]
  /** How many addresses, at the end, are of scratch memory. */
  readonly scratch: number
  readonly cost: number
}

/** A program with every buffer at its address. */
export interface PlacedProgram {
  readonly steps: readonly PlacedStep[]
  /** Bytes of the constant region, which starts at `constantsAddress`. */
  readonly constants: Uint8Array
  readonly constantsAddress: number
  readonly arenaBytes: number
  readonly memoryBytes: number
  addressOf(buffer: Buffer): number
}

/** Gives every buffer an address. Halos that share memory with other data are cleared before they are used. */
export function placeProgram(program: Program): PlacedProgram {
  const groups = groupBuffers(program)
  const arena = planArena([...groups.values()])
  const constants = placeConstants(program)
  const arenaAddress = align(constants.address + constants.bytes.length)
  const groupOf = new Map<number, number>()
  for (const group of groups.values()) for (const id of group.members) groupOf.set(id, group.id)
  const addressOf = (buffer: Buffer): number =>
    buffer.data === undefined
      ? arenaAddress + arena.offsets.get(groupOf.get(buffer.id)!)!
      : constants.addresses.get(buffer.id)!
  const dirty = dirtyHalos(groups, arena.offsets)
  const clears = new Map<string, TileFunction>()
  const cleared = new Set<number>()
  const steps = program.steps.flatMap((step): PlacedStep[] => {
    const before = step.writes
      .filter((buffer) => buffer.data === undefined && dirty.has(groupOf.get(buffer.id)!))
      .filter((buffer) => !cleared.has(groupOf.get(buffer.id)!))
      .map((buffer): PlacedStep => {
        cleared.add(groupOf.get(buffer.id)!)
        return clearStep(buffer, addressOf(buffer), clears)
      })
    const { kernel, nodes, cost } = step
    const addresses = step.arguments.map(addressOf)
    const scratch = step.scratch.length
    return [...before, { kernel, nodes, function: step.function, addresses, scratch, cost }]
  })
  return {
    steps,
    constants: constants.bytes,
    constantsAddress: constants.address,
    arenaBytes: arena.sizeBytes,
    memoryBytes: arenaAddress + arena.sizeBytes,
    addressOf,
  }
}

/** Buffers that share one place because each takes over the one before. */
interface Group extends Lifetime {
  readonly members: number[]
  readonly buffer: Buffer
  end: number
}

function groupBuffers(program: Program): Map<number, Group> {
  const last = program.steps.length
  const groups = new Map<number, Group>()
  const groupOf = new Map<number, Group>()
  const add = (buffer: Buffer, start: number) => {
    const group: Group = {
      id: buffer.id,
      bytes: buffer.bytes,
      start,
      end: start,
      members: [buffer.id],
      buffer,
    }
    groups.set(buffer.id, group)
    groupOf.set(buffer.id, group)
  }
  const ends = lastUses(program)
  const kept = new Set(program.inputs.map(({ buffer }) => buffer.id))
  // Inputs stay intact, so that a second run without new inputs computes the same.
  for (const { buffer } of program.inputs) if (!groupOf.has(buffer.id)) add(buffer, -1)
  program.steps.forEach((step, index) => {
    const output = step.writes[0]
    const donor = step.inPlace.find(
      (candidate) =>
        candidate.data === undefined &&
        !kept.has(candidate.id) &&
        ends.get(candidate.id) === index &&
        canTakeOver(candidate, output, step),
    )
    for (const buffer of [...step.writes, ...step.scratch]) {
      if (buffer.data !== undefined || groupOf.has(buffer.id)) continue
      const taken = buffer === output && donor !== undefined ? groupOf.get(donor.id) : undefined
      if (taken === undefined) add(buffer, index)
      else {
        taken.members.push(buffer.id)
        groupOf.set(buffer.id, taken)
      }
    }
  })
  for (const [id, group] of groupOf) group.end = Math.max(group.end, ends.get(id) ?? group.start)
  for (const { buffer } of [...program.inputs, ...program.outputs]) {
    const group = groupOf.get(buffer.id)
    if (group !== undefined) group.end = last
  }
  return groups
}

function canTakeOver(donor: Buffer, output: Buffer | undefined, step: ProgramStep): boolean {
  if (output === undefined || donor.bytes !== output.bytes) return false
  if (!sameLayout(donor.layout, output.layout)) return false
  if (donor.layout.kind !== 'plain' && donor.shape.some((size, i) => size !== output.shape[i]))
    return false
  // A buffer that is also read in another role must not change under the reader.
  const roles = step.reads.filter((buffer) => buffer.id === donor.id).length
  return roles === step.inPlace.filter((buffer) => buffer.id === donor.id).length
}

function lastUses(program: Program): Map<number, number> {
  const ends = new Map<number, number>()
  program.steps.forEach((step, index) => {
    for (const buffer of [...step.reads, ...step.writes, ...step.scratch])
      ends.set(buffer.id, index)
  })
  for (const { buffer } of program.outputs) ends.set(buffer.id, program.steps.length)
  return ends
}

function placeConstants(program: Program) {
  const address = ALIGNMENT
  const addresses = new Map<number, number>()
  let size = 0
  const constants = program.buffers.filter((buffer) => buffer.data !== undefined)
  for (const buffer of constants) {
    addresses.set(buffer.id, address + size)
    size += align(buffer.bytes)
  }
  const bytes = new Uint8Array(size)
  for (const buffer of constants) bytes.set(buffer.data!, addresses.get(buffer.id)! - address)
  return { address, addresses, bytes }
}

// Groups with a halo that share bytes with anything but buffers of their very geometry and place.
function dirtyHalos(
  groups: ReadonlyMap<number, Group>,
  offsets: ReadonlyMap<number, number>,
): Set<number> {
  const all = [...groups.values()]
  const dirty = new Set<number>()
  for (const group of all) {
    if (!hasHalo(group.buffer)) continue
    const start = offsets.get(group.id)!
    const isDirty = all.some((other) => {
      const from = offsets.get(other.id)!
      if (other === group || from >= start + group.bytes || start >= from + other.bytes)
        return false
      return from !== start || !sameGeometry(group.buffer, other.buffer)
    })
    if (isDirty) dirty.add(group.id)
  }
  return dirty
}

function hasHalo({ layout }: Buffer): boolean {
  return layout.kind !== 'plain' && layout.halo.some((size) => size > 0)
}

function sameGeometry(a: Buffer, b: Buffer): boolean {
  return (
    sameLayout(a.layout, b.layout) &&
    a.shape.length === b.shape.length &&
    a.shape.every(
      (size, i) =>
        size === b.shape[i] ||
        (i === 1 && a.layout.kind === 'nhwc' && Math.ceil(size / 4) === Math.ceil(b.shape[i]! / 4)),
    )
  )
}

function clearStep(buffer: Buffer, address: number, clears: Map<string, TileFunction>): PlacedStep {
  const key = `${buffer.shape} ${layoutName(buffer.layout)}`
  const made = clears.get(key) ?? {
    ...clearHaloFunction(buffer.shape, buffer.layout),
    name: `clear${clears.size}`,
  }
  clears.set(key, made)
  return {
    kernel: 'clear halo',
    nodes: [],
    function: made,
    addresses: [address],
    scratch: 0,
    cost: 0,
  }
}
