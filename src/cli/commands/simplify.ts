// `tersor simplify`: the cleaning passes alone, ONNX in and ONNX out.
import { statSync } from 'node:fs'
import { readOnnxFile, writeOnnxFile } from '../../onnx/file.ts'
import { clean } from '../../passes/index.ts'
import { runPasses } from '../../passes/pass.ts'
import { option, text } from '../../util/options.ts'
import { defineCommand } from '../command.ts'
import { exitCodes } from '../exit.ts'
import { formatBytes } from '../../report/format.ts'
import { checkOutput, nameOf } from '../paths.ts'
import { formatTable } from '../terminal.ts'

/** The command. */
export const simplify = defineCommand({
  name: 'simplify',
  summary: 'clean a model without changing what it computes',
  arguments: [{ name: 'MODEL', help: 'an ONNX file' }],
  options: {
    out: option(text().optional(), 'FILE', 'file to write', 'MODEL.simple.onnx'),
  },
  example: 'tersor simplify model.onnx --out clean.onnx',
  run: async ([path], options, terminal) => {
    const out = options.out ?? `${nameOf(path!)}.simple.onnx`
    checkOutput(out, path!)
    const before = readOnnxFile(path!)
    const { model, reports } = runPasses(before, clean)
    writeOnnxFile(out, model)
    const nodes = [before.graph.nodes.length, model.graph.nodes.length] as const
    const sizes = [statSync(path!).size, statSync(out).size] as const
    terminal.emit({ file: out, nodes, sizes, passes: reports })
    terminal.print(
      formatTable(
        ['pass', 'matched', 'changed', 'left alone'],
        reports.map((report) => [
          report.pass,
          report.matched,
          report.changed,
          report.skipped
            .map(({ name, reason }) => `${name}: ${reason}`)
            .slice(0, 3)
            .join('; '),
        ]),
        [1, 2],
      ),
    )
    terminal.print(
      `\n${out}  ${nodes[1]} nodes (${nodes[0]} before), ${formatBytes(sizes[1])} (${formatBytes(sizes[0])} before)`,
    )
    return exitCodes.ok
  },
})
