import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync, gzipSync } from 'node:zlib'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { augmentSample, cropAndFlip } from '../src/data/augment.ts'
import {
  type Batch,
  type BatchOptions,
  batchCount,
  batches,
  type Dataset,
  splitDataset,
  thinned,
} from '../src/data/dataset.ts'
import {
  imageSchema,
  matchDescription,
  parseDescription,
  presetImage,
} from '../src/data/describe.ts'
import { checkSize, openDataset } from '../src/data/open.ts'
import { preprocess } from '../src/data/preprocess.ts'
import { generateImages } from '../src/data/readers/generated.ts'
import { resize } from '../src/data/resize.ts'
import type { ImageSample } from '../src/data/sample.ts'
import { floatData, floats } from '../src/tensor/tensor.ts'
import { DataError, OptionError } from '../src/util/errors.ts'
import { createRandom } from '../src/util/random.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tersor-data-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Makes a folder with files and returns its path. */
function place(name: string, files: Record<string, Uint8Array | string>): string {
  const path = join(folder, name)
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(join(path, file, '..'), { recursive: true })
    writeFileSync(join(path, file), content)
  }
  mkdirSync(path, { recursive: true })
  return path
}

function cifarRecords(labels: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(labels.length * 3073)
  labels.forEach((label, i) => {
    bytes.fill(label * 10, i * 3073, (i + 1) * 3073)
    bytes[i * 3073] = label
  })
  return bytes
}

function idx(shape: readonly number[], data: readonly number[]): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length)
  header.writeUInt32BE(0x0800 + shape.length, 0)
  for (const [i, dim] of shape.entries()) header.writeUInt32BE(dim, 4 + 4 * i)
  return Buffer.concat([header, Buffer.from(data)])
}

