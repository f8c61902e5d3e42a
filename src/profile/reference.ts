// A fixed kernel timed beside everything else: what it slows down by, the machine slowed down by.
import { compile } from '../compile/compile.ts'
import { GraphBuilder } from '../ir/builder.ts'
import { floats } from '../tensor/tensor.ts'
import { type Candidate, candidateOf } from './measure.ts'
import { startProgram } from './program.ts'
import type { PriceTable } from './table.ts'

/** Key of its time in a price table. */
const KEY = 'reference'
/** A clock that is off by less says nothing. */
const TOLERANCE = 0.05

/** Brings times measured now to the speed the machine had when the table began. */
export interface Reference {
  readonly candidate: Candidate
  /** Returns what to multiply times by that were measured while the reference took `ms`. */
  factor(ms: number): number
}

let program: ReturnType<typeof start> | undefined

/** Returns the reference of a table; the first time it is timed defines the table's speed. */
export async function referenceOf(table: PriceTable): Promise<Reference> {
  program ??= start()
  const { run } = await program
  const candidate = candidateOf('reference', run)
  if (table.get(KEY) === undefined) {
    await candidate.time(WARM_UP_RUNS)
    table.set(KEY, Math.min(...(await candidate.time(MEASURED_RUNS))))
  }
  return {
    candidate,
    factor: (ms) => {
      const factor = table.get(KEY)! / ms
      return Math.abs(factor - 1) < TOLERANCE ? 1 : factor
    },
  }
}

/** Enough for V8 to compile it with its optimising tier: about 50 ms. */
const WARM_UP_RUNS = 2000
const MEASURED_RUNS = 2000

// A product of 64 × 64 by 64 × 256: some 25 µs, all in the first cache.
function start() {
  const b = new GraphBuilder()
  b.input('x', 'float32', [256, 64])
  const weight = floats(
    [64, 64],
    Float32Array.from({ length: 4096 }, (_, i) => ((i * 37) % 101) / 101),
  )
  b.output(b.op('MatMul', ['x', b.constant(weight, 'w')]))
  return startProgram(compile(b.build()))
}
