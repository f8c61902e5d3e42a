import { describe, expect, it } from 'vitest'
import { defineCommand } from '../../src/cli/command.ts'
import { runProgram } from '../../src/cli/program.ts'
import { formatTable, shorten } from '../../src/cli/terminal.ts'
import { CompileError, DataError, ModelError, OptionError } from '../../src/util/errors.ts'
import { number, option, text } from '../../src/util/options.ts'
import { capturePrinted } from '../support/terminal.ts'

const printed = capturePrinted()

const errors: Record<string, Error> = {
  option: new OptionError('bad option'),
  model: new ModelError('bad model'),
  data: new DataError('bad data'),
  compile: new CompileError('bad node'),
  bug: new Error('internal: broken'),
}

const guided = defineCommand({
  name: 'compress',
  summary: 'compress a model',
  arguments: [{ name: 'MODEL', help: 'an ONNX file' }],
  options: { speedup: option(number({ min: 1 }).optional(), 'RATIO', 'goal') },
  example: 'tersor compress model.onnx',
  run: async ([model], { speedup, seed }, terminal) => {
    terminal.emit({ model, speedup, seed })
    terminal.print(`${model} ${speedup} ${seed}`)
    return 4
  },
})

const fail = defineCommand({
  name: 'fail',
  summary: 'throw',
  arguments: [{ name: 'KIND', help: 'which error' }],
  options: { name: option(text().optional(), 'NAME', 'unused') },
  example: 'tersor fail data',
  run: async ([kind]) => {
    throw errors[kind!]!
  },
})

const run = (...words: string[]) =>
  runProgram([guided, fail], words, { version: '1.2.3', signal: new AbortController().signal })

describe('command line', () => {
  it('takes the first command when none is named, and passes its exit code on', async () => {
    expect(await run('model.onnx', '--speedup', '2', '--seed', '7')).toBe(4)
    expect(printed.out).toBe('model.onnx 2 7\n')
  })

  it('prints one JSON document and nothing else with --json', async () => {
    await run('compress', 'model.onnx', '--json')
    expect(JSON.parse(printed.out)).toEqual({ model: 'model.onnx', seed: 0 })
  })

  it.each([
    ['option', 2],
    ['model', 3],
    ['data', 3],
    ['compile', 3],
    ['bug', 1],
  ])('turns a %s error into exit code %i and a message', async (kind, code) => {
    expect(await run('fail', kind)).toBe(code)
    expect(printed.err).toContain(errors[kind]!.message)
    expect(printed.out).toBe('')
  })

  it('suggests the option that was meant', async () => {
    expect(await run('model.onnx', '--speedpu', '2')).toBe(2)
    expect(printed.err).toMatch(/unknown option '--speedpu'; did you mean --speedup\?\n$/)
    expect(printed.err.trim().split('\n')).toHaveLength(1)
  })

  it('suggests the command that was meant', async () => {
    expect(await run('fial')).toBe(2)
    expect(printed.err).toContain('There is no command or model "fial"; did you mean "fail"?')
  })

  it.each([[['compress']], [['fail', 'data', 'more']], [['compress', 'm.onnx', '--seed', 'x']]])(
    'ends %j with exit code 2 and one line',
    async (words) => {
      expect(await run(...words)).toBe(2)
      expect(printed.err.trim().split('\n')).toHaveLength(1)
    },
  )

  it('shows help with an example and exit codes', async () => {
    expect(await run('fail', '--help')).toBe(0)
    expect(printed.out).toContain('Example:\n  tersor fail data')
    printed.out = ''
    expect(await run('--help')).toBe(0)
    expect(printed.out).toContain('4  the goal was missed')
    printed.out = ''
    expect(await run('--version')).toBe(0)
    expect(printed.out).toBe('1.2.3\n')
  })
})

describe('tables', () => {
  it('align columns whatever colours they hold', () => {
    const lines = formatTable(
      ['a', 'n'],
      [
        ['long name', 1],
        ['\u001b[31mx\u001b[39m', 23],
      ],
      [1],
    )
      .split('\n')
      .slice(1)
    expect(lines).toEqual(['long name   1', '\u001b[31mx\u001b[39m          23'])
  })

  it('keep both ends of a shortened name', () => {
    expect(shorten('layer1.block2.conv3.weight', 11)).toBe('layer…eight')
    expect(shorten('short', 11)).toBe('short')
  })
})
