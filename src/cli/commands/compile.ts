// `tersor compile`: ONNX → a bundle for @tersor/runtime.
import { writeBundle, writeSingleFile } from '../../compile/bundle.ts'
import { type BundleDescription, compile as compileModel } from '../../compile/compile.ts'
import { printProgram, printReport } from '../../compile/explain.ts'
import { readOnnxFile } from '../../onnx/file.ts'
import { deploy } from '../../passes/index.ts'
import { runPasses } from '../../passes/pass.ts'
import { number, oneOf, option, text, toggle } from '../../util/options.ts'
import { defineCommand } from '../command.ts'
import { bindOption, describeOptions, findDescription, parseBindings } from '../describe.ts'
import { exitCodes } from '../exit.ts'
import { formatBytes } from '../format.ts'
import { checkOutput, nameOf } from '../paths.ts'

/** The command. */
export const compile = defineCommand({
  name: 'compile',
  summary: 'compile a model into a bundle that runs on @tersor/runtime',
  arguments: [{ name: 'MODEL', help: 'an ONNX file' }],
  options: {
    out: option(
      text().optional(),
      'PATH',
      'folder to write, or a file ending in .tersor',
      'MODEL.bundle',
    ),
    target: option(oneOf(['wasm']).default('wasm'), 'NAME', 'what to compile for'),
    batch: option(
      number({ min: 1, integer: true }).default(1),
      'N',
      'size of an open first dimension',
    ),
    bind: bindOption,
    ...describeOptions,
    fma: toggle('use relaxed SIMD: faster, needs Chrome 114 or Node 22'),
    explain: toggle('print the program, and per node which kernels offered and refused'),
  },
  example: 'tersor compile model.onnx --preset imagenet --out public/model',
  run: async ([path], options, terminal) => {
    const out = options.out ?? `${nameOf(path!)}.bundle`
    checkOutput(out, path!)
    const original = readOnnxFile(path!)
    const { model, reports } = runPasses(original, deploy)
    const { target, batch, fma } = options
    const described = options.preset !== undefined || options.input !== undefined
    const description: BundleDescription | undefined = described
      ? findDescription(original, options).description
      : undefined
    const compiled = compileModel(model, {
      target,
      batch,
      fma,
      bindings: parseBindings(options.bind, original),
      name: nameOf(path!),
      ...(description && { description }),
    })
    const written = out.endsWith('.tersor')
      ? await writeSingleFile(compiled, out)
      : await writeBundle(compiled, out)
    const { manifest, code, weights, program, report } = compiled
    terminal.emit({
      ...written,
      codeBytes: code.length,
      weightBytes: weights.length,
      memoryBytes: manifest.memoryBytes,
      passes: reports,
      nodes: report,
    })
    if (options.explain) {
      terminal.print(`${printReport(report)}\n`)
      terminal.print(`${printProgram(program)}\n`)
    }
    terminal.print(
      `${out}  ${formatBytes(written.sizeBytes)}: weights ${formatBytes(weights.length)}, code ${formatBytes(code.length)}; needs ${formatBytes(manifest.memoryBytes)} of memory`,
    )
    if (!described)
      terminal.note(
        'inputs are plain tensors: give --preset or --input so that the bundle takes images',
      )
    return exitCodes.ok
  },
})
