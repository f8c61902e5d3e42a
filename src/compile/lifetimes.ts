// How long buffers live, and which may take over the place of another. Loops make lives longer.
import { sameLayout } from './layout.ts'
import type { Lifetime } from './memory.ts'
import {
  type Buffer,
  type KernelStep,
  loopSpans,
  type Program,
  type ProgramStep,
  type Span,
} from './program.ts'

/** Buffers that share one place because each takes over the one before. */
export interface Group extends Lifetime {
  /** Ids of its buffers. */
  readonly members: number[]
  /** The first of them. */
  readonly buffer: Buffer
  start: number
  end: number
}

/** Returns the groups of a program by id; buffers in `resident` have a place already. */
export function groupBuffers(
  program: Program,
  resident: ReadonlyMap<number, number>,
): Map<number, Group> {
  const last = program.steps.length
  const loops = loopSpans(program.steps)
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
  const ends = lastUses(program, loops)
  const kept = new Set(program.inputs.map(({ buffer }) => buffer.id))
  // Inputs stay intact, so that a second run without new inputs computes the same.
  for (const { buffer } of program.inputs)
    if (!groupOf.has(buffer.id) && !resident.has(buffer.id)) add(buffer, -1)
  program.steps.forEach((step, index) => {
    const output = step.writes[0]
    const { inPlace, scratch } = step.kind === 'kernel' ? step : NONE
    const donor = inPlace.find(
      (candidate) =>
        candidate.data === undefined &&
        !kept.has(candidate.id) &&
        ends.get(candidate.id) === index &&
        canTakeOver(candidate, output, step),
    )
    for (const buffer of [...step.writes, ...scratch]) {
      const isPlaced = buffer.data !== undefined || resident.has(buffer.id)
      if (isPlaced || groupOf.has(buffer.id)) continue
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
  // What leaves a loop must outlive its other turns, from their beginning.
  for (const group of groups.values())
    for (const { start, end } of loops)
      if (group.start > start && group.start < end && group.end > end) group.start = start
  return groups
}

const NONE: Pick<KernelStep, 'inPlace' | 'scratch'> = { inPlace: [], scratch: [] }

function canTakeOver(donor: Buffer, output: Buffer | undefined, step: ProgramStep): boolean {
  if (output === undefined || step.kind !== 'kernel' || donor.bytes !== output.bytes) return false
  if (!sameLayout(donor.layout, output.layout)) return false
  if (donor.layout.kind !== 'plain' && donor.shape.some((size, i) => size !== output.shape[i]))
    return false
  // A buffer that is also read in another role must not change under the reader.
  const roles = step.reads.filter((buffer) => buffer.id === donor.id).length
  return roles === step.inPlace.filter((buffer) => buffer.id === donor.id).length
}

function lastUses(program: Program, loops: readonly Span[]): Map<number, number> {
  const starts = new Map<number, number>()
  const ends = new Map<number, number>()
  program.steps.forEach((step, index) => {
    const scratch = step.kind === 'kernel' ? step.scratch : []
    for (const { id } of [...step.reads, ...step.writes, ...scratch]) {
      if (!starts.has(id)) starts.set(id, index)
      ends.set(id, index)
    }
  })
  for (const { buffer } of program.inputs) starts.set(buffer.id, -1)
  for (const { buffer } of program.outputs) ends.set(buffer.id, program.steps.length)
  // What comes into a loop from outside is read again in its next turn.
  for (const { start, end } of loops)
    for (const [id, last] of ends)
      if (last > start && last < end && starts.get(id)! <= start) ends.set(id, end)
  return ends
}
