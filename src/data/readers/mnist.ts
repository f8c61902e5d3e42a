// MNIST and its relatives (Fashion-MNIST, EMNIST): idx files, gzipped or not.
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { DataError } from '../../util/errors.ts'
import { type Dataset, splitDataset } from '../dataset.ts'
import type { OpenedData, Reader } from './reader.ts'

const imagesName = /images[.-]idx3-ubyte(\.gz)?$/

/** `train-images-idx3-ubyte[.gz]` with its labels, and `t10k-…`. Held unpacked in memory (47 MB for MNIST). */
export const mnist: Reader = {
  format: 'mnist',
  expects: 'a folder with train-images-idx3-ubyte[.gz] and its labels (MNIST idx)',
  matches: ({ entries }) => entries.some((name) => imagesName.test(name)),
  open: async ({ path, entries }, { seed }): Promise<OpenedData> => {
    const images = entries.filter((name) => imagesName.test(name))
    const find = (isTrain: boolean) => images.find((name) => /train/.test(name) === isTrain)
    const part = (name: string | undefined, title: string) =>
      name === undefined ? undefined : openPart(`mnist ${title}`, path, name, entries)
    const train = part(find(true), 'train')
    const test = part(find(false), 'test')
    if (train !== undefined && test !== undefined)
      return { format: 'mnist', train, test, splitRule: 'the official files', preset: 'mnist' }
    const halves = splitDataset((train ?? test)!, { seed, share: 0.9 })
    const splitRule = `only "${images[0]}" is there: split 90/10 with seed ${seed}`
    return { format: 'mnist', ...halves, splitRule, preset: 'mnist' }
  },
}

function openPart(name: string, folder: string, file: string, entries: readonly string[]): Dataset {
  const { shape, data } = readIdx(join(folder, file), 3)
  const [length, height, width] = shape as [number, number, number]
  const wanted = file.replace('images', 'labels').replace('idx3', 'idx1')
  const labelFile = entries.find((entry) => stem(entry) === stem(wanted))
  const labels = labelFile === undefined ? undefined : readIdx(join(folder, labelFile), 1)
  if (labels !== undefined && labels.shape[0] !== length)
    throw new DataError(
      `"${file}" has ${length} images and "${labelFile}" ${labels.shape[0]} labels; expected as many`,
    )
  const area = width * height
  return {
    name,
    length,
    labelled: labels !== undefined,
    size: { width, height },
    variation: { shift: 1 / 14, mirror: false },
    read: (index) => ({
      kind: 'image',
      width,
      height,
      channels: 1,
      pixels: data.subarray(index * area, (index + 1) * area),
      ...(labels && { label: labels.data[index]! }),
    }),
  }
}

const stem = (name: string) => name.replace(/\.gz$/, '')

function readIdx(path: string, rank: number): { shape: number[]; data: Uint8Array } {
  const name = basename(path)
  const raw = readFileSync(path)
  const bytes = raw[0] === 0x1f && raw[1] === 0x8b ? unzip(raw, name) : raw
  if (bytes.length < 4 + 4 * rank || bytes.readUInt32BE(0) !== 0x0800 + rank)
    throw new DataError(`"${name}" is not an idx file of bytes with ${rank} dimensions`)
  const shape = Array.from({ length: rank }, (_, i) => bytes.readUInt32BE(4 + 4 * i))
  const expected = 4 + 4 * rank + shape.reduce((product, dim) => product * dim, 1)
  if (bytes.length !== expected)
    throw new DataError(`"${name}" has ${bytes.length} bytes, its header says ${expected}`)
  return {
    shape,
    data: new Uint8Array(bytes.buffer, bytes.byteOffset + 4 + 4 * rank, expected - 4 - 4 * rank),
  }
}

function unzip(bytes: Buffer, name: string): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: 2 ** 31 })
  } catch (error) {
    throw new DataError(`"${name}" cannot be unzipped: ${(error as Error).message}`)
  }
}