function npyFile(descr: string, shape: string, data: ArrayBufferView): Buffer {
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }`.padEnd(117)
  const header = Buffer.from(`\x93NUMPY\x01\x00\x76\x00${text}\n`, 'latin1')
  return Buffer.concat([header, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)])
}

function zip(files: Record<string, Buffer>, method: 0 | 8): Buffer {
  const locals: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [name, content] of Object.entries(files)) {
    const body = method === 8 ? deflateRawSync(content) : content
    const local = Buffer.alloc(30 + name.length)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(name.length, 26)
    local.write(name, 30)
    const entry = Buffer.alloc(46 + name.length)
    entry.writeUInt32LE(0x02014b50, 0)
    entry.writeUInt16LE(method, 10)
    entry.writeUInt32LE(body.length, 20)
    entry.writeUInt32LE(content.length, 24)
    entry.writeUInt16LE(name.length, 28)
    entry.writeUInt32LE(offset, 42)
    entry.write(name, 46)
    locals.push(local, body)
    directory.push(entry)
    offset += local.length + body.length
  }
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(directory.length, 10)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...locals, ...directory, end])
}

const image = (value: number, label = 0): ImageSample => ({
  kind: 'image',
  width: 2,
  height: 2,
  channels: 3,
  pixels: new Uint8Array(12).fill(value),
  label,
})

const counted: Dataset = {
  name: 'counted',
  length: 10,
  labelled: true,
  read: (index) => image(index, index),
}
const raw = presetImage('raw', { shape: [1, 3, 2, 2] })

async function collect(options: Partial<BatchOptions>): Promise<Batch[]> {
  const found: Batch[] = []
  for await (const batch of batches(counted, { batch: 4, description: raw, ...options }))
    found.push(batch)
  return found
}

describe('batches', () => {
  test('stack samples in order and keep, drop or pad the rest', async () => {
    const kept = await collect({})
    expect(kept.map(({ input }) => input.shape)).toEqual([
      [4, 3, 2, 2],
      [4, 3, 2, 2],
      [2, 3, 2, 2],
    ])
    expect([...kept[1]!.labels!]).toEqual([4, 5, 6, 7])
    expect(floatData(kept[1]!.input)[12]).toBe(5)
    expect(await collect({ rest: 'drop' })).toHaveLength(2)
    const [, , padded] = await collect({ rest: 'pad' })
    expect([...padded!.labels!]).toEqual([8, 9, -1, -1])
    expect(floatData(padded!.input)[36]).toBe(9)
    expect(batchCount(counted, { batch: 4 })).toBe(3)
  })

  test('shuffle by seed and epoch, each sample once', async () => {
    const order = async (options: Partial<BatchOptions>) =>
      (await collect(options)).flatMap(({ indices }) => [...indices])
    const first = await order({ seed: 1, epoch: 0 })
    expect(first.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(await order({ seed: 1, epoch: 0 })).toEqual(first)
    expect(await order({ seed: 1, epoch: 1 })).not.toEqual(first)
    expect(await order({ seed: 2, epoch: 0 })).not.toEqual(first)
  })

  test('continue from any batch with the same bytes, augmentation included', async () => {
    const options = { seed: 3, augment: { crop: 1, flip: true } }
    expect(await collect({ ...options, start: 1 })).toEqual((await collect(options)).slice(1))
  })

  test('name the sample whose label is wrong', async () => {
    const wrong: Dataset = { ...counted, classes: ['a', 'b'] }
    const first = batches(wrong, { batch: 4, description: raw }).next()
    await expect(first).rejects.toThrow(/Sample 2 of "counted" has the label 2.*below 2/)
  })

  test('refuse an empty dataset, and samples of several types', async () => {
    const empty = batches({ ...counted, length: 0 }, { batch: 4, description: raw })
    await expect(empty.next()).rejects.toThrow(DataError)
    const mixed: Dataset = {
      ...counted,
      read: (index) => ({
        kind: 'tensor',
        tensor: floats([index + 1], new Float32Array(index + 1)),
        label: 0,
      }),
    }
    const first = batches(mixed, { batch: 2, description: { kind: 'tensor' } }).next()
    await expect(first).rejects.toThrow(/Sample 1 .*float32\[2\].*float32\[1\]/)
  })
})

test('thinned() takes samples from all over, and no more than there are', () => {
  const few = thinned(counted, 4)
  const labels = Array.from({ length: few.length }, (_, i) => (few.read(i) as ImageSample).label)
  expect(labels).toEqual([0, 2, 5, 7])
  expect(thinned(counted, 99).length).toBe(10)
})

test('splitDataset() puts every sample in exactly one part, the same for the same seed', () => {
  const read = ({ train, test: rest }: ReturnType<typeof splitDataset>) =>
    [train, rest].map((part) =>
      Array.from({ length: part.length }, (_, i) => (part.read(i) as ImageSample).label!),
    )
  const [train, rest] = read(splitDataset(counted, { seed: 1, share: 0.9 }))
  expect([train!.length, rest!.length]).toEqual([9, 1])
  expect([...train!, ...rest!].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(read(splitDataset(counted, { seed: 1, share: 0.9 }))).toEqual([train, rest])
})

describe('preprocess()', () => {
  const sample: ImageSample = {
    ...image(0),
    pixels: Uint8Array.of(0, 1, 2, 3, 100, 101, 102, 103, 200, 201, 202, 255),
  }

  test('applies scale, mean and std per channel', () => {
    const { data, shape } = preprocess(sample, presetImage('imagenet', { shape: [1, 3, 2, 2] }))
    expect(shape).toEqual([1, 3, 2, 2])
    expect((data as Float32Array)[0]).toBeCloseTo(-0.485 / 0.229, 6)
    expect((data as Float32Array)[11]).toBeCloseTo((1 - 0.406) / 0.225, 6)
  })

  test('orders colours and axes as described', () => {
    const values = (description: Parameters<typeof preprocess>[1]) => [
      ...(preprocess(sample, description).data as Float32Array),
    ]
    expect(values({ ...raw, colour: 'bgr' })).toEqual([
      200, 201, 202, 255, 100, 101, 102, 103, 0, 1, 2, 3,
    ])
    expect(values({ ...raw, layout: 'nhwc' }).slice(0, 6)).toEqual([0, 100, 200, 1, 101, 201])
    const gray = presetImage('raw', { shape: [1, 1, 2, 2] })
    expect(values(gray)[0]).toBe(Math.floor(0.587 * 100 + 0.114 * 200 + 0.5))
  })

  test('fits other sizes, by stretching or covering', () => {
    const wide: ImageSample = {
      kind: 'image',
      width: 4,
      height: 2,
      channels: 1,
      pixels: Uint8Array.of(0, 10, 20, 30, 0, 10, 20, 30),
    }
    const gray = presetImage('raw', { shape: [1, 1, 2, 2] })
    expect([...floatData(preprocess(wide, gray))]).toEqual([10, 20, 10, 20])
    const [left, right] = floatData(preprocess(wide, { ...gray, fit: 'stretch' }))
    expect(left! + right!).toBe(30)
    expect(left).toBeLessThan(10)
  })

  test('refuses what the description does not speak of', () => {
    expect(() => preprocess(sample, { kind: 'tensor' })).toThrow(DataError)
    expect(() => preprocess({ kind: 'tensor', tensor: floats([1], [0]) }, raw)).toThrow(DataError)
  })
})

test('resize() keeps a constant image constant, larger and smaller', () => {
  for (const [width, height] of [
    [1, 1],
    [3, 5],
    [2, 7],
  ] as const)
    expect(new Set(resize(image(77), { width, height }).pixels)).toEqual(new Set([77]))
})

test('resize() agrees with sharp on a photograph-like image within 2 grey levels on average', async () => {
  const sample = generateImages({ seed: 1, part: 'train', length: 1 }).read(0) as ImageSample
  const plane = sample.pixels.slice(0, 1024)
  const ours = resize({ ...sample, channels: 1, pixels: plane }, { width: 12, height: 9 })
  const theirs = await sharp(plane, { raw: { width: 32, height: 32, channels: 1 } })
    .resize(12, 9, { fit: 'fill', kernel: 'linear' })
    .extractChannel(0)
    .raw()
    .toBuffer()
  const total = ours.pixels.reduce((sum, value, i) => sum + Math.abs(value - theirs[i]!), 0)
  expect(total / ours.pixels.length).toBeLessThan(2)
})

test('augmentSample() only moves and mirrors pixels, and fills with black', () => {
  const pixels = Uint8Array.from({ length: 27 }, (_, i) => i + 1)
  const sample: ImageSample = { kind: 'image', width: 3, height: 3, channels: 3, pixels }
  const random = createRandom(1)
  const seen = new Set<string>()
  for (let i = 0; i < 200; i++) {
    const { pixels: moved } = augmentSample(sample, { crop: 1, flip: true }, random) as ImageSample
    seen.add(moved.join())
    for (let p = 0; p < 9; p++) {
      const [r, g, b] = [moved[p]!, moved[9 + p]!, moved[18 + p]!]
      if (r !== 0) expect([g, b]).toEqual([r + 9, r + 18])
      else expect([g, b]).toEqual([0, 0])
    }
  }
  expect(seen.size).toBe(18)
  expect(() =>
    augmentSample({ kind: 'tensor', tensor: floats([1], [0]) }, cropAndFlip, random),
  ).toThrow(DataError)
})

describe('openDataset()', () => {
  test('reads CIFAR-10 with its official split', async () => {
    const path = place('cifar', {
      'data_batch_1.bin': cifarRecords([1, 2]),
      'data_batch_2.bin': cifarRecords([3]),
      'test_batch.bin': cifarRecords([4]),
    })
    const { train, test: rest, splitRule, preset } = await openDataset(path)
    expect([train.length, rest.length, splitRule, preset]).toEqual([
      3,
      1,
      'the official files',
      'cifar10',
    ])
    expect(await train.read(2)).toMatchObject({ label: 3, width: 32, channels: 3 })
    expect(((await train.read(2)) as ImageSample).pixels[0]).toBe(30)
    await train.close!()
  })

  test('splits CIFAR-10 without a test file, and says so', async () => {
    const labels = Array.from({ length: 10 }, (_, i) => i)
    const path = place('cifar-part', { 'data_batch_1.bin': cifarRecords(labels) })
    const { train, test: rest, splitRule } = await openDataset(path, { seed: 4 })
    expect([train.length, rest.length]).toEqual([9, 1])
    expect(splitRule).toMatch(/test_batch.bin is missing.*90\/10 with seed 4/)
  })

  test('refuses a truncated CIFAR-10 file and a wrong label', async () => {
    const short = place('cifar-short', { 'data_batch_1.bin': cifarRecords([1]).subarray(1) })
    await expect(openDataset(short)).rejects.toThrow(/"data_batch_1.bin" has 3072 bytes.*3073/)
    const wrong = place('cifar-wrong', { 'test_batch.bin': cifarRecords([25, 25]) })
    const { train } = await openDataset(wrong)
    expect(() => train.read(0)).toThrow(/label 25/)
  })

  test.each(['', '.gz'])('reads MNIST idx files%s', async (ending) => {
    const pack = (bytes: Buffer) => (ending === '' ? bytes : gzipSync(bytes))
    const path = place(`mnist${ending}`, {
      [`train-images-idx3-ubyte${ending}`]: pack(idx([2, 2, 1], [1, 2, 3, 4])),
      [`train-labels-idx1-ubyte${ending}`]: pack(idx([2], [7, 8])),
      [`t10k-images-idx3-ubyte${ending}`]: pack(idx([1, 2, 1], [5, 6])),
      [`t10k-labels-idx1-ubyte${ending}`]: pack(idx([1], [9])),
    })
    const { train, test: rest } = await openDataset(path)
    expect(await train.read(1)).toMatchObject({ width: 1, height: 2, channels: 1, label: 8 })
    expect([...((await train.read(1)) as ImageSample).pixels]).toEqual([3, 4])
    expect((await rest.read(0)).label).toBe(9)
  })

  test('refuses a truncated idx file', async () => {
    const bytes = idx([2, 2, 1], [1, 2, 3])
    const path = place('mnist-short', { 'train-images-idx3-ubyte': bytes })
    await expect(openDataset(path)).rejects.toThrow(/has 19 bytes, its header says 20/)
  })

  test('reads class folders and flat folders of pictures', async () => {
    const png = (red: number) =>
      sharp({ create: { width: 6, height: 4, channels: 3, background: { r: red, g: 0, b: 0 } } })
        .png()
        .toBuffer()
    const files = Object.fromEntries(
      await Promise.all(
        Array.from({ length: 10 }, async (_, i) => [
          `${i % 2 ? 'cat' : 'dog'}/${i}.png`,
          await png(i),
        ]),
      ),
    )
    const { train, splitRule } = await openDataset(place('classes', files))
    expect([train.length, train.labelled, train.classes]).toEqual([9, true, ['cat', 'dog']])
    expect(splitRule).toMatch(/90\/10/)
    const sample = (await train.read(0)) as ImageSample
    expect(sample).toMatchObject({ width: 6, height: 4, channels: 3 })
    expect(train.classes![sample.label!]).toBe(sample.pixels[0]! % 2 ? 'cat' : 'dog')

    const flat = await openDataset(place('flat', { 'a.png': await png(1), 'b.png': await png(2) }))
    expect(flat.train.labelled).toBe(false)
    const broken = await openDataset(
      place('broken', { 'a.png': 'no picture', 'b.png': 'nor this' }),
    )
    await expect(broken.train.read(0)).rejects.toThrow(/Cannot read the picture .*\.png/)
  })

  test.each([0, 8] as const)(
    'reads npz with method %i, and uint8 arrays as images',
    async (method) => {
      const x = npyFile(
        '|u1',
        '2, 2, 1, 3',
        Uint8Array.from({ length: 12 }, (_, i) => i),
      )
      const y = npyFile('<i8', '2,', BigInt64Array.of(3n, 4n))
      const path = join(
        place('arrays', { [`${method}.npz`]: zip({ 'x.npy': x, 'y.npy': y }, method) }),
        `${method}.npz`,
      )
      const { train, test: rest } = await openDataset(path)
      const all = [...(await read(train)), ...(await read(rest))] as ImageSample[]
      const second = all.find(({ label }) => label === 4)!
      expect(second).toMatchObject({ kind: 'image', width: 1, height: 2 })
      expect([...second.pixels]).toEqual([6, 9, 7, 10, 8, 11])
    },
  )

  test('reads npy floats as tensors, and refuses a file that claims more than it has', async () => {
    const path = place('npy', {
      'good.npy': npyFile('<f4', '3, 2', Float32Array.of(1, 2, 3, 4, 5, 6)),
      'bad.npy': npyFile('<f4', '1152921504606846976,', Float32Array.of(1)),
      'big.npy': npyFile('>f4', '1,', Float32Array.of(1)),
    })
    const { train } = await openDataset(join(path, 'good.npy'))
    expect(train.labelled).toBe(false)
    expect(await train.read(0)).toMatchObject({ kind: 'tensor', tensor: { shape: [2] } })
    await expect(openDataset(join(path, 'bad.npy'))).rejects.toThrow(/its header says .* it has 4/)
    await expect(openDataset(join(path, 'big.npy'))).rejects.toThrow(/big-endian/)
  })

  test('reads the samples that a module yields', async () => {
    const path = place('modules', {
      'good.mjs': `export const classes = ['even', 'odd']
        export async function* samples() {
          for (let i = 0; i < 10; i++) yield { data: Uint8ClampedArray.of(i, 2, 3, 255), width: 1, height: 1, label: i % 2 }
        }`,
      'parts.mjs': `const part = { length: 2, read: (i) => ({ data: Float32Array.of(i, i), shape: [2] }) }
        export const train = part
        export const test = part`,
      'bad.mjs': 'export const samples = [{ data: [1, 2] }]',
    })
    const { train } = await openDataset(join(path, 'good.mjs'))
    expect([train.length, train.labelled, train.classes]).toEqual([9, true, ['even', 'odd']])
    const sample = (await train.read(0)) as ImageSample
    expect(sample.pixels[0]! % 2).toBe(sample.label)
    const parts = await openDataset(join(path, 'parts.mjs'))
    expect(await parts.test.read(1)).toEqual({ kind: 'tensor', tensor: floats([2], [1, 1]) })
    await expect(openDataset(join(path, 'bad.mjs'))).rejects.toThrow(/sample 0: expected/)
  })

  test('draws the generated set the same for the same seed', async () => {
    const [a, b, c] = [
      await openDataset('generated:5'),
      await openDataset('generated:5'),
      await openDataset('generated:6'),
    ]
    expect(await a.train.read(3)).toEqual(await b.train.read(3))
    expect(await a.train.read(3)).not.toEqual(await c.train.read(3))
    expect(await a.train.read(3)).not.toEqual(await a.test.read(3))
    expect(a.train.classes).toHaveLength(10)
    await expect(openDataset('generated:x')).rejects.toThrow(OptionError)
  })

  test('says what it expected and what it found', async () => {
    await expect(openDataset(join(folder, 'nowhere'))).rejects.toThrow(/no such file or folder/)
    await expect(openDataset(place('empty', {}))).rejects.toThrow(
      /an empty folder; expected one of: .*CIFAR-10/,
    )
    const path = place('other', { 'notes.txt': 'x' })
    await expect(openDataset(path)).rejects.toThrow(/a folder with notes.txt/)
    await expect(openDataset(join(path, 'notes.txt'))).rejects.toThrow(/a file of another kind/)
  })
})

async function read(dataset: Dataset) {
  return Promise.all(Array.from({ length: dataset.length }, (_, i) => dataset.read(i)))
}

test('checkSize() refuses data of another size than the input', () => {
  const dataset = generateImages({ seed: 1, part: 'test', length: 4 })
  expect(() => checkSize(dataset, presetImage('unit', { shape: [1, 3, 32, 32] }))).not.toThrow()
  expect(() => checkSize(dataset, presetImage('unit', { shape: [1, 3, 224, 224] }))).toThrow(
    /"generated test" are 32×32, the input takes 224×224/,
  )
})

describe('input descriptions', () => {
  const description = {
    inputs: { image: presetImage('imagenet-bgr', { shape: [1, 3, 8, 8] }) },
    outputs: { logits: { kind: 'logits' as const } },
  }

  test('survive input.json', () => {
    expect(parseDescription(JSON.stringify(description))).toEqual({ format: 1, ...description })
  })

  test('name the field that is wrong', () => {
    const wrong = { ...description.inputs.image, mean: [1] }
    const text = JSON.stringify({ inputs: { image: wrong }, outputs: {} })
    expect(() => parseDescription(text)).toThrow(
      /expected 3 values.*found 1[\s\S]*inputs\.image\.mean/,
    )
    expect(() => parseDescription('{')).toThrow(/input.json is not JSON/)
    expect(imageSchema.safeParse({ ...description.inputs.image, extra: 1 }).success).toBe(false)
  })

  test('presets refuse shapes and names they do not fit', () => {
    expect(() => presetImage('cifar', { shape: [1, 3, 8, 8] })).toThrow(/did you mean "cifar10"/)
    expect(() => presetImage('mnist', { shape: [1, 3, 8, 8] })).toThrow(/1 channels.*has 3/)
    expect(() => presetImage('unit', { shape: [1, 7, 8, 8] })).toThrow(/not an image's/)
    expect(presetImage('unit', { shape: [1, 8, 8, 3] }).layout).toBe('nhwc')
  })

  test('are held against the model', () => {
    const full = parseDescription(JSON.stringify(description))
    const model = { inputs: { image: ['n', 3, 8, 8] }, outputs: { logits: [1, 10] } }
    expect(() => matchDescription(full, model)).not.toThrow()
    const named = { ...model, inputs: { images: ['n', 3, 8, 8] } }
    expect(() => matchDescription(full, named)).toThrow(/"image".*did you mean "images"/)
    const larger = { ...model, inputs: { image: ['n', 3, 9, 8] } }
    expect(() => matchDescription(full, larger)).toThrow(
      /\[n, 3, 8, 8\], the model takes \[n, 3, 9, 8\]/,
    )
  })
})
