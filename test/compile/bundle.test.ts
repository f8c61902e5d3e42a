import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BundleError, InputError, load } from '@tersor/runtime'
import {
  checkManifest,
  hasRelaxedSimd,
  type ImageDescription,
  parseManifest,
} from '@tersor/runtime/format'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { singleFile, writeBundle, writeSingleFile } from '../../src/compile/bundle.ts'
import { compile } from '../../src/compile/compile.ts'
import { sha256 } from '../../src/compile/sha256.ts'
import { build, conv } from './bundle-harness.ts'

const compiled = compile(build([[1, 3, 6, 5]], (b, x) => b.op('Relu', [conv(b, x, 5)])))
const input = Float32Array.from({ length: 90 }, (_, i) => Math.sin(i))
const expected = async () => (await load(compiled)).run({ x0: input })

/** The file with the code that this engine runs. */
const code = hasRelaxedSimd() ? 'kernels-relaxed.wasm' : 'kernels.wasm'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tersor-bundle-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('bundle', () => {
  it('loads from a folder, a file, a URL, bytes and parts with the same outputs', async () => {
    const path = join(folder, 'bundle')
    const file = join(folder, 'model.tersor')
    await writeBundle(compiled, path)
    await writeSingleFile(compiled, file)
    const reference = await expected()
    for (const source of [path, `${path}/`, new URL(`file://${path}/`), file, singleFile(compiled)])
      expect(await (await load(source)).run({ x0: input })).toEqual(reference)
  })

  it('replaces a bundle that is there and leaves nothing else behind', async () => {
    await writeBundle(compiled, join(folder, 'bundle'))
    await writeBundle(compiled, join(folder, 'bundle'))
    expect(await readdir(folder)).toEqual(['bundle'])
    expect((await readdir(join(folder, 'bundle'))).sort()).toEqual([
      'kernels-relaxed.wasm',
      'kernels.wasm',
      'manifest.json',
      'weights.bin',
    ])
  })

  it.each([code, 'weights.bin', 'manifest.json'])('refuses a truncated %s', async (name) => {
    const path = join(folder, 'bundle')
    await writeBundle(compiled, path)
    const bytes = await readFile(join(path, name))
    await writeFile(join(path, name), bytes.subarray(0, bytes.length - 5))
    await expect(load(path)).rejects.toThrow(BundleError)
  })

  it.each([code, 'weights.bin'])('refuses an altered %s', async (name) => {
    const path = join(folder, 'bundle')
    await writeBundle(compiled, path)
    const bytes = await readFile(join(path, name))
    bytes[bytes.length >> 1]! ^= 1
    await writeFile(join(path, name), bytes)
    await expect(load(path)).rejects.toThrow(/was altered/)
  })

  describe('with two codes', () => {
    const choose = (relaxed: boolean) => vi.spyOn(WebAssembly, 'validate').mockReturnValue(relaxed)
    afterEach(() => {
      vi.restoreAllMocks()
    })

    it('loads only the code that the engine runs best', async () => {
      const path = join(folder, 'bundle')
      await writeBundle(compiled, path)
      const { manifest } = compiled
      const files = { true: manifest.relaxed!.file, false: manifest.code.file }
      for (const relaxed of [true, false]) {
        choose(relaxed)
        await rm(join(path, files[`${relaxed}`]))
        await expect(load(path)).rejects.toThrow(files[`${relaxed}`])
        await writeBundle(compiled, path)
      }
    })

    it('chooses alike in a folder, a single file, and parts', async () => {
      const path = join(folder, 'bundle')
      await writeBundle(compiled, path)
      choose(false)
      const reference = await (await load({ ...compiled, relaxed: new Uint8Array() })).run({
        x0: input,
      })
      for (const source of [path, singleFile(compiled)])
        expect(await (await load(source)).run({ x0: input })).toEqual(reference)
      choose(true)
      const altered = compiled.relaxed!.map((byte, i) => (i === 40 ? byte ^ 1 : byte))
      for (const source of [
        { ...compiled, relaxed: altered },
        singleFile({ ...compiled, relaxed: altered }),
      ])
        await expect(load(source)).rejects.toThrow(/"kernels-relaxed.wasm" was altered/)
    })

    it('runs bundles that have one code', async () => {
      choose(true)
      const only = compile(
        build([[1, 3, 6, 5]], (b, x) => b.op('Relu', [conv(b, x, 5)])),
        {
          fma: false,
        },
      )
      expect(only.manifest.relaxed).toBeUndefined()
      expect(await (await load(singleFile(only))).run({ x0: input })).toBeDefined()
      const { relaxed: _, ...base } = compiled
      expect(await (await load(base)).run({ x0: input })).toBeDefined()
    })
  })

  it('refuses a missing folder and a truncated single file with one clear error', async () => {
    await expect(load(join(folder, 'nothing'))).rejects.toThrow(/Cannot read ".*manifest.json"/)
    const file = singleFile(compiled)
    for (const length of [0, 3, 15, 16, 200, file.length - 1])
      await expect(load(file.slice(0, length))).rejects.toThrow(BundleError)
  })

  it('never crashes on a single file with a flipped byte', async () => {
    const file = singleFile(compiled)
    const reference = await expected()
    for (let at = 0; at < file.length; at += Math.ceil(file.length / 150)) {
      const flipped = file.slice()
      flipped[at]! ^= 1 + (at % 255)
      try {
        const model = await load(flipped)
        expect(Object.values(await model.run({ [model.inputs[0]!.name]: input }))).toEqual(
          Object.values(reference),
        )
      } catch (error) {
        expect([BundleError, InputError]).toContain((error as Error).constructor)
      }
    }
  })

  it('refuses manifests that reach outside, with the field', () => {
    type Field = { file: string; address: number; shape: number[] }
    type Loose = { version: number; weights: Field; inputs: Field[]; outputs: Field[] }
    const change = (edit: (m: Loose) => void) => {
      const copy = structuredClone(compiled.manifest) as unknown as Loose
      edit(copy)
      return () => checkManifest(copy)
    }
    expect(
      change((m) => {
        m.version = 99
      }),
    ).toThrow(/format version 99/)
    expect(
      change((m) => {
        m.weights.file = '../secret'
      }),
    ).toThrow(/"weights.file"/)
    expect(
      change((m) => {
        m.inputs[0]!.address = 2 ** 30
      }),
    ).toThrow(/"inputs\[0\]" lies outside/)
    expect(
      change((m) => {
        m.outputs[0]!.shape = [2 ** 40]
      }),
    ).toThrow(/lies outside/)
    expect(
      change((m) => {
        m.weights.address = -4
      }),
    ).toThrow(/"weights.address"/)
    expect(
      change((m) => {
        m.outputs = []
      }),
    ).toThrow(/no outputs/)
    expect(() => parseManifest('{')).toThrow(/not JSON/)
  })

  it('names what is wrong with an input', async () => {
    const model = await load(compiled)
    await expect(model.run({})).rejects.toThrow(/"x0" is missing/)
    await expect(model.run({ x0: input, y: input })).rejects.toThrow(/no input "y"/)
    await expect(model.run({ x0: input.slice(1) })).rejects.toThrow(/needs 90 values/)
    await expect(model.run({ x0: new Int32Array(90) })).rejects.toThrow(/float32, found Int32Array/)
    await expect(model.run({ x0: { data: input, shape: [90] } })).rejects.toThrow(/found \[90\]/)
  })

  it('turns pixels into the tensor that the description says', async () => {
    const description: ImageDescription = {
      kind: 'image',
      width: 2,
      height: 2,
      colour: 'bgr',
      layout: 'nchw',
      scale: 1 / 255,
      mean: [0.5, 0, 0],
      std: [0.5, 1, 2],
      fit: 'stretch',
    }
    const identity = compile(
      build([[1, 3, 2, 2]], (b, x) => b.op('Mul', [x, b.scalar(1)])),
      { description: { inputs: { x0: description } } },
    )
    const model = await load(identity)
    const data = Uint8Array.from([255, 0, 51, 255, 255, 0, 51, 0, 255, 0, 51, 255, 255, 0, 51, 9])
    const out = Object.values(await model.run({ x0: { data, width: 2, height: 2 } }))[0]!
    expect(Array.from(out.data as Float32Array, (v) => Math.round(v * 1000) / 1000)).toEqual([
      -0.6, -0.6, -0.6, -0.6, 0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5,
    ])
  })

  it('refuses a description that does not fit the shape, or names no input', () => {
    const model = build([[1, 3, 4, 4]], (b, x) => b.op('Relu', [x]))
    const image = {
      kind: 'image',
      width: 4,
      height: 5,
      colour: 'rgb',
      layout: 'nchw',
      scale: 1,
      mean: [0, 0, 0],
      std: [1, 1, 1],
      fit: 'stretch',
    } as const
    const describe = (inputs: Record<string, ImageDescription>) => () =>
      compile(model, { description: { inputs } })
    expect(describe({ x0: image })).toThrow(/rgb image of 4×5 in nchw: its shape is \[1,3,4,4\]/)
    expect(describe({ x: image })).toThrow(/did you mean "x0"/)
  })

  it('shrinks a larger picture by area, and crops the middle to cover', async () => {
    const base = { kind: 'image', colour: 'gray', layout: 'nchw', scale: 1, mean: [0], std: [1] }
    const at = async (fit: 'stretch' | 'cover') => {
      const description = { ...base, width: 2, height: 2, fit } as ImageDescription
      const model = await load(
        compile(
          build([[1, 1, 2, 2]], (b, x) => b.op('Neg', [x])),
          { description: { inputs: { x0: description } } },
        ),
      )
      const data = Uint8Array.from({ length: 32 }, (_, i) => (i % 8 < 4 ? 0 : 200))
      const out = Object.values(await model.run({ x0: { data, width: 8, height: 4 } }))[0]!
      return Array.from(out.data as Float32Array)
    }
    const stretched = await at('stretch')
    expect(stretched[0]).toBeCloseTo(-stretched[1]! - 200, 3)
    expect(stretched[0]! > stretched[1]!).toBe(true)
    const cropped = await at('cover')
    expect(cropped[0]).toBeCloseTo(cropped[2]!, 5)
    expect(cropped[1]).toBeCloseTo(cropped[3]!, 5)
  })
})

describe('sha256', () => {
  it('equals the published digests', () => {
    const text = (s: string) => sha256(new TextEncoder().encode(s))
    expect(text('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
    expect(text('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    expect(text('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq')).toBe(
      '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
    )
    expect(text('a'.repeat(1_000_000))).toBe(
      'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0',
    )
  })
})
