// Trains the small network with checkpoints at a path until it is killed: node train-killed.ts PATH STEPS
import { createEngine } from '../../src/exec/create.ts'
import { train } from '../../src/train/train.ts'
import { killedRequest, killedNet } from './killed-request.ts'

const [path, steps] = process.argv.slice(2) as [string, string]
const engine = await createEngine({ threads: 1 })
await train(killedNet(), {
  ...killedRequest(Number(steps)),
  engine,
  checkpoint: { path, everySteps: 3 },
})
await engine.close()
