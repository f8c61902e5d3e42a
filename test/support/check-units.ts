// Cuts and masks every class of a model on ONNX Runtime: what the laws test and the table in docs/units.md shows.
import { cut, mask, vanishingClasses } from '../../src/compress/cut.ts'
import { findUnits, type UnitClass, type UnitMap } from '../../src/compress/units.ts'
import { type Analysis, analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { verify } from '../../src/ir/verify.ts'
import { createRandom } from '../../src/util/random.ts'
import { floats, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'
import { someOf } from '../compress/change.ts'
import { distance, randomFeeds, runReference } from './ort.ts'
import { type RealModel, writtenOut } from './real-models.ts'

/** A model with its units and inputs to run it on. */
export interface UnitSubject {
  readonly model: Model
  readonly analysis: Analysis
  readonly units: UnitMap
  /** Classes with a choice. */
  readonly open: readonly UnitClass[]
  run(model: Model): Promise<Record<string, Tensor>>
}

/** Prepares a model. Runs start from a state of zeros, whatever its size, and do not return the next. */
export function unitSubject(
  model: Model,
  { bindings = {}, state = {} }: RealModel = {},
  integers = 400,
): UnitSubject {
  const analysis = analyze(model, { bindings })
  const units = findUnits(model, analysis, { state })
  const feeds = randomFeeds(model, 3, { bindings: { batch: 2, ...bindings }, integers })
  const needsWriting = model.graph.nodes.some(({ op }) => op === 'Quant')
  return {
    model,
    analysis,
    units,
    open: units.classes.filter((found) => found.frozen === undefined && found.size > 1),
    run: async (one) => {
      const kept = new Set(Object.values(state))
      const zeros = one.graph.inputs
        .filter(({ name }) => kept.has(name))
        .map(({ name, shape }): [string, Tensor] => {
          const sizes = shape!.map((dim) => (typeof dim === 'number' ? dim : (bindings[dim] ?? 2)))
          return [name, floats(sizes, new Float32Array(sizeOf(sizes)))]
        })
      const given = { ...feeds, ...Object.fromEntries(zeros) }
      const outputs = await runReference(needsWriting ? writtenOut(one) : one, given)
      return Object.fromEntries(Object.entries(outputs).filter(([name]) => !(name in state)))
    },
  }
}

/** What became of the classes of a model. */
export interface UnitsChecked {
  /** Largest difference between cut and masked, relative to the largest output; and its class. */
  readonly worst: number
  readonly worstClass: string
  /** Classes whose cut changed the output. */
  readonly changed: number
  /** Classes that may keep nothing. */
  readonly vanishing: readonly string[]
}

/** Cuts every class to about 60 %, and to nothing where it may vanish; then all classes at once. */
export async function checkUnits(subject: UnitSubject): Promise<UnitsChecked> {
  const { model, analysis, units, open, run } = subject
  const random = createRandom(4)
  const whole = await run(model)
  let [worst, worstClass, changed] = [0, '', 0]
  const compare = async (name: string, kept: Uint8Array): Promise<void> => {
    const narrow = cut(model, analysis, { [name]: kept }, { units })
    verify(narrow)
    const result = await run(narrow)
    if (distance(result, whole) > 1e-6) changed++
    if (units.byName.get(name)!.reduces) return
    const error = distance(result, await run(mask(model, analysis, { [name]: kept }, { units })))
    if (error > worst) [worst, worstClass] = [error, name]
  }
  for (const { name, size } of open) await compare(name, someOf(size, random))
  const half = changed
  const vanishing = vanishingClasses(model, analysis, units)
  for (const name of vanishing) await compare(name, new Uint8Array(units.byName.get(name)!.size))
  const all = Object.fromEntries(open.map(({ name, size }) => [name, someOf(size, random)]))
  const narrow = cut(model, analysis, all, { units })
  verify(narrow)
  await run(narrow)
  return { worst, worstClass, changed: half, vanishing }
}
