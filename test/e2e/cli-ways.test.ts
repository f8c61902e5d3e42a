// `tersor compile` with sizes, entries, state, pinned inputs and a cache: what the flags write runs.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from '@tersor/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { commands } from '../../src/cli/commands/index.ts'
import { runProgram } from '../../src/cli/program.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { writeOnnxFile } from '../../src/onnx/file.ts'
import { capturePrinted } from '../support/terminal.ts'

let folder = ''

/** y = x·gain + h and, of it, the largest; x[n, 3]. */
function model() {
  const b = new GraphBuilder()
  const [x, gain] = [b.input('x', 'float32', ['n', 3]), b.input('gain', 'float32', [])]
  const h = b.input('h', 'float32', [1, 3])
  const y = b.op('Add', [b.op('Mul', [x, gain]), h])
  b.output(y, 'y')
  b.output(b.op('ReduceMax', [y, b.ints([0])]), 'next')
  return b.build()
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tersor-ways-'))
  writeOnnxFile(join(folder, 'net.onnx'), model())
})
afterAll(() => rmSync(folder, { recursive: true }))
const printed = capturePrinted()

async function compile(...flags: string[]): Promise<string> {
  const out = join(folder, 'out.tersor')
  const words = ['compile', join(folder, 'net.onnx'), '--out', out, ...flags]
  const signal = new AbortController().signal
  expect(await runProgram(commands, words, { version: '0.0.0', signal }), printed.err).toBe(0)
  return out
}

async function refuse(...flags: string[]): Promise<string> {
  printed.err = ''
  const words = ['compile', join(folder, 'net.onnx'), '--out', join(folder, 'no'), ...flags]
  const signal = new AbortController().signal
  expect(await runProgram(commands, words, { version: '0.0.0', signal })).toBe(2)
  return printed.err
}

describe('tersor compile', () => {
  it('pins inputs, keeps state, takes any size up to a maximum', async () => {
    const flags = ['--fix', 'gain=2', '--state', 'next=h', '--max-size', 'n=4']
    const bundle = await load(await compile(...flags))
    const data = (value: { data: ArrayLike<number | bigint> }) => Array.from(value.data, Number)
    const first = await bundle.run({ x: [1, 2, 3, 3, 2, 1] })
    expect(data(first.y!)).toEqual([2, 4, 6, 6, 4, 2])
    const second = await bundle.run({ x: [1, 1, 1] })
    expect(data(second.y!)).toEqual([8, 6, 8])
    bundle.dispose()
  })

  it('compiles entries', async () => {
    const out = await compile('--entry', 'one:n=1;many:n=..5;peak:n=2,output=next')
    const bundle = await load(out)
    const inputs = { gain: [1], h: [0, 0, 0] }
    expect((await bundle.run({ ...inputs, x: [1, 2, 3] })).y!.shape).toEqual([1, 3])
    const x = new Float32Array(12).fill(7)
    expect((await bundle.run({ ...inputs, x })).y!.shape).toEqual([4, 3])
    const peak = await bundle.run({ ...inputs, x: x.subarray(6) }, { entry: 'peak' })
    expect(Object.keys(peak)).toEqual(['next'])
    bundle.dispose()
  })

  it('says what it cannot read', async () => {
    expect(await refuse('--max-size', 'n')).toContain('--max-size "n": expected NAME=VALUE')
    expect(await refuse('--max-size', 'm=4')).toContain('no such dimension')
    expect(await refuse('--fix', 'gian=2')).toContain('no input "gian"; did you mean "gain"?')
    expect(await refuse('--fix', 'gain=two')).toContain('expected a number')
    expect(await refuse('--entry', 'a b')).toContain('expected NAME:DIM=N')
    expect(await refuse('--prefill', '4')).toContain('for --cache')
    expect(await refuse('--state', 'nxt=h')).toContain('no output "nxt"')
  })
})
