// NumPy arrays: .npy, or .npz with the samples as x (or data, images) and labels as y (or labels).
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { arrayOf, type Dtype, sizeOf, type Tensor } from '../../tensor/tensor.ts'
import { DataError } from '../../util/errors.ts'
import { type Dataset, splitDataset } from '../dataset.ts'
import type { Sample } from '../sample.ts'
import type { OpenedData, Reader } from './reader.ts'
import { readZip } from './zip.ts'

const dtypes: Readonly<Record<string, Exclude<Dtype, 'string'>>> = {
  f2: 'float16',
  f4: 'float32',
  f8: 'float64',
  i1: 'int8',
  i2: 'int16',
  i4: 'int32',
  i8: 'int64',
  u1: 'uint8',
  u2: 'uint16',
  u4: 'uint32',
  u8: 'uint64',
  b1: 'bool',
}

/** The first axis counts samples; uint8 `[n, h, w, c]` or `[n, c, h, w]` with 1 or 3 colours are images. */
export const npy: Reader = {
  format: 'npy',
  expects: 'an .npy or .npz file (samples x, labels y)',
  matches: ({ kind, path }) => kind === 'file' && /\.np[yz]$/.test(path),
  open: async ({ path }, { seed }): Promise<OpenedData> => {
    const name = basename(path)
    const arrays = path.endsWith('.npz') ? readNpz(path) : { x: parseNpy(readFileSync(path), name) }
    const pick = (...names: string[]) => names.map((n) => arrays[n]).find((a) => a !== undefined)
    const part = (suffix: string) => {
      const x = pick(
        ...['x', 'data', 'images', 'arr_0'].map((n) => n + suffix),
        `${suffix.slice(1)}_images`,
      )
      const y = pick(
        ...['y', 'labels', 'arr_1'].map((n) => n + suffix),
        `${suffix.slice(1)}_labels`,
      )
      return x === undefined ? undefined : datasetOf(`${name}${suffix}`, x, y)
    }
    const [train, test] = [part('_train'), part('_test')]
    if (train !== undefined && test !== undefined)
      return { format: 'npy', train, test, splitRule: 'the arrays named train and test' }
    const all = part('')
    if (all === undefined)
      throw new DataError(
        `"${name}" holds ${Object.keys(arrays).join(', ') || 'nothing'}; expected x (and y), or x_train and x_test`,
      )
    const halves = splitDataset(all, { seed, share: 0.9 })
    return { format: 'npy', ...halves, splitRule: `split 90/10 with seed ${seed}` }
  },
}

/** Parses one .npy file. Throws DataError when it is malformed or of a type we do not hold. */
export function parseNpy(bytes: Uint8Array, name: string): Tensor {
  const wrong = (reason: string) => new DataError(`"${name}" cannot be read: ${reason}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isNpy =
    bytes.length >= 12 && view.getUint32(0) === 0x934e554d && view.getUint16(4) === 0x5059
  if (!isNpy) throw wrong('it does not start like an .npy file')
  const isLong = bytes[6]! >= 2
  const start = isLong ? 12 : 10
  const end = start + (isLong ? view.getUint32(8, true) : view.getUint16(8, true))
  const header = new TextDecoder('latin1').decode(bytes.subarray(start, end))
  const descr = /'descr':\s*'([<>|=])(\w\d+)'/.exec(header)
  const shapeText = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1]
  const dtype = dtypes[descr?.[2] ?? '']
  if (dtype === undefined || shapeText === undefined)
    throw wrong(`its header is ${header.trim().slice(0, 80)}; expected a plain numeric array`)
  if (descr![1] === '>') throw wrong('it is big-endian; save it little-endian')
  const shape = (shapeText.match(/\d+/g) ?? []).map(Number)
  const isFortran = /'fortran_order':\s*True/.test(header)
  if (isFortran && shape.length > 1) throw wrong('it is in Fortran order; save it with order C')
  const ArrayType = arrayOf(dtype)
  const size = sizeOf(shape) * ArrayType.BYTES_PER_ELEMENT
  if (bytes.length - end !== size)
    throw wrong(`its header says ${size} bytes of data, it has ${bytes.length - end}`)
  return { dtype, shape, data: new ArrayType(new Uint8Array(bytes.subarray(end)).buffer) }
}

function readNpz(path: string): Record<string, Tensor> {
  const entries = readZip(readFileSync(path), basename(path))
  return Object.fromEntries(
    entries
      .filter(({ name }) => name.endsWith('.npy'))
      .map(({ name, read }) => [name.slice(0, -4), parseNpy(read(), name)]),
  )
}

function datasetOf(name: string, x: Tensor, y: Tensor | undefined): Dataset {
  const [length = 0, ...shape] = x.shape
  if (y !== undefined && y.data.length !== length)
    throw new DataError(
      `"${name}" has ${length} samples and ${y.data.length} labels; expected as many`,
    )
  const image = x.data instanceof Uint8Array && x.dtype === 'uint8' ? imageShape(shape) : undefined
  const size = sizeOf(shape)
  const labelOf = (index: number) => (y === undefined ? {} : { label: Number(y.data[index]) })
  const read = (index: number): Sample => {
    const data = (x.data as Uint8Array).slice(index * size, (index + 1) * size)
    if (image === undefined)
      return { kind: 'tensor', tensor: { dtype: x.dtype, shape, data }, ...labelOf(index) }
    const { channels, width, height, isPlanar } = image
    const pixels = isPlanar ? data : deinterleave(data, channels)
    return { kind: 'image', width, height, channels, pixels, ...labelOf(index) }
  }
  return {
    name,
    length,
    labelled: y !== undefined,
    ...(image && { size: { width: image.width, height: image.height } }),
    read,
  }
}

function imageShape(
  shape: readonly number[],
): { channels: 1 | 3; width: number; height: number; isPlanar: boolean } | undefined {
  const [a, b, c] = shape
  const isColour = (dim: number | undefined): dim is 1 | 3 => dim === 1 || dim === 3
  if (shape.length === 2) return { channels: 1, height: a!, width: b!, isPlanar: true }
  if (shape.length !== 3) return undefined
  if (isColour(a)) return { channels: a, height: b!, width: c!, isPlanar: true }
  return isColour(c) ? { channels: c, height: a!, width: b!, isPlanar: false } : undefined
}

function deinterleave(data: Uint8Array, channels: number): Uint8Array {
  const area = data.length / channels
  const planes = new Uint8Array(data.length)
  for (let c = 0; c < channels; c++)
    for (let p = 0; p < area; p++) planes[c * area + p] = data[p * channels + c]!
  return planes
}
