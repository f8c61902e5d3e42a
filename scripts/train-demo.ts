// Trains the demo's network on the generated images and writes assets/demo.onnx.
// Repeat with: npm run build && npm run train-demo (about five minutes on two cores).
import { mkdirSync, statSync } from 'node:fs'
import { presetImage } from '../src/data/describe.ts'
import { openDataset } from '../src/data/open.ts'
import { createEngine } from '../src/exec/create.ts'
import { writeOnnxFile } from '../src/onnx/file.ts'
import { evaluate } from '../src/train/metrics.ts'
import { sgd } from '../src/train/optimizers.ts'
import { cosine, warmUp } from '../src/train/schedules.ts'
import { train } from '../src/train/train.ts'
import { demoNet } from '../src/zoo/demo-net.ts'

const seed = 1
const [out = 'assets/demo.onnx', epochs = '12'] = process.argv.slice(2)

const data = await openDataset('generated')
const description = presetImage('unit', { shape: [1, 3, 32, 32] })
const engine = await createEngine()
let shown = 0
const { model } = await train(demoNet(seed), {
  data: data.train,
  description,
  engine,
  epochs: Number(epochs),
  batch: 64,
  seed,
  optimizer: sgd({ weightDecay: 5e-4, nesterov: true }),
  schedule: warmUp(cosine(0.1)),
  onProgress: ({ epoch, loss, samplesPerSecond }) => {
    if (epoch < shown + 1) return
    shown = Math.floor(epoch)
    console.log(`epoch ${shown}: loss ${loss.toFixed(3)}, ${samplesPerSecond.toFixed(0)} samples/s`)
  },
})
const { value } = await evaluate(model, { dataset: data.test, description, engine })
await engine.close()
mkdirSync('assets', { recursive: true })
writeOnnxFile(out, model)
console.log(`${out}: accuracy ${(value * 100).toFixed(2)} %, ${statSync(out).size} bytes`)
