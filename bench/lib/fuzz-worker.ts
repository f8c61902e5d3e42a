// The worker of fuzz-bundles: alters bundles and tells what became of them while it goes.
import { parentPort, workerData } from 'node:worker_threads'
import {
  type BundleFuzz,
  fuzzBase,
  fuzzBundles,
  fuzzRarities,
  fuzzSubject,
} from '../../test/support/fuzz-bundles.ts'

/** What the worker is told. */
export interface FuzzTask {
  readonly from: number
  readonly count: number
  readonly seed: number
  /** How many at once. */
  readonly lanes: number
  /** It writes here: the first mutant of those at hand, how many before were refused, how many ran. */
  readonly sign: Int32Array
}

/** What it says: a failure as it comes, nothing at the end. */
export type FuzzMessage = BundleFuzz['failures'][number] | undefined

/** Networks among the bundles that are altered. */
const BASES = 60

const { sign, ...task } = workerData as FuzzTask
const networks = Array.from({ length: BASES }, (_, i) => fuzzSubject(1000 + i))
const bases = [...networks, ...fuzzRarities()].map(fuzzBase)
let told = 0
const tell = (index: number, { refused, ran, failures }: BundleFuzz) => {
  for (; told < failures.length; told++) parentPort!.postMessage(failures[told])
  ;[index, refused, ran].forEach((value, i) => {
    Atomics.store(sign, i, value)
  })
}
tell(task.from + task.count, await fuzzBundles(bases, { ...task, onStart: tell }))
parentPort!.postMessage(undefined)
