// A whole model → milliseconds of each layer where it stands: what its isolated price could not know.
import { compile } from '../compile/compile.ts'
import type { Model } from '../ir/graph.ts'
import { deploy } from '../passes/index.ts'
import { runPasses } from '../passes/pass.ts'
import type { Subject } from './layers.ts'
import { startProgram } from './program.ts'
import type { PriceTable } from './table.ts'
import type { TargetName } from './target.ts'
import { shapeKey } from './whole.ts'

/** Enough for V8 to compile kernels with its optimising tier; and how long to time at most. */
const WARM_UP_MS = 150
const MEASURE_MS = 250

/**
 * Returns the least milliseconds of each of the subject's layers in a variant of its model, with what
 * its kernel absorbed; undefined for layers that went, and for targets that show no layers. What was
 * measured once is remembered.
 */
export async function timeInPlace(
  { layers }: Subject,
  variant: Model,
  { target, table }: { readonly target: TargetName; readonly table: PriceTable },
): Promise<(number | undefined)[]> {
  if (target !== 'wasm') return layers.map(() => undefined)
  const names = layers.map(({ node }) => node.name || node.outputs[0]!)
  const variantKey = shapeKey(variant)
  const keyOf = (name: string) => `in place ${variantKey} ${name}`
  if (!names.some((name) => table.get(keyOf(name)) !== undefined)) {
    for (const [name, ms] of await timeSteps(variant)) table.set(keyOf(name), ms)
    table.save()
  }
  return names.map((name) => table.get(keyOf(name)))
}

async function timeSteps(variant: Model): Promise<ReadonlyMap<string, number>> {
  const { model } = runPasses(variant, deploy)
  const program = await startProgram(compile(model, { exportKernels: true }))
  let total = 0
  for (let spent = 0; spent < WARM_UP_MS; spent += total)
    total = sum([...program.timeSteps(20).values()]) * 20 + 0.1
  return program.timeSteps(Math.max(3, Math.min(1000, Math.round((20 * MEASURE_MS) / total))))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
