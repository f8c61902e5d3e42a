// The only source of randomness: a seeded generator whose state can be saved and restored.

/** State of a generator: four unsigned 32-bit integers, plain data. */
export type RandomState = readonly [number, number, number, number]

/** A seeded generator (xoshiro128**, Blackman and Vigna 2018). */
export interface Random {
  /** Uniform in [0, 1). */
  uniform(): number
  /** Integer in [0, bound). */
  integer(bound: number): number
  /** Standard normal. */
  normal(): number
  /** A permutation of 0…n-1. */
  permutation(n: number): Int32Array
  /** State to continue from, with `createRandom(state)`. */
  state(): RandomState
}

/** Returns a generator for a seed (any integer) or a saved state. Same seed, same sequence. */
export function createRandom(seed: number | RandomState): Random {
  let [a, b, c, d] = typeof seed === 'number' ? expand(seed) : seed
  const next = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotate(d, 11)
    return result
  }
  const uniform = () => next() / 4294967296
  const integer = (bound: number) => Math.floor(uniform() * bound)
  return {
    uniform,
    integer,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    permutation: (n) => {
      const order = Int32Array.from({ length: n }, (_, i) => i)
      for (let i = n - 1; i > 0; i--) {
        const j = integer(i + 1)
        const swapped = order[i]!
        order[i] = order[j]!
        order[j] = swapped
      }
      return order
    },
    state: () => [a >>> 0, b >>> 0, c >>> 0, d >>> 0],
  }
}

/** Returns a seed derived from a seed and a label, so that parts draw independent sequences. */
export function deriveSeed(seed: number, label: string): number {
  let hash = (2166136261 ^ seed) >>> 0
  for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 16777619)
  return hash >>> 0
}

function rotate(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k))
}

// splitmix32, the expansion its authors recommend for seeding.
function expand(seed: number): RandomState {
  let x = seed | 0
  const draw = () => {
    x = (x + 0x9e3779b9) | 0
    let z = x ^ (x >>> 16)
    z = Math.imul(z, 0x21f0aaad)
    z ^= z >>> 15
    z = Math.imul(z, 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
  return [draw(), draw(), draw(), draw()]
}
