import { describe, expect, it } from 'vitest'
import { OptionError } from '../../src/util/errors.ts'
import {
  explicitCommand,
  flagsOf,
  fraction,
  number,
  oneOf,
  option,
  parseOptions,
  ratio,
  text,
  toggle,
  untoggle,
} from '../../src/util/options.ts'

const set = {
  speedup: option(ratio().optional(), 'RATIO', 'goal'),
  accuracyDrop: option(fraction().default(0.02), 'FRACTION', 'largest loss'),
  threads: option(number({ min: 1, integer: true }).default(1), 'N', 'threads'),
  target: option(oneOf(['wasm', 'ort-node']).default('wasm'), 'NAME', 'where'),
  out: option(text().optional(), 'DIR', 'folder'),
  labels: untoggle('ignore labels'),
  fma: toggle('relaxed SIMD'),
}

describe('options', () => {
  it('read the same from words and from values', () => {
    const words = parseOptions(set, { speedup: '1.8x', accuracyDrop: '2%', threads: '2' })
    const values = parseOptions(set, { speedup: 1.8, accuracyDrop: 0.02, threads: 2 })
    expect(words).toEqual(values)
    expect(values).toEqual({
      speedup: 1.8,
      accuracyDrop: 0.02,
      threads: 2,
      target: 'wasm',
      out: undefined,
      labels: true,
      fma: false,
    })
  })

  it.each([
    [{ speedup: '0.5' }, /--speedup cannot be "0.5": expected a ratio of at least 1/],
    [{ speedup: 'fast' }, /--speedup cannot be "fast"/],
    [{ accuracyDrop: '200%' }, /--accuracy-drop cannot be "200%"/],
    [{ threads: '1.5' }, /--threads cannot be "1.5": expected a whole number/],
    [{ threads: '0' }, /expected at least 1/],
    [{ threads: '' }, /expected a whole number/],
    [{ sppedup: '2' }, /Unknown option "sppedup"; did you mean "speedup"\?/],
  ])('refuse %o in one line', (given, message) => {
    expect(() => parseOptions(set, given)).toThrow(OptionError)
    expect(() => parseOptions(set, given)).toThrow(message)
  })

  it('name a missing value', () => {
    const strict = { data: option(text(), 'PATH', 'a data folder') }
    expect(() => parseOptions(strict, {})).toThrow('Option --data is missing: a data folder')
  })

  it('become flags with defaults', () => {
    const usages = flagsOf(set).map((flag) => `${flag.usage} ${flag.help}`)
    expect(usages).toContain('--accuracy-drop <FRACTION> largest loss (default: 0.02)')
    expect(usages).toContain('--no-labels ignore labels')
    expect(usages).toContain('--speedup <RATIO> goal')
  })

  it('print the explicit command that repeats a run', () => {
    const options = parseOptions(set, { speedup: '1.8x', out: "it's here", labels: false })
    expect(explicitCommand(['tersor', 'a b.onnx'], set, options)).toBe(
      `tersor 'a b.onnx' --speedup 1.8 --accuracy-drop 0.02 --threads 1 --target wasm --out 'it'\\''s here' --no-labels`,
    )
  })
})
