// Folders of pictures: one folder per class, or a flat folder without labels.
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { DataError } from '../../util/errors.ts'
import { type Dataset, splitDataset } from '../dataset.ts'
import type { ImageSample } from '../sample.ts'
import type { OpenedData, Place, Reader } from './reader.ts'

const isPicture = (name: string) => /\.(jpe?g|png|webp|gif|avif|tiff?)$/i.test(name)

interface Picture {
  readonly path: string
  readonly label?: number
}

/** `class/picture.jpg`, optionally under `train/` and `test/` (or `val/`); or pictures side by side. */
export const imageFolder: Reader = {
  format: 'image-folder',
  expects: 'a folder of pictures, flat or one folder per class',
  matches: ({ kind, path, entries }) =>
    kind === 'folder' &&
    (entries.some(isPicture) || entries.some((entry) => subfolders(path).includes(entry))),
  open: async (place, options): Promise<OpenedData> => {
    const decode = await loadDecoder(options.decodeSize)
    const name = basename(place.path)
    const folders = subfolders(place.path)
    const trainFolder = folders.find((entry) => entry === 'train')
    const testFolder = folders.find((entry) =>
      ['test', 'val', 'valid', 'validation'].includes(entry),
    )
    if (trainFolder !== undefined && testFolder !== undefined) {
      const part = (entry: string) => openPart(`${name} ${entry}`, join(place.path, entry), decode)
      const [train, test] = [part(trainFolder), part(testFolder)]
      if (train.classes?.join() !== test.classes?.join())
        throw new DataError(
          `The classes of "${trainFolder}" (${train.classes?.join(', ')}) and "${testFolder}" (${test.classes?.join(', ')}) differ`,
        )
      return {
        format: 'image-folder',
        train,
        test,
        splitRule: `the folders ${trainFolder} and ${testFolder}`,
      }
    }
    const all = openPart(name, place.path, decode)
    const halves = splitDataset(all, { seed: options.seed, share: 0.9 })
    const splitRule = `split 90/10 with seed ${options.seed}`
    return { format: 'image-folder', ...halves, splitRule }
  },
}

type Decoder = (path: string) => Promise<Omit<ImageSample, 'label'>>

function openPart(name: string, path: string, decode: Decoder): Dataset {
  const { pictures, classes } = list(path)
  if (pictures.length === 0) throw new DataError(`The folder "${path}" holds no pictures`)
  return {
    name,
    length: pictures.length,
    labelled: classes !== undefined,
    ...(classes && { classes }),
    // A folder may hold text or signs: shifting is safe, mirroring is not.
    variation: { shift: 1 / 16, mirror: false },
    read: async (index) => {
      const { path: file, label } = pictures[index]!
      return { ...(await decode(file)), ...(label !== undefined && { label }) }
    },
  }
}

function list(path: string): { pictures: Picture[]; classes?: string[] } {
  const entries = readdirSync(path).sort()
  const flat = entries.filter(isPicture).map((entry) => ({ path: join(path, entry) }))
  if (flat.length > 0) return { pictures: flat }
  const classes = subfolders(path)
  const pictures = classes.flatMap((name, label) =>
    readdirSync(join(path, name))
      .filter(isPicture)
      .sort()
      .map((entry) => ({ path: join(path, name, entry), label })),
  )
  return { pictures, classes }
}

function subfolders(path: Place['path']): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .sort()
}

/** Shorter side that suits most networks; photographs are several times larger and slow to resize. */
const USUAL_SIZE = 512

async function loadDecoder(decodeSize = USUAL_SIZE): Promise<Decoder> {
  const { default: sharp } = await import('sharp').catch((error: Error) => {
    throw new DataError(
      `Reading pictures needs the optional package "sharp", which does not load (${error.message}); install it with: npm install sharp`,
    )
  })
  return async (path) => {
    try {
      const image = sharp(path, { failOn: 'error' }).rotate().flatten().toColourspace('srgb')
      // Twice the size keeps what our own filter needs; the decoder shrinks JPEGs while reading.
      const sized = image.resize({
        width: 2 * decodeSize,
        height: 2 * decodeSize,
        fit: 'outside',
        withoutEnlargement: true,
      })
      const { data, info } = await sized.raw().toBuffer({ resolveWithObject: true })
      return planar(data, info)
    } catch (error) {
      throw new DataError(`Cannot read the picture "${path}": ${(error as Error).message}`)
    }
  }
}

function planar(
  data: Uint8Array,
  { width, height, channels }: { width: number; height: number; channels: number },
): Omit<ImageSample, 'label'> {
  const planes = channels >= 3 ? 3 : 1
  const area = width * height
  const pixels = new Uint8Array(planes * area)
  for (let c = 0; c < planes; c++)
    for (let p = 0; p < area; p++) pixels[c * area + p] = data[p * channels + c]!
  return { kind: 'image', width, height, channels: planes, pixels }
}
