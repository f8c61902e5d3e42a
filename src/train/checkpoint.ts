// Checkpoint: everything a run needs to continue as if it had never stopped, in one file.
// Layout: "TRSRCKP1", length of a JSON header, header, then float32 data in the header's order.
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { OptionError } from '../util/errors.ts'

/** Tensors by group and name, for example `weights` → `conv1.weight`. */
export type TensorGroups = Readonly<Record<string, Readonly<Record<string, Float32Array>>>>

/** A saved run. */
export interface Checkpoint {
  /** What must be equal for the run to be continued: options, model, data. */
  readonly fingerprint: string
  /** Anything that JSON holds. */
  readonly state: unknown
  readonly tensors: TensorGroups
}

interface Header {
  readonly fingerprint: string
  readonly state: unknown
  readonly tensors: readonly {
    readonly group: string
    readonly name: string
    readonly length: number
  }[]
}

const MAGIC = 'TRSRCKP1'

/** Writes a checkpoint under a temporary name, then renames: a crash leaves the previous one whole. */
export function writeCheckpoint(path: string, { fingerprint, state, tensors }: Checkpoint): void {
  const entries = Object.entries(tensors).flatMap(([group, byName]) =>
    Object.entries(byName).map(([name, data]) => ({ group, name, data })),
  )
  const header: Header = {
    fingerprint,
    state,
    tensors: entries.map(({ group, name, data }) => ({ group, name, length: data.length })),
  }
  const text = Buffer.from(JSON.stringify(header))
  const start = Buffer.alloc(12)
  start.write(MAGIC, 'latin1')
  start.writeUInt32LE(text.length, 8)
  mkdirSync(dirname(path), { recursive: true })
  const temporary = `${path}.partial`
  const file = openSync(temporary, 'w')
  try {
    for (const part of [start, text, ...entries.map(({ data }) => bytesOf(data))])
      for (let at = 0; at < part.length; ) at += writeSync(file, part, at)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
}

/** Returns the checkpoint at `path`, or undefined when there is none. Throws OptionError when it is damaged or of another run. */
export function readCheckpoint(path: string, fingerprint: string): Checkpoint | undefined {
  if (!existsSync(path)) return undefined
  const bytes = readFileSync(path)
  const header = headerOf(path, bytes)
  if (header.fingerprint !== fingerprint)
    throw new OptionError(
      `The checkpoint "${path}" belongs to another run (other model, data or options); delete it or choose another path`,
    )
  const tensors: Record<string, Record<string, Float32Array>> = {}
  let at = 12 + bytes.readUInt32LE(8)
  for (const { group, name, length } of header.tensors) {
    // A copy, because data in a file is not aligned.
    const data = new Uint8Array(bytes.subarray(at, at + 4 * length))
    tensors[group] = { ...tensors[group], [name]: new Float32Array(data.buffer) }
    at += 4 * length
  }
  return { fingerprint, state: header.state, tensors }
}

function headerOf(path: string, bytes: Buffer): Header {
  const damaged = (reason: string) =>
    new OptionError(`The checkpoint "${path}" is damaged (${reason}); delete it to start again`)
  if (bytes.length < 12 || bytes.toString('latin1', 0, 8) !== MAGIC)
    throw damaged('it does not start like one')
  const end = 12 + bytes.readUInt32LE(8)
  if (end > bytes.length) throw damaged('it is truncated')
  let header: Header
  try {
    header = JSON.parse(bytes.toString('utf8', 12, end)) as Header
  } catch (error) {
    throw damaged((error as Error).message)
  }
  const floats = header.tensors.reduce((sum, { length }) => sum + length, 0)
  if (bytes.length !== end + 4 * floats) throw damaged('it is truncated')
  return header
}

function bytesOf(data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
