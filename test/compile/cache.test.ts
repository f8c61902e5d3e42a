// A decoder with a cache: token by token equals all tokens at once, and ONNX Runtime on the file given.
import { InputError, load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { float, int, intList, type Model } from '../../src/ir/graph.ts'
import { tensor } from '../../src/tensor/tensor.ts'
import { runReference } from '../support/ort.ts'
import { normal } from './bundle-harness.ts'

const WIDTH = 8

interface DecoderOptions {
  /** How tokens after one are hidden from it. */
  readonly mask?: 'add' | 'where' | 'none'
  /** Mixes neighbours, as no attention does. */
  readonly isConvolved?: boolean
}

/** Embedding, positions from a table, two heads with one mask, a gate, and logits. */
function decoder({ mask = 'add', isConvolved = false }: DecoderOptions = {}): Model {
  const b = new GraphBuilder()
  const tokens = b.input('tokens', 'int64', ['batch', 'length'])
  const embedded = b.op('Gather', [b.constant(normal([11, WIDTH], 1)), tokens])
  const length = b.op('Gather', [b.op('Shape', [tokens]), b.ints([1])])
  const bounds = [b.ints([0]), length, b.ints([0])]
  const places = b.op('Slice', [b.constant(normal([32, WIDTH], 2)), ...bounds])
  let x = b.op('Add', [embedded, places])
  if (isConvolved) {
    const turned = b.op('Transpose', [x], { perm: intList([0, 2, 1]) })
    const weights = b.constant(normal([WIDTH, WIDTH, 3], 12))
    const mixed = b.op('Conv', [turned, weights], { pads: intList([2, 0]) })
    x = b.op('Transpose', [mixed], { perm: intList([0, 2, 1]) })
  }
  const project = (seed: number, perm: readonly number[]) => {
    const made = b.op('MatMul', [x, b.constant(normal([WIDTH, WIDTH], seed))])
    const heads = b.op('Reshape', [made, b.ints([0, 0, 2, WIDTH / 2])])
    return b.op('Transpose', [heads], { perm: intList(perm) })
  }
  const [q, k, v] = [project(3, [0, 2, 1, 3]), project(4, [0, 2, 3, 1]), project(5, [0, 2, 1, 3])]
  let scores = b.op('Mul', [b.op('MatMul', [q, k]), b.scalar(0.5)])
  const square = b.op('Concat', [length, length], { axis: int(0) })
  if (mask === 'add') {
    const value = { type: 'tensor', value: tensor('float32', [1], Float32Array.of(-1e9)) } as const
    const low = b.op('ConstantOfShape', [square], { value })
    scores = b.op('Add', [
      scores,
      b.op('Trilu', [low, b.constant(tensor('int64', [], BigInt64Array.of(1n)))], {
        upper: int(1),
      }),
    ])
  } else if (mask === 'where') {
    const value = { type: 'tensor', value: tensor('float32', [1], Float32Array.of(1)) } as const
    const seen = b.op('Trilu', [b.op('ConstantOfShape', [square], { value })], { upper: int(0) })
    const isSeen = b.op('Greater', [seen, b.scalar(0.5)])
    scores = b.op('Where', [isSeen, scores, b.scalar(-1e9)])
  }
  const mixed = b.op('MatMul', [b.op('Softmax', [scores], { axis: int(-1) }), v])
  const merged = b.op('Reshape', [
    b.op('Transpose', [mixed], { perm: intList([0, 2, 1, 3]) }),
    b.ints([0, 0, WIDTH]),
  ])
  const sum = b.op('Add', [x, merged])
  const normed = b.op(
    'LayerNormalization',
    [sum, b.constant(normal([WIDTH], 6)), b.constant(normal([WIDTH], 7))],
    { epsilon: float(1e-5) },
  )
  const gated = b.op('Mul', [normed, b.op('Sigmoid', [normed])])
  b.output(b.op('MatMul', [gated, b.constant(normal([WIDTH, 11], 8))]), 'logits')
  return b.build()
}

const ids = Array.from({ length: 14 }, (_, i) => (i * 7 + 3) % 11)

async function logitsOf(model: Model, tokens: readonly number[]): Promise<Float32Array> {
  const data = BigInt64Array.from(tokens, BigInt)
  const feeds = { tokens: { dtype: 'int64', shape: [1, tokens.length], data } } as const
  return (await runReference(model, feeds)).logits!.data as Float32Array
}

function expectClose(found: ArrayLike<number | bigint>, expected: ArrayLike<number>): void {
  expect(Array.from(found, Number)).toEqual(
    Array.from(expected, (value) => expect.closeTo(value, 4)),
  )
}

describe('a decoder with a cache', () => {
  it.each(['add', 'where'] as const)('goes on where it is, mask by %s', async (mask) => {
    const model = decoder({ mask })
    const cache = { size: 'length', most: 16, prefill: [4, 16] }
    const compiled = compile(model, { cache })
    // One set of weights, and tables.
    const one = compile(model, { bindings: { length: 16 } }).program.constants.length
    expect(compiled.program.constants.length).toBeLessThan(1.5 * one)
    const bundle = await load(compiled)
    const expected = await logitsOf(model, ids)
    const row = (i: number) => expected.subarray(i * 11, (i + 1) * 11)
    // From nothing; after a beginning of one length or another, each of which forgets what was before.
    for (const start of [0, 3, 9, 2]) {
      if (start === 0) await bundle.reset()
      else {
        const { logits } = await bundle.run({ tokens: ids.slice(0, start) })
        expect([...logits!.shape]).toEqual([1, start, 11])
        expectClose(logits!.data as Float32Array, expected.subarray(0, start * 11))
      }
      for (let i = start; i < ids.length; i++) {
        const { logits } = await bundle.run({ tokens: [ids[i]!] }, { entry: 'decode' })
        expectClose(logits!.data as Float32Array, row(i))
      }
    }
    bundle.dispose()
  })

  it('refuses tokens beyond its end, until it is reset', async () => {
    const bundle = await load(compile(decoder(), { cache: { size: 'length', most: 5 } }))
    const decode = () => bundle.run({ tokens: [3] }, { entry: 'decode' })
    const [first] = [await decode()]
    for (let i = 1; i < 5; i++) await decode()
    await expect(decode()).rejects.toThrow(InputError)
    await expect(decode()).rejects.toThrow('"position" is 5, and must be below 5')
    await bundle.reset()
    expect((await decode()).logits).toEqual(first.logits)
    const given = bundle.run({ tokens: [3], position: [7] }, { entry: 'decode' })
    await expect(given).rejects.toThrow('"position" is 7')
    bundle.dispose()
  })

  it('is declined by name where a token sees others in another way', () => {
    const cache = { size: 'length', most: 16 }
    const of = (options: DecoderOptions) => () => compile(decoder(options), { cache })
    expect(of({ mask: 'none' })).toThrow(/\(Softmax\): no mask hides the tokens after one/)
    expect(of({ isConvolved: true })).toThrow(/\(Conv\): it mixes tokens/)
    expect(() => compile(decoder(), { cache: { size: 'lenght', most: 16 } })).toThrow(
      /no such dimension: did you mean "length"|Cannot bind "lenght"/,
    )
    expect(() => compile(decoder(), { cache: { ...cache, prefill: [32] } })).toThrow(
      /up to 32 tokens: 16 are cached/,
    )
    const entries = { all: {} }
    expect(() => compile(decoder(), { cache, entries })).toThrow(/give neither beside it/)
  })
})
