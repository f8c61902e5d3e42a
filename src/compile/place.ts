// Program → addresses: constants first, then the arena; outputs take over dying inputs where they may.

import { clearHaloFunction } from './kernels/convert.ts'
import { layoutName, sameLayout } from './layout.ts'
import { type Group, groupBuffers } from './lifetimes.ts'
import { ALIGNMENT, align, planArena } from './memory.ts'
import type { Pool } from './pool.ts'
import type {
  Buffer,
  HostOperand,
  HostStep,
  Instruction,
  KernelStep,
  Program,
  ProgramStep,
} from './program.ts'
import type { TileFunction } from './tile/nodes.ts'

/** One call of a kernel with fixed addresses. */
export interface PlacedStep {
  readonly kernel: string
  readonly nodes: readonly string[]
  readonly function: TileFunction
  readonly addresses: readonly number[]
  /** How many addresses, at the end, are of scratch memory. */
  readonly scratch: number
  readonly cost: number
}

/** A call into the host's library with fixed addresses. */
export interface PlacedHost {
  readonly operation: string
  readonly node: string
  readonly attributes: HostStep['attributes']
  readonly inputs: readonly (PlacedOperand | null)[]
  readonly outputs: readonly (PlacedOperand | null)[]
}

/** An operand of a host operation. */
export interface PlacedOperand extends Omit<HostOperand, 'buffer'> {
  readonly address: number
}

/** One way through the program. */
export interface PlacedEntry {
  readonly run: readonly Instruction[]
  addressOf(buffer: Buffer): number
}

/** A program with every buffer at its address. */
export interface PlacedProgram {
  /** Every kernel call of every entry. */
  readonly steps: readonly PlacedStep[]
  readonly entries: readonly PlacedEntry[]
  /** What `host` instructions call, by number. */
  readonly hosts: readonly PlacedHost[]
  /** Bytes of the constant region, which starts at `constantsAddress`. */
  readonly constants: Uint8Array
  readonly constantsAddress: number
  /** Working memory, at the end of the memory: resident state first, then what entries share. */
  readonly arenaBytes: number
  readonly memoryBytes: number
}

/**
 * Gives every buffer an address. Entries share constants, and the inputs named in `resident` (which
 * keep their place between runs); all else of one entry lies over that of the others.
 */
export function placePrograms(
  programs: readonly Program[],
  pool: Pool,
  resident: ReadonlySet<string> = new Set(),
): PlacedProgram {
  const constants = placeConstants(pool)
  const arenaAddress = align(constants.address + constants.bytes.length)
  const kept = placeResident(programs, resident, arenaAddress)
  const made: Made = { steps: [], hosts: [], clears: new Map() }
  let end = kept.end
  const entries = programs.map((program): PlacedEntry => {
    const groups = groupBuffers(program, kept.addresses)
    const arena = planArena([...groups.values()])
    end = Math.max(end, kept.end + arena.sizeBytes)
    const groupOf = new Map<number, number>()
    for (const group of groups.values()) for (const id of group.members) groupOf.set(id, group.id)
    const addressOf = (buffer: Buffer): number =>
      constants.addresses.get(buffer.id) ??
      kept.addresses.get(buffer.id) ??
      kept.end + arena.offsets.get(groupOf.get(buffer.id)!)!
    const dirty = dirtyHalos(groups, arena.offsets)
    // What another entry leaves lies anywhere.
    const isDirty = (buffer: Buffer) =>
      programs.length > 1 ? hasHalo(buffer) : dirty.has(groupOf.get(buffer.id) ?? -1)
    const groupId = (buffer: Buffer) => groupOf.get(buffer.id)!
    return { run: instructionsOf(program, { addressOf, isDirty, groupId }, made), addressOf }
  })
  return {
    steps: made.steps,
    entries,
    hosts: made.hosts,
    constants: constants.bytes,
    constantsAddress: constants.address,
    arenaBytes: end - arenaAddress,
    memoryBytes: end,
  }
}

