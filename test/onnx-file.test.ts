// Model files: external data stays inside the model's folder, and writing is all or nothing.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readOnnxFile, writeOnnxFile } from '../src/onnx/file.ts'
import { ModelProtoSchema } from '../src/onnx/generated/onnx_pb.ts'
import { floats } from '../src/tensor/tensor.ts'
import { ModelError } from '../src/util/errors.ts'
import { graphOf } from './support/graphs.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tersor-file-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true })
})

const values = Float32Array.of(1, 2, 3)

/** Writes a model whose weight w lies at `location`. */
function modelWith(location: string, { offset = '4', length = '12' } = {}): string {
  const path = join(folder, 'model.onnx')
  const info = { name: 'w' }
  const proto = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [{ domain: '', version: 18n }],
    graph: {
      output: [info],
      initializer: [
        {
          name: 'w',
          dims: [3n],
          dataType: 1,
          dataLocation: 1,
          externalData: Object.entries({ location, offset, length }).map(([key, value]) => ({
            key,
            value,
          })),
        },
      ],
    },
  })
  writeFileSync(path, toBinary(ModelProtoSchema, proto))
  return path
}

const data = () => Buffer.concat([Buffer.alloc(4), Buffer.from(values.buffer)])
const read = (path: string) => readOnnxFile(path).weights.get('w')
/** Faults show when the model is read, before any weight is. */
const open = (path: string) => readOnnxFile(path)

describe('external data', () => {
  it('is read in the range that the model names, also in a folder below', () => {
    mkdirSync(join(folder, 'weights'))
    writeFileSync(join(folder, 'weights/w.bin'), data())
    expect(read(modelWith('weights/w.bin'))).toEqual(floats([3], values))
    expect(read(modelWith('./weights/w.bin'))).toEqual(floats([3], values))
  })

  it.each(['../secret', '/etc/hostname', 'weights/../../secret', '..', '.', 'a\\b', 'a\0b'])(
    'is refused at %j',
    (location) => {
      expect(() => open(modelWith(location))).toThrow(ModelError)
      expect(() => open(modelWith(location))).toThrow(/folder of the model|portable/)
    },
  )

  it('is refused behind a link that leaves the folder', () => {
    const outside = mkdtempSync(join(tmpdir(), 'tersor-outside-'))
    try {
      writeFileSync(join(outside, 'w.bin'), data())
      symlinkSync(join(outside, 'w.bin'), join(folder, 'w.bin'))
      symlinkSync(outside, join(folder, 'sub'))
      expect(() => open(modelWith('w.bin'))).toThrow('link that leaves the folder')
      expect(() => open(modelWith('sub/w.bin'))).toThrow('link that leaves the folder')
    } finally {
      rmSync(outside, { recursive: true })
    }
  })

  it('is refused where it is missing, a folder, too short, or of another size than the shape', () => {
    expect(() => open(modelWith('none.bin'))).toThrow('Cannot read external data "none.bin"')
    mkdirSync(join(folder, 'sub'))
    expect(() => open(modelWith('sub'))).toThrow('not a file')
    writeFileSync(join(folder, 'w.bin'), data().subarray(0, 15))
    expect(() => open(modelWith('w.bin'))).toThrow('outside its 15 bytes')
    expect(() => open(modelWith('w.bin', { length: '8' }))).toThrow('needs 12 bytes')
    expect(() => open(modelWith('w.bin', { offset: '-4' }))).toThrow('offset "-4"')
    expect(() => open(modelWith('w.bin', { offset: '9007199254740991' }))).toThrow('outside its')
  })
})

describe('writing', () => {
  const model = graphOf(`
    input x: float32[1, 1024]
    output y: float32[1, 1024]
    const big: float32[1024]
    const more: float32[1, 1024]
    const small: float32[1]
    a = Add(x, big)
    b = Add(a, more)
    y = Add(b, small)`)

  it('comes back equal, and leaves nothing else behind', () => {
    const path = join(folder, 'a.onnx')
    writeOnnxFile(path, model)
    expect(readOnnxFile(path).weights.get('big')).toEqual(model.weights.get('big'))
    expect(readdirSync(folder)).toEqual(['a.onnx'])
  })

  it('puts weights beside the model above the limit, small ones inside', () => {
    const path = join(folder, 'a.onnx')
    writeOnnxFile(path, model, { externalAbove: 1000 })
    expect(readdirSync(folder).sort()).toEqual(['a.onnx', 'a.onnx.data'])
    expect(readFileSync(path).length).toBeLessThan(1000)
    // The second weight starts on a page.
    expect(readFileSync(`${path}.data`).length).toBe(4096 + 4096)
    const copy = readOnnxFile(path)
    for (const name of ['big', 'more', 'small'])
      expect(copy.weights.get(name)).toEqual(model.weights.get(name))
  })

  it('can replace the files that it still reads from', () => {
    const path = join(folder, 'a.onnx')
    writeOnnxFile(path, model, { externalAbove: 1000 })
    const lazy = readOnnxFile(path)
    const doubled = lazy.weights.copy()
    doubled.set('more', floats([1, 1024], new Float32Array(1024)))
    writeOnnxFile(path, { ...lazy, weights: doubled }, { externalAbove: 1000 })
    expect(readOnnxFile(path).weights.get('big')).toEqual(model.weights.get('big'))
    expect(lazy.weights.get('more')).toEqual(model.weights.get('more'))
  })

  it('leaves an older file alone when it fails', () => {
    const path = join(folder, 'a.onnx')
    writeFileSync(path, 'precious')
    const broken = { ...model, weights: model.weights.copy() }
    broken.weights.delete('big')
    expect(() => writeOnnxFile(path, broken)).toThrow('big')
    expect(readFileSync(path, 'utf8')).toBe('precious')
    expect(readdirSync(folder)).toEqual(['a.onnx'])
    expect(() => writeOnnxFile(join(folder, 'none/a.onnx'), model)).toThrow('none')
    expect(existsSync(join(folder, 'none'))).toBe(false)
  })

  it('says what cannot be opened', () => {
    expect(() => readOnnxFile(join(folder, 'none.onnx'))).toThrow(/Cannot open ".*none\.onnx"/)
    expect(() => readOnnxFile(folder)).toThrow(ModelError)
  })
})
