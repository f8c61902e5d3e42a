// The second executor of a network with two branches: runs its branch whenever it is told to.
import { parentPort, workerData } from 'node:worker_threads'
import { compile } from '../../src/compile/compile.ts'
import { readOnnx } from '../../src/onnx/read.ts'
import { deploy, runPasses } from '../../src/passes/index.ts'
import { startProgram } from '../../src/profile/program.ts'
import { type BranchOrder, DONE, ORDER, STOP, WANTED, WORK } from './branches.ts'

const { model, shared } = workerData as BranchOrder
const signal = new Int32Array(shared)
const program = await startProgram(compile(runPasses(readOnnx(model), deploy).model))
parentPort!.postMessage('ready')
for (let done = 0; ; done++) {
  Atomics.wait(signal, WANTED, done)
  const order = Atomics.load(signal, ORDER)
  if (order === STOP) break
  if (order === WORK) program.run()
  Atomics.store(signal, DONE, done + 1)
  Atomics.notify(signal, DONE)
}
