// A JavaScript module that yields samples: for every format that we do not read.
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Tensor, TensorData } from '../../tensor/tensor.ts'
import { DataError } from '../../util/errors.ts'
import { type Dataset, splitDataset } from '../dataset.ts'
import type { Sample } from '../sample.ts'
import type { OpenedData, Reader } from './reader.ts'

/**
 * What a module exports: `train` and `test`, or one `samples`; each an object with `length` and
 * `read(index)` (streamed), or an iterable, sync or async, or a function that returns one (held in
 * memory). A sample is `{ data, shape, label? }` with a typed array, or `{ data, width, height,
 * label? }` with interleaved 8-bit gray, RGB or RGBA pixels, as ImageData has them. `classes` may
 * name the labels.
 */
export const moduleSamples: Reader = {
  format: 'module',
  expects: 'a JavaScript module (.js, .mjs, .ts) that exports samples',
  matches: ({ kind, path }) => kind === 'file' && /\.[mc]?[jt]s$/.test(path),
  open: async ({ path }, { seed }): Promise<OpenedData> => {
    const exported = await importFrom(path)
    const classes = exported.classes as readonly string[] | undefined
    const part = (name: string) => datasetOf(`${path} ${name}`, exported[name], classes)
    if (exported.train !== undefined && exported.test !== undefined) {
      const [train, test] = [await part('train'), await part('test')]
      return { format: 'module', train, test, splitRule: 'the exports train and test' }
    }
    const name = ['samples', 'default'].find((key) => exported[key] !== undefined)
    if (name === undefined)
      throw new DataError(
        `"${path}" exports ${Object.keys(exported).join(', ') || 'nothing'}; expected samples, or train and test`,
      )
    const halves = splitDataset(await part(name), { seed, share: 0.9 })
    return { format: 'module', ...halves, splitRule: `split 90/10 with seed ${seed}` }
  },
}

interface RawSample {
  readonly data?: unknown
  readonly shape?: unknown
  readonly width?: unknown
  readonly height?: unknown
  readonly label?: unknown
}

interface Indexed {
  readonly length: number
  read(index: number): RawSample | Promise<RawSample>
}

async function importFrom(path: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(resolve(path)).href)) as Record<string, unknown>
  } catch (error) {
    throw new DataError(`The module "${path}" cannot be loaded: ${(error as Error).message}`)
  }
}

async function datasetOf(
  name: string,
  exported: unknown,
  classes: readonly string[] | undefined,
): Promise<Dataset> {
  const source = typeof exported === 'function' ? await exported() : exported
  const indexed = isIndexed(source) ? source : await collect(name, source)
  const first =
    indexed.length === 0 ? undefined : sampleOf(await indexed.read(0), `${name}, sample 0`)
  return {
    name,
    length: indexed.length,
    labelled: first?.label !== undefined,
    ...(classes && { classes }),
    read: async (index) => sampleOf(await indexed.read(index), `${name}, sample ${index}`),
  }
}

function isIndexed(source: unknown): source is Indexed {
  const { length, read } = (source ?? {}) as Partial<Indexed>
  return Number.isInteger(length) && typeof read === 'function'
}

async function collect(name: string, source: unknown): Promise<Indexed> {
  const iterable = source as AsyncIterable<RawSample> & Iterable<RawSample>
  const canIterate = iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator]
  if (typeof canIterate !== 'function')
    throw new DataError(`"${name}" is neither { length, read(index) } nor iterable`)
  const samples: RawSample[] = []
  for await (const sample of iterable) samples.push(sample)
  return { length: samples.length, read: (index) => samples[index]! }
}

function sampleOf(raw: RawSample, where: string): Sample {
  const { data, shape, width, height } = raw ?? {}
  const label = raw?.label === undefined ? {} : { label: Number(raw.label) }
  if (ArrayBuffer.isView(data) && Array.isArray(shape)) {
    const tensor = tensorOf(data as unknown as TensorData, shape as number[], where)
    return { kind: 'tensor', tensor, ...label }
  }
  if (ArrayBuffer.isView(data) && Number.isInteger(width) && Number.isInteger(height)) {
    const size = { width: width as number, height: height as number }
    return { ...imageOf(data as Uint8Array, size, where), ...label }
  }
  throw new DataError(
    `${where}: expected { data, shape } or { data, width, height } with a typed array`,
  )
}

function tensorOf(data: TensorData, shape: readonly number[], where: string): Tensor {
  const name = data.constructor.name.replace('Array', '').replace('Clamped', '').toLowerCase()
  const dtype = name.startsWith('big') ? name.slice(3) : name
  const size = shape.reduce((product, dim) => product * dim, 1)
  if (data.length !== size)
    throw new DataError(
      `${where}: ${data.length} values for the shape [${shape}]; expected ${size}`,
    )
  return { dtype: dtype as Tensor['dtype'], shape, data }
}

function imageOf(
  data: Uint8Array,
  { width, height }: { width: number; height: number },
  where: string,
): Extract<Sample, { kind: 'image' }> {
  const area = width * height
  const channels = data.length / area
  if (![1, 3, 4].includes(channels))
    throw new DataError(
      `${where}: ${data.length} bytes for ${width}×${height} pixels; expected 1, 3 or 4 bytes a pixel`,
    )
  const planes = channels === 1 ? 1 : 3
  const pixels = new Uint8Array(planes * area)
  for (let c = 0; c < planes; c++)
    for (let p = 0; p < area; p++) pixels[c * area + p] = data[p * channels + c]!
  return { kind: 'image', width, height, channels: planes, pixels }
}
