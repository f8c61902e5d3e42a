// A path → a dataset: finds the format, or says what was expected and what was found.
import { readdir, stat } from 'node:fs/promises'
import { DataError } from '../util/errors.ts'
import type { Dataset } from './dataset.ts'
import type { InputDescription } from './describe.ts'
import { readers } from './readers/index.ts'
import type { OpenedData, OpenOptions, Place } from './readers/reader.ts'

/**
 * Opens data for training and testing: a CIFAR-10 or MNIST folder, a folder of images, an npy or
 * npz file, a JavaScript module, or `generated`. Throws DataError when nothing fits.
 * @example
 * const { train, test } = await openDataset('data/cifar-10-batches-bin')
 */
export async function openDataset(path: string, options: OpenOptions = {}): Promise<OpenedData> {
  const place = await look(path)
  const reader = readers.find((candidate) => candidate.matches(place))
  if (reader === undefined)
    throw new DataError(`Cannot open "${path}" as data: ${nothingFits(place)}`)
  const opened = await reader.open(place, { ...options, seed: options.seed ?? 0 })
  if (opened.train.length + opened.test.length === 0)
    throw new DataError(`The data "${path}" (${opened.format}) has no samples`)
  return opened
}

/** Throws DataError when a dataset's images all have another size than a description asks for. */
export function checkSize(dataset: Dataset, description: InputDescription): void {
  const { size } = dataset
  if (size === undefined || description.kind !== 'image') return
  if (size.width === description.width && size.height === description.height) return
  throw new DataError(
    `The images of "${dataset.name}" are ${size.width}×${size.height}, the input takes ${description.width}×${description.height}; use data of that size, or a folder of pictures, which are resized`,
  )
}

async function look(path: string): Promise<Place> {
  const facts = await stat(path).catch(() => undefined)
  if (facts === undefined) return { path, kind: 'none', entries: [] }
  if (!facts.isDirectory()) return { path, kind: 'file', entries: [] }
  const entries = (await readdir(path)).filter((name) => !name.startsWith('.')).sort()
  return { path, kind: 'folder', entries }
}

function nothingFits({ kind, entries }: Place): string {
  const expected = readers.map((reader) => reader.expects).join('; ')
  const found =
    kind === 'none'
      ? 'no such file or folder'
      : kind === 'file'
        ? 'a file of another kind'
        : entries.length === 0
          ? 'an empty folder'
          : `a folder with ${entries.slice(0, 4).join(', ')}${entries.length > 4 ? ` and ${entries.length - 4} more` : ''}`
  return `found ${found}; expected one of: ${expected}`
}
