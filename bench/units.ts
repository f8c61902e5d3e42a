// The table of docs/units.md: for every network of the zoo, and every real model where TERSOR_SHARED
// points, which classes of units there are, and how far cut and masked networks are apart.
// Usage: node --conditions=source --import tsx bench/units.ts [NAME]
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readOnnxFile } from '../src/onnx/file.ts'
import { clean, pinInput, runPasses } from '../src/passes/index.ts'
import { zoo } from '../src/zoo/index.ts'
import { checkUnits, type UnitSubject, unitSubject } from '../test/support/check-units.ts'
import { realModels } from '../test/support/real-models.ts'
import { shaken } from '../test/support/shake.ts'

const wanted = process.argv[2] ?? ''
const columns = [
  'network',
  'classes',
  'units',
  'count enters',
  'may vanish',
  'cut − masked',
  'frozen, and why',
]
console.log(`| ${columns.join(' | ')} |\n|${columns.map(() => '---|').join('')}`)

for (const { name, small } of zoo)
  if (name.includes(wanted)) await printRow(name, unitSubject(shaken(small(1), 2), {}, 10))

const shared = process.env.TERSOR_SHARED
for (const [name, item] of Object.entries(realModels)) {
  const path = join(shared ?? '', 'models', `${name}.onnx`)
  if (shared === undefined || !existsSync(path) || !name.includes(wanted)) continue
  const pinned = Object.entries(item.pins ?? {}).reduce(
    (model, [input, value]) => pinInput(model, input, value),
    readOnnxFile(path),
  )
  await printRow(name, unitSubject(runPasses(pinned, clean).model, item))
}

async function printRow(name: string, subject: UnitSubject): Promise<void> {
  const { open, units } = subject
  const { worst, vanishing } = await checkUnits(subject)
  const reasons = new Map<string, number>()
  for (const { frozen, size } of units.classes)
    if (frozen !== undefined && size > 1) {
      const reason = frozen.replaceAll(/"[^"]*"/g, '…')
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    }
  const cells = [
    name,
    open.length,
    open.reduce((sum, { size }) => sum + size, 0),
    open.filter(({ reduces }) => reduces).length,
    vanishing.length,
    open.every(({ reduces }) => reduces) ? '–' : worst.toExponential(0),
    [...reasons].map(([reason, count]) => `${count} × ${reason}`).join('; '),
  ]
  console.log(`| ${cells.join(' | ')} |`)
}
