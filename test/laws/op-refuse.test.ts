// Law over the op registry: a node that does not fit is refused with a reason, never by accident.
import { describe, expect, it } from 'vitest'
import type { Attribute, Node, ValueType } from '../../src/ir/graph.ts'
import { spanOf } from '../../src/ir/analyze.ts'
import { UnknownValue } from '../../src/ir/op.ts'
import { findOp } from '../../src/ir/ops/index.ts'
import { contextOf } from '../../src/ir/ops/shared/check.ts'
import { floats, ints, sizeOf, type Tensor, tensor } from '../../src/tensor/tensor.ts'
import { createRandom, type Random } from '../../src/util/random.ts'
import { ModelError } from '../../src/util/errors.ts'
import { type OpCase, opCases } from './op-cases.ts'

const mutationsPerCase = 60
/** What `analyze` computes ahead. */
const knownLimit = 4096

describe('op records refuse what does not fit', () => {
  opCases.forEach((item, i) => {
    it(`${item.op} #${i}`, () => {
      const random = createRandom(1000 + i)
      for (let trial = 0; trial < mutationsPerCase; trial++) {
        const mutated = mutate(item, random)
        const problem = accident(mutated)
        expect(problem, problem && describeCase(mutated)).toBeUndefined()
      }
    })
  })
})

/** Returns how a record failed by accident; undefined when it answered or refused with a reason. */
function accident({ op, inputs, attributes, outputs, opset }: OpCase): string | undefined {
  const node: Node = {
    name: 'node',
    domain: '',
    op,
    inputs: inputs.map((value, i) => (value ? `in_${i}` : '')),
    outputs: Array.from({ length: outputs }, (_, i) => `out_${i}`),
    attributes,
  }
  const record = findOp(node)!
  try {
    const types = record.infer(contextOf(node, inputs, opset))
    const bad = types.find((type) => !isType(type))
    if (bad) return `infers ${JSON.stringify(bad)}`
    const small = [...types, ...inputs.filter((value) => value !== undefined)].every(
      ({ shape }) => spanOf(shape) <= knownLimit,
    )
    if (!small || record.evaluate === undefined) return undefined
    const values = record.evaluate(node, inputs, opset)
    const wrong = types.findIndex((type, i) => String(type.shape) !== String(values[i]?.shape))
    return wrong < 0 ? undefined : `computes [${values[wrong]?.shape}] for [${types[wrong]!.shape}]`
  } catch (error) {
    if (error instanceof UnknownValue || error instanceof ModelError) return undefined
    const { name, message, stack } = error as Error
    const deliberate = name === 'Error' && !/undefined|NaN|internal/.test(message)
    return deliberate ? undefined : `${name}: ${message} ${stack}`
  }
}

function isType({ shape }: ValueType): boolean {
  return shape.every((size) => Number.isSafeInteger(size) && size >= 0)
}

function mutate(item: OpCase, random: Random): OpCase {
  const inputs = [...item.inputs]
  const attributes: Record<string, Attribute> = { ...item.attributes }
  const names = Object.keys(attributes)
  const spot = random.integer(Math.max(1, inputs.length))
  switch (random.integer(6)) {
    case 0:
      inputs[spot] = undefined
      break
    case 1:
      inputs.length = random.integer(inputs.length + 1)
      break
    case 2:
    case 3:
      inputs[spot] = mutateTensor(inputs[spot], random)
      break
    case 4:
      if (names.length > 0) delete attributes[names[random.integer(names.length)]!]
      break
    default:
      if (names.length > 0) {
        const name = names[random.integer(names.length)]!
        attributes[name] = mutateAttribute(attributes[name]!, random)
      }
  }
  return { ...item, inputs, attributes }
}

const sizes = [0, 1, 2, 3, 5, 7]
const numbers = [-9e15, -1e9, -3, -1, 0, 1, 2, 3, 4, 7, 1e6, 1e9, 9e15]

function mutateTensor(value: Tensor | undefined, random: Random): Tensor {
  const rank = random.integer(5)
  const shape = Array.from({ length: rank }, () => sizes[random.integer(sizes.length)]!)
  const count = sizeOf(shape)
  const draw = () => numbers[random.integer(numbers.length)]!
  if (value?.dtype === 'int64')
    return random.integer(2) === 0
      ? ints(Array.from({ length: count }, draw), shape)
      : ints(
          Array.from(value.data as BigInt64Array, () => draw()),
          value.shape,
        )
  if (random.integer(4) === 0) return tensor('bool', shape, new Uint8Array(count))
  return floats(
    shape,
    Array.from({ length: count }, () => random.normal()),
  )
}

function mutateAttribute(attribute: Attribute, random: Random): Attribute {
  const draw = () => numbers[random.integer(numbers.length)]!
  switch (attribute.type) {
    case 'int':
      return { type: 'int', value: draw() }
    case 'float':
      return { type: 'float', value: random.integer(3) === 0 ? Number.NaN : draw() }
    case 'ints':
      return {
        type: 'ints',
        value: Array.from({ length: random.integer(6) }, () =>
          random.integer(2) === 0 ? draw() : random.integer(4),
        ),
      }
    case 'string':
      return { type: 'string', value: 'neither' }
    default:
      return { type: 'int', value: draw() }
  }
}

function describeCase({ op, inputs, attributes, opset }: OpCase): string {
  const types = inputs.map((value) => value && `${value.dtype}[${value.shape}]=${value.data}`)
  const values = Object.entries(attributes).map(([name, { value }]) => `${name}=${value}`)
  return `${op}-${opset} (${types.join('; ')}) ${values.join(' ')}`
}
