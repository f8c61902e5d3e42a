// Two branches of a network on one executor or on two that wait for each other: what it takes, and which
// way is chosen by measured times. YOLObile section 4.3, with threads in place of a phone's processors.
import { once } from 'node:events'
import { compile } from '../../src/compile/compile.ts'
import { startWorker } from '../../src/exec/worker.ts'
import type { Model } from '../../src/ir/graph.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { deploy, runPasses } from '../../src/passes/index.ts'
import { median } from '../../src/profile/measure.ts'
import { startProgram } from '../../src/profile/program.ts'

/** What the worker is started with. */
export interface BranchOrder {
  /** Bytes of an ONNX file. */
  readonly model: Uint8Array
  readonly shared: SharedArrayBuffer
}

/** Places in the shared memory: runs wanted, runs done, what to do. */
export const [WANTED, DONE, ORDER] = [0, 1, 2]
/** Orders: only answer, run, end. */
export const [ANSWER, WORK, STOP] = [0, 1, 2]

/** Milliseconds of two branches. */
export interface BranchTimes {
  readonly heavy: number
  readonly light: number
  /** A worker told to do nothing, until it has answered. */
  readonly sync: number
}

/** What two executors should take: the longer branch, and meeting again. */
export function splitTime({ heavy, light, sync }: BranchTimes): number {
  return Math.max(heavy, light) + sync
}

/** Returns the faster way; one executor where they are equal. */
export function chooseWay(times: BranchTimes): 'serial' | 'split' {
  return splitTime(times) < times.heavy + times.light ? 'split' : 'serial'
}

/** Measures two models as branches; `serial` and `split` are whole runs of both. Medians of as many runs. */
export async function measureBranches(
  models: { readonly heavy: Model; readonly light: Model },
  runs = 60,
): Promise<BranchTimes & { readonly serial: number; readonly split: number }> {
  const start = (model: Model) => startProgram(compile(runPasses(model, deploy).model))
  const [heavy, light] = [await start(models.heavy), await start(models.light)]
  const shared = new SharedArrayBuffer(12)
  const signal = new Int32Array(shared)
  const order: BranchOrder = { model: writeOnnx(models.light), shared }
  const worker = startWorker('branch-worker', import.meta.url, { workerData: order })
  await once(worker, 'message')
  const tell = (what: number): number => {
    Atomics.store(signal, ORDER, what)
    const ticket = Atomics.add(signal, WANTED, 1) + 1
    Atomics.notify(signal, WANTED)
    return ticket
  }
  const meet = (ticket: number) => void Atomics.wait(signal, DONE, ticket - 1)
  const ways = {
    heavy: () => heavy.run(),
    light: () => light.run(),
    sync: () => meet(tell(ANSWER)),
    serial: () => {
      heavy.run()
      light.run()
    },
    split: () => {
      const ticket = tell(WORK)
      heavy.run()
      meet(ticket)
    },
  }
  const taken = { heavy: [], light: [], sync: [], serial: [], split: [] } as Record<
    keyof typeof ways,
    number[]
  >
  // In turn, so that all see the same machine; the first runs warm up.
  for (let run = -10; run < runs; run++)
    for (const [name, way] of Object.entries(ways) as [keyof typeof ways, () => void][]) {
      const from = performance.now()
      way()
      if (run >= 0) taken[name].push(performance.now() - from)
    }
  tell(STOP)
  await once(worker, 'exit')
  return {
    heavy: median(taken.heavy),
    light: median(taken.light),
    sync: median(taken.sync),
    serial: median(taken.serial),
    split: median(taken.split),
  }
}
