// onnx.proto → src/onnx/generated/onnx_pb.ts. Run by hand when ONNX adds a field:
//   node scripts/generate-onnx.mjs PATH/onnx.proto     (from the PyPI wheel `onnx`, Apache-2.0)
// The generators are fetched into a temporary folder; they are no dependency of the project.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

// The last generator that runs on Node 20 and the code generator front end it plugs into.
const packages = ['@bufbuild/protoc-gen-es@2.11.0', '@bufbuild/buf@1']
// Numeric data is left out of the schema: it then arrives as unknown fields, whose bytes
// src/onnx/tensor.ts reads into typed arrays without a boxed number in between.
const packed = ['float_data', 'int32_data', 'int64_data', 'double_data', 'uint64_data']

const source = process.argv[2]
if (!source) throw new Error('Usage: node scripts/generate-onnx.mjs PATH/onnx.proto')
const folder = mkdtempSync(join(tmpdir(), 'tersor-onnx-'))
try {
  const run = (command, ...args) => execFileSync(command, args, { cwd: folder, stdio: 'inherit' })
  let proto = readFileSync(source, 'utf8')
  for (const field of packed) {
    const line = new RegExp(`^ *repeated \\w+ ${field} = \\d+ \\[packed = true\\];\\n`, 'm')
    if (!line.test(proto)) throw new Error(`onnx.proto has no field "${field}" as expected`)
    proto = proto.replace(line, '')
  }
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  run('npm', 'install', '--ignore-scripts', '--no-audit', ...packages)
  mkdirSync(join(folder, 'proto'))
  writeFileSync(join(folder, 'proto/onnx.proto'), proto)
  const plugin = join(folder, 'node_modules/.bin/protoc-gen-es')
  const settings = {
    version: 'v2',
    plugins: [{ local: plugin, out: 'out', opt: ['target=ts', 'import_extension=ts'] }],
  }
  writeFileSync(join(folder, 'buf.gen.yaml'), JSON.stringify(settings))
  run('npx', 'buf', 'generate', 'proto')
  const target = fileURLToPath(new URL('../src/onnx/generated/', import.meta.url))
  mkdirSync(target, { recursive: true })
  const generated = plainEnums(readFileSync(join(folder, 'out/onnx_pb.ts'), 'utf8'))
  const note =
    '// Generated from onnx.proto of the ONNX project (SPDX-License-Identifier: Apache-2.0), with\n' +
    `// ${packed.join(', ')} left out (see the script).\n`
  writeFileSync(join(folder, 'onnx_pb.ts'), note + generated)
  cpSync(join(folder, 'onnx_pb.ts'), join(target, 'onnx_pb.ts'))
} finally {
  rmSync(folder, { recursive: true })
}

// TypeScript enums are not erasable: they become an object and the type of its values.
function plainEnums(text) {
  return text.replace(/^export enum (\w+) \{\n([\s\S]*?)^\}/gm, (_, name, body) => {
    const members = body.replace(/^( +\w+) = (-?\d+),$/gm, '$1: $2,')
    return `export const ${name} = {\n${members}} as const\nexport type ${name} = (typeof ${name})[keyof typeof ${name}]`
  })
}
