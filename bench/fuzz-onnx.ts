// Byte-mutated models must end in a model or a ModelError, soon. By hand:
//   node --conditions=source --import tsx bench/fuzz-onnx.ts COUNT SEED MODEL.onnx …
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { fuzz } from '../test/support/fuzz.ts'

const [count = '10000', seed = '1', ...files] = parseArgs({ allowPositionals: true }).positionals
if (files.length === 0) throw new Error('Usage: fuzz-onnx.ts COUNT SEED MODEL.onnx …')
for (const file of files) {
  const { read, refused, failures, slowestMs } = fuzz(readFileSync(file), {
    count: Number(count),
    seed: Number(seed),
  })
  console.log(
    `${file}: ${count} mutants, ${read} read, ${refused} refused, ${failures.length} failures, slowest ${slowestMs.toFixed(0)} ms`,
  )
  for (const failure of failures.slice(0, 10))
    console.log(`  mutant ${failure.index}: ${failure.error}`)
  if (failures.length > 0) process.exitCode = 1
}
