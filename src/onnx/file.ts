// Models as files (Node only): external data read in ranges inside the model's folder, written atomically.

import {
  closeSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { create } from '@bufbuild/protobuf'
import type { Model } from '../ir/graph.ts'
import { sizeOf, bytesPerElement as width } from '../tensor/tensor.ts'
import { ModelError } from '../util/errors.ts'
import {
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
} from './generated/onnx_pb.ts'
import { readOnnx } from './read.ts'
import { bytesOf, codeOf, type ExternalReader } from './tensor.ts'
import { writeOnnx } from './write.ts'

/** Largest message protobuf can hold. */
const FILE_LIMIT = 2 ** 31 - 1
/** Constants above this size move out of a model that needs external data (ONNX's own default). */
const EXTERNAL_BYTES = 1024
/** Alignment of external data: a page, so that readers can map it (ONNX's recommendation). */
const PAGE = 4096

/** Returns the model in a file; external data is read when a weight is first used. */
export function readOnnxFile(path: string): Model {
  let bytes: Uint8Array
  try {
    const { size } = statSync(path)
    if (size > FILE_LIMIT)
      throw new ModelError(`${path}: ${size} bytes are more than one ONNX file can hold`)
    bytes = readFileSync(path)
  } catch (error) {
    if (error instanceof ModelError) throw error
    throw new ModelError(`Cannot open "${path}": ${(error as Error).message}`)
  }
  return readOnnx(bytes, { name: path, external: externalReader(dirname(path)) })
}

// Files stay open: a weight not read yet must survive the file being replaced.
function externalReader(folder: string): ExternalReader {
  const open = new Map<string, { file: number; size: number }>()
  return (location, offset, length) => {
    let entry = open.get(location)
    if (entry === undefined) {
      const file = openInside(folder, location)
      entry = { file, size: fstatSync(file).size }
      open.set(location, entry)
    }
    const count = length ?? entry.size - offset
    if (count < 0 || offset + count > entry.size)
      throw new ModelError(
        `Cannot read "${location}": bytes ${offset} to ${offset + count} are outside its ${entry.size} bytes`,
      )
    const { file } = entry
    return () => readRange(file, offset, count)
  }
}

function openInside(folder: string, location: string): number {
  const refuse = (why: string): never => {
    throw new ModelError(`Cannot read external data "${location}": ${why}`)
  }
  const isInside = (root: string, path: string) => {
    const way = relative(root, path)
    return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
  }
  if (location.includes('\0') || location.includes('\\')) refuse('not a portable file name')
  if (
    isAbsolute(location) ||
    location.split('/').includes('..') ||
    !isInside(folder, resolve(folder, location))
  )
    refuse('it must name a file in the folder of the model')
  try {
    const root = realpathSync(folder)
    const path = realpathSync(join(root, location))
    if (!isInside(root, path)) refuse('it is a link that leaves the folder of the model')
    // Opening a pipe would wait for ever.
    if (!statSync(path).isFile()) refuse('it is not a file')
    return openSync(path, 'r')
  } catch (error) {
    if (error instanceof ModelError) throw error
    return refuse((error as Error).message)
  }
}

function readRange(file: number, offset: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count)
  let done = 0
  while (done < count) {
    const read = readSync(file, bytes, done, Math.min(count - done, 2 ** 30), offset + done)
    if (read === 0) throw new ModelError(`External data ended after ${done} of ${count} bytes`)
    done += read
  }
  return bytes
}

/** How to write a model file. */
export interface WriteFileOptions {
  /** Store weights beside the model from this many bytes on (default 2 GB, the limit of one file). */
  readonly externalAbove?: number
}

/**
 * Writes a model under a temporary name and renames it, so that a crash leaves no half-written
 * file. Larger models get a second file `NAME.onnx.data`.
 */
export function writeOnnxFile(
  path: string,
  model: Model,
  { externalAbove = FILE_LIMIT - 2 ** 24 }: WriteFileOptions = {},
): void {
  const size = model.graph.constants
    .filter(({ dtype }) => dtype !== 'string')
    .reduce((sum, { dtype, shape }) => sum + sizeOf(shape) * width(dtype), 0)
  const temporary = `${path}.${process.pid}.tmp`
  const data = `${temporary}.data`
  try {
    if (size <= externalAbove) writeWhole(temporary, writeOnnx(model))
    else {
      const location = `${basename(path)}.data`
      const constants = writeExternal(data, model, location)
      writeWhole(temporary, writeOnnx(model, { constant: (name) => constants.get(name) }))
      renameSync(data, join(dirname(path), location))
    }
    renameSync(temporary, path)
  } finally {
    rmSync(temporary, { force: true })
    rmSync(data, { force: true })
  }
}

function writeWhole(path: string, bytes: Uint8Array): void {
  const file = openSync(path, 'w')
  try {
    writeAll(file, bytes)
  } finally {
    closeSync(file)
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(file, bytes, done, Math.min(bytes.length - done, 2 ** 30))
}

// One weight is in memory at a time unless the store holds it already.
function writeExternal(path: string, model: Model, location: string): Map<string, TensorProto> {
  const messages = new Map<string, TensorProto>()
  const file = openSync(path, 'w')
  let offset = 0
  try {
    for (const { name, dtype, shape } of model.graph.constants) {
      if (dtype === 'string' || sizeOf(shape) * width(dtype) < EXTERNAL_BYTES) continue
      const bytes = bytesOf(model.weights.get(name))
      const padding = (PAGE - (offset % PAGE)) % PAGE
      writeAll(file, new Uint8Array(padding))
      writeAll(file, bytes)
      offset += padding
      const entries = { location, offset: String(offset), length: String(bytes.length) }
      messages.set(
        name,
        create(TensorProtoSchema, {
          name,
          dims: shape.map(BigInt),
          dataType: codeOf(dtype),
          dataLocation: TensorProto_DataLocation.EXTERNAL,
          externalData: Object.entries(entries).map(([key, value]) =>
            create(StringStringEntryProtoSchema, { key, value }),
          ),
        }),
      )
      offset += bytes.length
    }
  } finally {
    closeSync(file)
  }
  return messages
}
