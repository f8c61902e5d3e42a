// The command line on files: what it writes, what it refuses, and that a refusal writes nothing.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { commands } from '../../src/cli/commands/index.ts'
import { runProgram } from '../../src/cli/program.ts'
import { readOnnxFile, writeOnnxFile } from '../../src/onnx/file.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { resnetCifar } from '../../src/zoo/resnet-cifar.ts'
import { capturePrinted } from '../support/terminal.ts'

let folder = ''
let model = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tersor-cli-'))
  model = join(folder, 'net.onnx')
  const net = resnetCifar({ widths: [4, 8], seed: 3 })
  writeOnnxFile(model, net)
  const broken = { ...net, weights: net.weights.copy() }
  broken.weights.set('logits.bias', floats([10], new Float32Array(10).fill(Number.NaN)))
  writeOnnxFile(join(folder, 'nan.onnx'), broken)
  writeFileSync(join(folder, 'short.onnx'), readFileSync(model).subarray(0, 900))
  mkdirSync(join(folder, 'empty'))
})
afterAll(() => rmSync(folder, { recursive: true }))
const printed = capturePrinted()

const run = (...words: string[]) =>
  runProgram(commands, words, { version: '0.0.0', signal: new AbortController().signal })

describe('tersor', () => {
  it('inspects: every layer with its units', async () => {
    expect(await run('inspect', model, '--json')).toBe(0)
    const facts = JSON.parse(printed.out)
    const names = facts.layers.map((layer: { name: string }) => layer.name)
    expect(names).toContain('stage1.block1.conv1')
    // 3·4·9 stem; 4·4·9 + 4·4·9; 4·8·9 + 8·8·9 + 4·8 shortcut; 8·10 + 10; 4 per BatchNorm channel
    const norms = 4 * (4 + 4 + 4 + 8 + 8 + 8)
    expect(facts.parameters).toBe(108 + 288 + 288 + 576 + 32 + 90 + norms)
  })

  it('simplifies into a model that reads back, and never over its input', async () => {
    const simple = join(folder, 'simple.onnx')
    expect(await run('simplify', model, '--out', simple)).toBe(0)
    expect(readOnnxFile(simple).graph.outputs.map(({ name }) => name)).toEqual(['logits'])
    const before = readFileSync(model)
    expect(await run('simplify', model, '--out', model)).toBe(2)
    expect(readFileSync(model).equals(before)).toBe(true)
  })

  it('compiles a bundle that says the same as the model', async () => {
    const bundle = join(folder, 'net.tersor')
    expect([await run('compile', model, '--preset', 'unit', '--out', bundle), printed.err]).toEqual(
      [0, ''],
    )
    printed.out = ''
    const same = ['--data', 'generated', '--preset', 'unit', '--samples', '40']
    expect(await run('eval', bundle, '--reference', model, ...same, '--json')).toBe(0)
    expect(JSON.parse(printed.out)).toMatchObject({ kind: 'agreement', value: 1, samples: 40 })
  })

  it.each([
    ['a truncated model', 3, /not a complete ONNX file/, () => [join(folder, 'short.onnx')]],
    ['NaN weights', 3, /"logits.bias" holds NaN/, () => [join(folder, 'nan.onnx')]],
    ['a missing model', 3, /Cannot open/, () => [join(folder, 'none.onnx')]],
    ['an empty data folder', 3, /empty folder/, () => [model, '--data', join(folder, 'empty')]],
    ['an unknown preset', 2, /did you mean "unit"/, () => [model, '--preset', 'unti']],
    ['an unknown option', 2, /did you mean --speedup/, () => [model, '--spedup', '2']],
    ['two goals', 2, /not both/, () => [model, '--speedup', '2', '--latency', '1']],
    ['no description', 2, /give --preset/, () => [model]],
  ])('refuses %s with exit code %i, one message, and no file', async (_, code, message, words) => {
    const before = readdirSync(folder)
    const given = words()
    expect(await run(...given, '--out', join(folder, 'result'))).toBe(code)
    expect(printed.err).toMatch(message)
    expect(printed.out).toBe('')
    expect(readdirSync(folder)).toEqual(before)
  })
})
