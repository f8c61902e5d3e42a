// `tersor inspect`: what a model consists of, per layer, and what could be cut.
import { statSync } from 'node:fs'
import { readOnnxFile } from '../../onnx/file.ts'
import { toggle } from '../../util/options.ts'
import { defineCommand } from '../command.ts'
import { bindOption, parseBindings } from '../describe.ts'
import { exitCodes } from '../exit.ts'
import { formatBytes, formatCount } from '../../report/format.ts'
import { type LayerFacts, modelFacts } from '../model-facts.ts'
import { formatTable, shorten } from '../terminal.ts'

/** The command. */
export const inspect = defineCommand({
  name: 'inspect',
  summary: 'show layers, shapes, costs, and what can be cut',
  arguments: [{ name: 'MODEL', help: 'an ONNX file' }],
  options: {
    all: toggle('also list nodes without weights and multiply-adds'),
    bind: bindOption,
  },
  example: 'tersor inspect resnet20.onnx',
  run: async ([path], options, terminal) => {
    const model = readOnnxFile(path!)
    const facts = modelFacts(model, parseBindings(options.bind, model))
    const sizeBytes = statSync(path!).size
    terminal.emit({ file: path, sizeBytes, ...facts })
    const ports = (list: typeof facts.inputs) =>
      list
        .map(({ name, dtype, shape }) => `${name} ${dtype}[${shape?.join(', ') ?? '?'}]`)
        .join(', ')
    const opsets = Object.entries(facts.opsets)
      .map(([domain, version]) => `${domain || 'onnx'} ${version}`)
      .join(', ')
    terminal.print(
      `${path}  ${formatBytes(sizeBytes)}, ${opsets}${facts.producer && `, by ${facts.producer}`}`,
    )
    terminal.print(`inputs   ${ports(facts.inputs)}`)
    terminal.print(`outputs  ${ports(facts.outputs)}`)
    terminal.print(
      `${facts.layers.length} nodes, ${formatCount(facts.parameters)} parameters, ${formatCount(facts.macs)} multiply-adds per run`,
    )
    terminal.print()
    const shown = facts.layers.filter(
      (layer) => options.all || layer.macs > 0 || layer.parameters > 0,
    )
    terminal.print(
      formatTable(
        ['layer', 'op', 'output', 'parameters', 'MACs', 'units'],
        shown.map((layer) => [
          shorten(layer.name, 36),
          layer.op,
          layer.shape?.join('×') ?? '?',
          formatCount(layer.parameters),
          formatCount(layer.macs),
          unitsText(layer),
        ]),
        [3, 4],
      ),
    )
    const opaque = facts.layers.filter((layer) => layer.opaque)
    if (opaque.length > 0)
      terminal.print(
        `\nwithout a record, run as they are: ${[...new Set(opaque.map((layer) => layer.op))].join(', ')}`,
      )
    return exitCodes.ok
  },
})

function unitsText({ units }: LayerFacts): string {
  return units
    .map(({ name, size, frozen }) =>
      frozen === undefined ? `${size} in "${shorten(name, 28)}"` : `${size} frozen: ${frozen}`,
    )
    .join('; ')
}
