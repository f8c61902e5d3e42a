// Remove channels by hand, compile, and time both versions side by side.
import { compare, cutModel, resnetCifar, Workbench } from 'tersor'

const dense = resnetCifar({ blocks: 1, widths: [16, 32, 64], seed: 1 })
// Keep the first 8 of 16 channels between the two convolutions of the first block.
const small = cutModel(dense, { 'stage1.block1.conv1.weight': [0, 1, 2, 3, 4, 5, 6, 7] })

const bench = new Workbench()
const candidates = [
  await bench.candidate(dense, 'wasm', 'dense'),
  await bench.candidate(small, 'wasm', 'small'),
]
const { timings, speedups } = await compare('wasm', candidates, { rounds: 3, roundMs: 30 })
await bench.close()

timings.forEach(({ label, medianMs }, i) => {
  console.log(`${label}: ${medianMs.toFixed(3)} ms, ${speedups[i]!.median.toFixed(2)}x`)
})