/** What placing several entries collects. */
interface Made {
  readonly steps: PlacedStep[]
  readonly hosts: PlacedHost[]
  readonly clears: Map<string, TileFunction>
}

interface Places {
  addressOf(buffer: Buffer): number
  isDirty(buffer: Buffer): boolean
  groupId(buffer: Buffer): number
}

function instructionsOf(program: Program, places: Places, made: Made): Instruction[] {
  const { addressOf, isDirty, groupId } = places
  const run: Instruction[] = []
  const call = (step: PlacedStep) => {
    made.steps.push(step)
    const { addresses: args, scratch } = step
    run.push({ kind: 'call', function: step.function.name, args, scratch })
  }
  // What one side of a branch has cleared may be dirty on the other, and after both.
  let cleared = new Set<number>()
  const outside: Set<number>[] = []
  for (const step of program.steps) {
    for (const buffer of step.writes) {
      if (buffer.data !== undefined || !isDirty(buffer) || cleared.has(groupId(buffer))) continue
      cleared.add(groupId(buffer))
      call(clearStep(buffer, addressOf(buffer), made.clears))
    }
    if (step.kind === 'if' || step.kind === 'loop') outside.push(new Set(cleared))
    if (step.kind === 'else') cleared = new Set(outside.at(-1))
    if (step.kind === 'end') cleared = outside.pop()!
    if (step.kind === 'kernel') call(placeStep(step, addressOf))
    else run.push(controlOf(step, addressOf, made.hosts))
  }
  return run
}

function placeStep(step: KernelStep, addressOf: Places['addressOf']): PlacedStep {
  const { kernel, nodes, cost } = step
  const addresses = step.arguments.map(addressOf)
  return { kernel, nodes, function: step.function, addresses, scratch: step.scratch.length, cost }
}

function controlOf(
  step: Exclude<ProgramStep, KernelStep>,
  addressOf: Places['addressOf'],
  hosts: PlacedHost[],
): Instruction {
  switch (step.kind) {
    case 'copy': {
      const { bytes, row } = step
      const [from, to] = [
        addressOf(step.from) + step.fromOffset,
        addressOf(step.to) + step.toOffset,
      ]
      if (row === undefined) return { kind: 'copy', from, to, bytes }
      const { element, ...rest } = row
      const index = addressOf(row.index) + 4 * element
      return { kind: 'copy', from, to, bytes, row: { ...rest, index } }
    }
    case 'if':
      return { kind: 'if', condition: addressOf(step.condition) }
    case 'loop':
      return {
        kind: 'loop',
        trips: addressOf(step.trips),
        counter: addressOf(step.counter),
        ...(step.go && { go: addressOf(step.go) }),
      }
    case 'else':
    case 'end':
      return { kind: step.kind }
    case 'host': {
      const { operation, node, attributes } = step.call
      const place = (operand: HostOperand | null): PlacedOperand | null => {
        if (operand === null) return null
        const { buffer, dtype, shape } = operand
        return { dtype, shape, address: addressOf(buffer) }
      }
      const [inputs, outputs] = [step.call.inputs.map(place), step.call.outputs.map(place)]
      return {
        kind: 'host',
        call: hosts.push({ operation, node, attributes, inputs, outputs }) - 1,
      }
    }
    default:
      return step satisfies never
  }
}

// Inputs of one name are one buffer for all entries.
function placeResident(
  programs: readonly Program[],
  resident: ReadonlySet<string>,
  start: number,
): { addresses: Map<number, number>; end: number } {
  const byName = new Map<string, number>()
  const addresses = new Map<number, number>()
  let end = start
  for (const { inputs } of programs)
    for (const { name, buffer } of inputs) {
      if (!resident.has(name)) continue
      const address = byName.get(name) ?? end
      if (!byName.has(name)) end += align(buffer.bytes)
      byName.set(name, address)
      addresses.set(buffer.id, address)
    }
  return { addresses, end }
}

function placeConstants({ constants }: Pool) {
  const address = ALIGNMENT
  const addresses = new Map<number, number>()
  let size = 0
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
