// Punched blocks against their paper (YOLObile, arXiv 2009.05697): units found by a plain walk.
import { describe, expect, it } from 'vitest'
import { structures } from '../../src/compress/registry.ts'
import { levelFor } from '../../src/compress/structures/densities.ts'
import { floats, sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom, type Random } from '../../src/util/random.ts'

const punched = structures.named('block-punched:4/8')

/** Unit of an element: block of eight outputs, block of four inputs, kernel position. */
function unitOf(shape: readonly number[], index: number): number {
  const taps = sizeOf(shape.slice(2))
  const [output, input] = [
    Math.floor(index / taps / shape[1]!),
    Math.floor(index / taps) % shape[1]!,
  ]
  const block = Math.floor(output / 8) * Math.ceil(shape[1]! / 4) + Math.floor(input / 4)
  return block * taps + (index % taps)
}

const unitCount = ([outputs, inputs, ...taps]: readonly number[]) =>
  Math.ceil(outputs! / 8) * Math.ceil(inputs! / 4) * sizeOf(taps)

function normal(shape: readonly number[], random: Random): Float32Array {
  return Float32Array.from({ length: sizeOf(shape) }, () => random.normal())
}

function project(shape: readonly number[], values: Float32Array, level: number): Uint8Array {
  const score = floats(
    shape,
    values.map((value) => value * value),
  )
  return punched.project(score, level, punched.order?.(score, level))
}

describe.each([[[16, 8, 1, 1]], [[16, 8, 3, 3]], [[16, 8, 5, 5]], [[20, 6, 3, 3]], [[24, 12]]])(
  '%j',
  (shape) => {
    it('every unit stays or goes as a whole, in the number that the level says', () => {
      const random = createRandom(1)
      const values = normal(shape, random)
      for (const keep of [0.5, 0.25, 0.125]) {
        const level = levelFor(punched, shape, keep)
        const mask = project(shape, values, level)
        // Outputs share along an order: the blocks are of those that lie together there.
        const order =
          punched.order?.(
            floats(
              shape,
              values.map((value) => value * value),
            ),
            level,
          ) ?? Int32Array.from({ length: shape[0]! }, (_, i) => i)
        const row = mask.length / shape[0]!
        const kept = new Map<number, Set<number>>()
        order.forEach((output, place) => {
          for (let i = 0; i < row; i++) {
            const unit = unitOf(shape, place * row + i)
            kept.set(unit, (kept.get(unit) ?? new Set()).add(mask[output * row + i]!))
          }
        })
        expect(kept.size).toBe(unitCount(shape))
        for (const bits of kept.values()) expect(bits.size).toBe(1)
        const alive = [...kept.values()].filter((bits) => bits.has(1)).length
        expect(alive).toBe(Math.round(punched.levels(shape)[level]! * unitCount(shape)))
      }
    })
  },
)
