// The worker of fuzz-bundles: alters bundles and reports what became of them.
import { parentPort, workerData } from 'node:worker_threads'
import { fuzzBase, fuzzBundles, fuzzSubject } from '../../test/support/fuzz-bundles.ts'

/** What the worker is told; it writes the index of the mutant at hand to `sign`. */
export interface FuzzTask {
  readonly from: number
  readonly count: number
  readonly seed: number
  readonly sign: Int32Array
}

/** Bundles that are altered. */
const BASES = 60

const { sign, ...task } = workerData as FuzzTask
const bases = Array.from({ length: BASES }, (_, i) => fuzzBase(fuzzSubject(1000 + i)))
const onStart = (index: number) => Atomics.store(sign, 0, index)
parentPort!.postMessage(await fuzzBundles(bases, { ...task, onStart }))
