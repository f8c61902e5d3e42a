// Build a network, look at its costs, and see which channels could go.
import { modelFacts, resnetCifar } from 'tersor'

const model = resnetCifar({ blocks: 1, widths: [8, 16, 32], seed: 1 })
const { layers, macs, parameters } = modelFacts(model)

console.log(`${parameters} parameters, ${(macs / 1e6).toFixed(1)} million multiply-adds`)
for (const { name, op, units } of layers.filter((layer) => layer.macs > 0)) {
  const classes = units.map(
    ({ name, size, frozen }) => `${size} of "${name}"${frozen ? ' (frozen)' : ''}`,
  )
  console.log(`${op.padEnd(5)} ${name.padEnd(24)} ${classes.join(', ')}`)
}
