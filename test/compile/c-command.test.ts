// `tersor compile --target c`: what it writes builds without a warning; what it refuses.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compile } from '../../src/cli/commands/compile.ts'
import { runProgram } from '../../src/cli/program.ts'
import { readOnnxFile, writeOnnxFile } from '../../src/onnx/file.ts'
import { resnetCifar } from '../../src/zoo/resnet-cifar.ts'
import { runReference } from '../support/ort.ts'
import { compilers } from './c-harness.ts'
import { capturePrinted } from '../support/terminal.ts'

let folder = ''
let model = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tersor-c-'))
  model = join(folder, 'net.onnx')
  writeOnnxFile(model, resnetCifar({ widths: [4, 8], seed: 3 }))
})
afterAll(() => rmSync(folder, { recursive: true }))
const printed = capturePrinted()

const run = (...words: string[]) =>
  runProgram([compile], ['compile', model, ...words], {
    version: '0.0.0',
    signal: new AbortController().signal,
  })
const example = new URL('../../examples/c/main.c', import.meta.url).pathname

describe('tersor compile --target c', () => {
  it.skipIf(compilers.length === 0)(
    'writes C that the example runs as ONNX Runtime does',
    async () => {
      const path = join(folder, 'model.c')
      expect([await run('--target', 'c', '--out', path), printed.err]).toEqual([0, ''])
      expect(printed.out).toContain('-std=c99')
      const flags = ['-std=c99', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-O1']
      const program = join(folder, 'program')
      const built = spawnSync(
        compilers[0]!,
        [...flags, '-I', folder, example, path, '-o', program, '-lm'],
        { encoding: 'utf8' },
      )
      expect(built.stderr).toBe('')
      const shown = execFileSync(program, [], { encoding: 'utf8' })
      const found = [...shown.matchAll(/^ {2}(\S+)$/gm)].map(([, value]) => Number(value))
      const image = {
        dtype: 'float32',
        shape: [1, 3, 32, 32],
        data: new Float32Array(3072).fill(0.5),
      } as const
      const { logits } = await runReference(readOnnxFile(model), { image })
      expect(found.length).toBe(10)
      found.forEach((value, i) => expect(value).toBeCloseTo(Number(logits!.data[i]), 4))
    },
  )

  it('writes the weights as a file when asked', async () => {
    const path = join(folder, 'apart', 'net.c')
    expect(await run('--target', 'c', '--weights-file', '--out', path, '--json')).toBe(0)
    expect(readdirSync(join(folder, 'apart')).sort()).toEqual(['net.bin', 'net.c', 'net.h'])
    const { weightBytes, weights } = JSON.parse(printed.out)
    expect(readFileSync(weights).length).toBe(weightBytes)
  })

  it.each([
    ['a folder', /ends in \.c/, ['--target', 'c', '--out', 'folder']],
    ['a name C cannot spell', /call it "x3d_net\.c"/, ['--target', 'c', '--out', '3d-net.c']],
    ['a description', /--preset/, ['--target', 'c', '--preset', 'unit', '--out', 'net.c']],
    ['--weights-file for a bundle', /--target c/, ['--weights-file', '--out', 'net.bundle']],
  ])('refuses %s, and writes nothing', async (_, message, words) => {
    const before = readdirSync(folder)
    const inside = words.map((word, i) => (words[i - 1] === '--out' ? join(folder, word) : word))
    expect(await run(...inside)).toBe(2)
    expect(printed.err).toMatch(message)
    expect(readdirSync(folder)).toEqual(before)
  })
})
