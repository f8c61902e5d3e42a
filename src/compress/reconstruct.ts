// Reconstruct: what stays of every layer makes up for what went, so that on the inputs that the original's
// layer saw its outputs change least: least squares, output by output. Hassibi and Stork 1993 (optimal brain
// surgeon); after channels went, He et al. 2017 (arXiv 1707.06168); per layer, Frantar and Alistarh 2022
// (arXiv 2208.11580).
import { analyze, type Analysis } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import { choleskyInPlace, solveInPlace } from '../tensor/cholesky.ts'
import { type FloatTensor, floatData, floats, sizeOf } from '../tensor/tensor.ts'
import { cut } from './cut.ts'
import { dampingOf } from './statistics/gram.ts'
import { findUnits, type Kept, type UnitMap } from './units.ts'

/** Multiplications that the systems of one weight may take; those that need more stay as they are. */
const MOST_WORK = 4e9
/** What else reads a weight would not want it changed. */
const PRODUCTS = new Set(['Conv', 'Gemm', 'MatMul'])
/** Places are counted in floats. */
const MOST_ELEMENTS = 2 ** 24

/** What is known of how a model became small. */
export interface ReconstructOptions {
  /** Units of the original that stayed. */
  readonly kept: Kept
  /** `inputGram` of the original, by weight; weights without one stay as they are. */
  readonly grams: Readonly<Record<string, FloatTensor>>
  readonly analysis?: Analysis
  readonly units?: UnitMap
}

/**
 * Returns a model that was cut and masked, with its weights (same names, shapes and zeros) replaced by
 * those whose layers' outputs are nearest to the original's. Biases and norms stay: measure those anew.
 */
export function reconstruct(original: Model, small: Model, options: ReconstructOptions): Model {
  const { grams } = options
  const names = Object.keys(grams).filter(
    (name) =>
      small.weights.has(name) &&
      sizeOf(original.weights.get(name).shape) <= MOST_ELEMENTS &&
      original.graph.nodes.every(({ op, inputs }) => !inputs.includes(name) || PRODUCTS.has(op)),
  )
  const places = placesOf(original, names, options)
  const weights = small.weights.copy()
  for (const name of names) {
    const { shape } = small.weights.get(name)
    const problem = {
      before: floatData(original.weights.get(name)),
      after: floatData(small.weights.get(name)),
      from: floatData(places.weights.get(name)),
      gram: grams[name]!,
    }
    if (problem.from.length === problem.after.length)
      weights.set(name, floats(shape, solve(problem)))
  }
  return { ...small, weights }
}

// Where every element of a cut weight was: weights that number their elements, cut alike.
function placesOf(
  original: Model,
  names: readonly string[],
  { kept, ...known }: ReconstructOptions,
): Model {
  const analysis = known.analysis ?? analyze(original)
  const units = known.units ?? findUnits(original, analysis)
  const weights = original.weights.copy()
  for (const name of names) {
    const { shape } = original.weights.get(name)
    weights.set(
      name,
      floats(
        shape,
        Float32Array.from({ length: sizeOf(shape) }, (_, i) => i),
      ),
    )
  }
  return cut({ ...original, weights }, analysis, kept, { units })
}

interface Problem {
  readonly before: Float32Array
  readonly after: Float32Array
  /** Where each element of `after` was in `before`. */
  readonly from: Float32Array
  readonly gram: FloatTensor
}

/** Outputs whose weights stand in the same columns: one system for all of them. */
interface Group {
  /** Columns that stay, and by output the elements of the small weight there. */
  readonly columns: readonly number[]
  readonly outputs: (readonly [output: number, elements: readonly number[]])[]
}

function solve({ before, after, from, gram }: Problem): Float32Array {
  const n = gram.shape.at(-1)!
  const outputs = before.length / n
  // One output's weights are a row, or a column where a matrix stands the other way round.
  const isRow = gram.shape.length !== 3 || gram.shape[0] === 1
  const outputOf = (place: number) => (isRow ? Math.floor(place / n) : place % outputs)
  const columnOf = (place: number) => (isRow ? place % n : Math.floor(place / outputs))
  const groups = groupsOf(after, from, { outputOf, columnOf })
  const work = groups.reduce((sum, { columns }) => sum + columns.length ** 3 / 6, 0)
  const result = after.slice()
  if (work > MOST_WORK) return result
  const h = damped(gram, n)
  for (const { columns, outputs: members } of groups) {
    const k = columns.length
    if (k === n) continue
    const system = new Float64Array(k * k)
    for (let i = 0; i < k; i++)
      for (let j = 0; j <= i; j++) system[i * k + j] = h[columns[i]! * n + columns[j]!]!
    choleskyInPlace(system, k)
    for (const [output, elements] of members) {
      const right = Float64Array.from(columns, (column) => {
        let sum = 0
        for (let j = 0; j < n; j++)
          sum += h[column * n + j]! * before[isRow ? output * n + j : j * outputs + output]!
        return sum
      })
      solveInPlace(system, right)
      if (right.every(Number.isFinite)) elements.forEach((at, i) => (result[at] = right[i]!))
    }
  }
  return result
}

function groupsOf(
  after: Float32Array,
  from: Float32Array,
  at: { outputOf(place: number): number; columnOf(place: number): number },
): Group[] {
  const byOutput = new Map<number, { columns: number[]; elements: number[] }>()
  after.forEach((value, i) => {
    if (value === 0) return
    const output = at.outputOf(from[i]!)
    const row = byOutput.get(output) ?? { columns: [], elements: [] }
    row.columns.push(at.columnOf(from[i]!))
    row.elements.push(i)
    byOutput.set(output, row)
  })
  const groups = new Map<string, Group>()
  for (const [output, { columns, elements }] of byOutput) {
    const key = columns.join()
    const group = groups.get(key) ?? { columns, outputs: [] }
    group.outputs.push([output, elements])
    groups.set(key, group)
  }
  return [...groups.values()]
}

function damped(gram: FloatTensor, n: number): Float64Array {
  const h = Float64Array.from(floatData(gram))
  const damping = dampingOf(h, n)
  for (let i = 0; i < n; i++) h[i * n + i]! += damping
  return h
}
