// `tersor demo`: the guided flow on a network and images that come with the package.
import { rmSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { number, option, parseOptions, ratio, text } from '../../util/options.ts'
import { defineCommand } from '../command.ts'
import { compress, compressOptions } from './compress.ts'

/** The command. */
export const demo = defineCommand({
  name: 'demo',
  summary: 'the guided flow on a small network and generated images: needs nothing, takes minutes',
  arguments: [],
  options: {
    speedup: option(ratio().default(2), 'RATIO', 'goal: times faster'),
    epochs: option(
      number({ min: 0 }).default(2),
      'N',
      'passes over the 10,000 images for recovery',
    ),
    threads: option(
      number({ min: 1, integer: true }).default(cpus().length),
      'N',
      'threads of training',
      'all cores',
    ),
    out: option(text().default('demo.tersor'), 'DIR', 'folder to write'),
  },
  example: 'tersor demo',
  run: (_, { seed, json, ...options }, terminal) => {
    const model = fileURLToPath(new URL('../../../assets/demo.onnx', import.meta.url))
    // A demo starts over: it has nothing worth resuming.
    rmSync(`${options.out}/.work`, { recursive: true, force: true })
    const request = parseOptions(compressOptions, { ...options, data: 'generated', preset: 'unit' })
    return compress.run([model], { ...request, seed, json }, terminal)
  },
})
