// Compares gradients with finite differences, to second order, in one onnxruntime session.
import { gradient } from '../../src/autodiff/gradient.ts'
import type { Engine } from '../../src/exec/engine.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { type Attribute, int, type Model } from '../../src/ir/graph.ts'
import { floatData, floats, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'
import { createRandom, deriveSeed, type Random } from '../../src/util/random.ts'

/** How inputs are drawn: away from kinks, distinct, positive … */
export type Sampler = (random: Random, count: number) => Float32Array

/** Standard normal. */
export const normal: Sampler = (random, count) =>
  Float32Array.from({ length: count }, () => random.normal())

/** Away from 0 by at least 0.2, and not near ±3. */
export const nonzero: Sampler = (random, count) =>
  Float32Array.from(
    { length: count },
    () => (random.uniform() - 0.5 < 0 ? -1 : 1) * (0.2 + 2 * random.uniform()),
  )

/** Between 0.5 and 2. */
export const positive: Sampler = (random, count) =>
  Float32Array.from({ length: count }, () => 0.5 + 1.5 * random.uniform())

/** All different, by at least 0.06. */
export const distinct: Sampler = (random, count) =>
  Float32Array.from(random.permutation(count), (rank) => (rank - count / 2) * 0.06 + 0.03)

/** One op on small inputs. */
export interface VjpCase {
  readonly op: string
  /** Shapes of the differentiated inputs, in order. */
  readonly inputs: readonly (readonly number[])[]
  readonly attributes?: Readonly<Record<string, Attribute>>
  /** Inputs that are constants, by index. */
  readonly constants?: Readonly<Record<number, Tensor>>
  readonly sample?: Sampler | readonly Sampler[]
  readonly outputs?: number
  /** Outputs whose values enter the loss; default all. */
  readonly used?: readonly number[]
  /** False where the op has kinks that a second derivative would meet. */
  readonly second?: boolean
  readonly note?: string
}

/** One comparison of a directional derivative. */
export interface Difference {
  readonly what: string
  readonly analytic: number
  readonly numeric: number
  /** |analytic − numeric| over the size of the gradient. */
  readonly error: number
}

/** The model of a case: `loss` = Σ r y + ½ Σ s y² over its outputs, with fixed random r and s. */
export function caseModel(c: VjpCase): { model: Model; wrt: string[] } {
  const random = createRandom(deriveSeed(7, JSON.stringify([c.op, c.inputs])))
  const b = new GraphBuilder()
  const wrt: string[] = []
  const count = c.inputs.length + Object.keys(c.constants ?? {}).length
  const shapes = [...c.inputs]
  const names = Array.from({ length: count }, (_, i) => {
    const constant = c.constants?.[i]
    if (constant !== undefined)
      return constant.data.length === 0 ? '' : b.constant(constant, `k${i}`)
    const name = b.input(`x${i}`, 'float32', shapes.shift()!)
    wrt.push(name)
    return name
  })
  const outputs = b.ops(c.op, names, { ...c.attributes }, c.outputs ?? 1)
  const used = outputs.filter((_, i) => c.used?.includes(i) ?? true)
  const terms = used.map((y) => quadratic(b, y, random))
  b.output(
    terms.reduce((total, term) => b.op('Add', [total, term])),
    'loss',
  )
  return { model: b.build(), wrt }
}

function quadratic(b: GraphBuilder, y: string, random: Random): string {
  const { shape } = b.type(y)
  const draw = () => b.constant(floats(shape, normal(random, sizeOf(shape))))
  const slope = b.op('Add', [draw(), b.op('Mul', [y, draw()])])
  return total(b, b.op('Mul', [y, slope]))
}

function total(b: GraphBuilder, x: string): string {
  return b.op('ReduceSum', [x], { keepdims: int(0) })
}

/** The gradients of a case, and the gradients of a random combination of those: `loss2`. */
export function secondOrder(
  model: Model,
  wrt: readonly string[],
): {
  model: Model
  first: Record<string, string>
  second: Record<string, string>
} {
  const once = gradient(model, { loss: 'loss', wrt })
  const random = createRandom(deriveSeed(11, wrt.join()))
  const b = new GraphBuilder({ base: once.model, prefix: 'sum/' })
  const terms = Object.values(once.gradients).map((name) => {
    const { shape } = b.type(name)
    const weights = b.constant(floats(shape, normal(random, sizeOf(shape))))
    return total(b, b.op('Mul', [name, weights]))
  })
  b.output(
    terms.reduce((sum, term) => b.op('Add', [sum, term])),
    'loss2',
  )
  const twice = gradient(b.build(), { loss: 'loss2', wrt })
  return { model: twice.model, first: { ...once.gradients }, second: { ...twice.gradients } }
}

/** Central differences of fourth order along one random direction per input. */
export async function differences(engine: Engine, c: VjpCase): Promise<Difference[]> {
  const { model, wrt } = caseModel(c)
  const twice = c.second === false ? undefined : secondOrder(model, wrt)
  const first = twice?.first ?? gradient(model, { loss: 'loss', wrt }).gradients
  const built = twice?.model ?? gradient(model, { loss: 'loss', wrt }).model
  const session = await engine.session(built, { optimize: 'basic' })
  const random = createRandom(deriveSeed(3, c.op))
  const at: Record<string, Tensor> = {}
  wrt.forEach((name, i) => {
    const sampler = Array.isArray(c.sample) ? c.sample[i]! : ((c.sample as Sampler) ?? normal)
    const shape = c.inputs[i]!
    at[name] = floats(shape, sampler(random, sizeOf(shape)))
  })
  const base = await session.run(at)
  const result: Difference[] = []
  for (const name of wrt) {
    const data = floatData(at[name]!)
    const direction = normalize(normal(random, data.length))
    const runs = await Promise.all(
      [1, -1, 2, -2].map((k) =>
        session.run({
          ...at,
          [name]: floats(
            at[name]!.shape,
            data.map((value, i) => value + k * STEP * direction[i]!),
          ),
        }),
      ),
    )
    const slope = (output: string) => {
      const [p1, m1, p2, m2] = runs.map((run) => floatData(run[output]!)[0]!) as [
        number,
        number,
        number,
        number,
      ]
      return (8 * (p1 - m1) - (p2 - m2)) / (12 * STEP)
    }
    result.push(
      compare(`d loss / d ${name}`, floatData(base[first[name]!]!), direction, slope('loss')),
    )
    if (twice)
      result.push(
        compare(`d² / d ${name}`, floatData(base[twice.second[name]!]!), direction, slope('loss2')),
      )
  }
  await session.release()
  return result
}

const STEP = 0.01

function compare(
  what: string,
  gradients: Float32Array,
  direction: Float32Array,
  numeric: number,
): Difference {
  let analytic = 0
  let square = 0
  gradients.forEach((g, i) => {
    analytic += g * direction[i]!
    square += g * g
  })
  const size = Math.max(Math.sqrt(square / gradients.length), 0.1)
  return { what, analytic, numeric, error: Math.abs(analytic - numeric) / size }
}

function normalize(values: Float32Array): Float32Array {
  const norm = Math.hypot(...values)
  return values.map((value) => value / norm)
}
