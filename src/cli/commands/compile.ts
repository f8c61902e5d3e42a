// `tersor compile`: ONNX → a bundle for @tersor/runtime, or C.
import { writeBundle, writeSingleFile } from '../../compile/bundle.ts'
import { type Compiled, compile as compileModel } from '../../compile/compile.ts'
import { identifier } from '../../compile/emit/c-names.ts'
import { writeC } from '../../compile/emit/c-write.ts'
import { printProgram, printReport } from '../../compile/explain.ts'
import type { BundleDescription } from '../../compile/face.ts'
import { readOnnxFile } from '../../onnx/file.ts'
import { deploy } from '../../passes/index.ts'
import { runPasses } from '../../passes/pass.ts'
import { PriceTable } from '../../profile/table.ts'
import { createTuner } from '../../profile/tuner.ts'
import { defaultCacheFolder } from '../../recipes/compress.ts'
import { OptionError } from '../../util/errors.ts'
import { number, oneOf, option, text, toggle } from '../../util/options.ts'
import { defineCommand } from '../command.ts'
import { bindOption, describeOptions, findDescription, parseBindings } from '../describe.ts'
import { exitCodes } from '../exit.ts'
import { formatBytes } from '../../report/format.ts'
import { checkOutput, nameOf } from '../paths.ts'
import { parseWays, wayOptions } from '../ways.ts'

/** The command. */
export const compile = defineCommand({
  name: 'compile',
  summary: 'compile a model into a bundle that runs on @tersor/runtime, or into C',
  arguments: [{ name: 'MODEL', help: 'an ONNX file' }],
  options: {
    out: option(
      text().optional(),
      'PATH',
      'folder to write, or a file ending in .tersor, or in .c',
      'MODEL.bundle, or MODEL.c',
    ),
    target: option(oneOf(['wasm', 'c']).default('wasm'), 'NAME', 'what to compile for'),
    batch: option(
      number({ min: 1, integer: true }).optional(),
      'N',
      'size of an open first dimension',
      '1',
    ),
    bind: bindOption,
    ...wayOptions,
    ...describeOptions,
    storage: option(
      oneOf(['f16', 'int8', 'palette']).optional(),
      'CODEC',
      'round weights to half precision, bytes, or 256 values each',
      'exact',
    ),
    tune: toggle(
      'time kernels and tile shapes on this machine; the times are kept for other models',
    ),
    fma: toggle('only code with relaxed SIMD, which needs Chrome 114 or Node 22'),
    weightsFile: toggle('with --target c: weights in a file of their own, not in the code'),
    explain: toggle('print the program, and per node which kernels offered and refused'),
  },
  example: 'tersor compile model.onnx --preset imagenet --out public/model',
  run: async ([path], options, terminal) => {
    const { target, batch, fma, weightsFile } = options
    const isC = target === 'c'
    const described = options.preset !== undefined || options.input !== undefined
    if (isC && described)
      throw new OptionError('C takes tensors: --preset and --input are for bundles')
    if (isC && options.storage)
      throw new OptionError('C holds weights as they lie in memory: --storage is for bundles')
    if (isC && options.tune)
      throw new OptionError('--tune times WebAssembly; the C compiler tunes C')
    if (!isC && weightsFile)
      throw new OptionError('--weights-file is for --target c; a bundle always has such a file')
    const out = options.out ?? (isC ? `${identifier(nameOf(path!))}.c` : `${nameOf(path!)}.bundle`)
    checkOutput(out, path!)
    const original = readOnnxFile(path!)
    const ways = parseWays(original, options)
    const { model, reports } = runPasses(ways.model, deploy)
    const description: BundleDescription | undefined = described
      ? findDescription(original, options).description
      : undefined
    const table = options.tune ? tuningTable() : undefined
    const compiled = compileModel(model, {
      ...ways.options,
      ...(batch !== undefined && { batch }),
      ...(isC ? { fma: false } : fma && { fma }),
      bindings: parseBindings(options.bind, original),
      name: nameOf(path!),
      ...(description && { description }),
      ...(options.storage && { storage: options.storage }),
      ...(table && { tune: createTuner(table) }),
    })
    table?.save()
    const written = isC
      ? await writeC(compiled, out, { fma, weights: weightsFile ? 'file' : 'source' })
      : await write(compiled, out)
    const { manifest, code, program, report } = compiled
    const weights = isC ? program.constants : compiled.weights
    terminal.emit({
      ...written,
      ...(!isC && { codeBytes: code.length }),
      weightBytes: weights.length,
      memoryBytes: manifest.memoryBytes,
      ...(manifest.weights.error && { weightError: manifest.weights.error }),
      passes: reports,
      nodes: report,
    })
    if (options.explain) {
      terminal.print(`${printReport(report)}\n`)
      terminal.print(`${printProgram(program)}\n`)
    }
    const parts = isC
      ? `weights ${formatBytes(weights.length)}`
      : `weights ${formatBytes(weights.length)}, code ${formatBytes(code.length)}`
    terminal.print(
      `${out}  ${formatBytes(written.sizeBytes)}: ${parts}; needs ${formatBytes(manifest.memoryBytes)} of memory`,
    )
    if (isC) terminal.print(`cc -O3 -march=native -std=c99 -c ${out}`)
    else if (!described)
      terminal.note(
        'inputs are plain tensors: give --preset or --input so that the bundle takes images',
      )
    return exitCodes.ok
  },
})

function tuningTable(): PriceTable {
  const scope = { target: 'wasm', engine: process.versions.v8, threads: 1 } as const
  return PriceTable.open(defaultCacheFolder(), scope)
}

function write(compiled: Compiled, out: string) {
  return out.endsWith('.tersor') ? writeSingleFile(compiled, out) : writeBundle(compiled, out)
}
