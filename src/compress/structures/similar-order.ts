// Which outputs share a mask: a matching that loses least, pairs first, then pairs of pairs.
//
// With a threshold τ per kept column, two outputs that share a mask keep Σ_j max(0, a_j + b_j − τ): the
// Lagrangian of keeping the best columns of all pairs. The matching of the largest total is searched
// greedily, then mended by exchanging partners until no exchange gains.
import { kthLargest } from '../../tensor/largest.ts'
import { type FloatTensor, floatData, sizeOf } from '../../tensor/tensor.ts'

/** What the order is for. */
export interface SimilarOptions {
  /** Outputs per mask, a power of two. */
  readonly share: number
  /** Fraction of the columns that will be kept. */
  readonly density: number
}

/** Outputs that are matched at once: the table of pairs is square in it. */
const CHUNK = 2048
/** Products spent on a table of pairs; where there are more, every n-th column stands for all. */
const WORK = 1e8
/** Rounds of exchanging partners; a few reach the end. */
const ROUNDS = 20

/** Returns an order of the outputs `[o, …]` of a score: each run of `share` outputs suits one mask. */
export function similarOrder(score: FloatTensor, { share, density }: SimilarOptions): Int32Array {
  const outputs = score.shape[0]!
  const columns = sizeOf(score.shape.slice(1))
  const values = floatData(score)
  const order: number[] = []
  for (let first = 0; first < outputs; first += CHUNK) {
    const count = Math.min(CHUNK, outputs - first)
    const step = Math.max(1, Math.ceil((count * count * columns) / 2 / WORK))
    let rows: Float32Array[] = Array.from({ length: count }, (_, i) => {
      const row = new Float32Array(Math.ceil(columns / step))
      for (let j = 0; j < row.length; j++) row[j] = values[(first + i) * columns + j * step]!
      return row
    })
    let sets = rows.map((_, i) => [first + i])
    for (let size = 1; size < share; size *= 2) {
      const pairs = match(rows, density)
      sets = pairs.map((pair) => pair.flatMap((i) => sets[i]!))
      rows = pairs.map((pair) => pair.map((i) => rows[i]!).reduce(sum))
    }
    order.push(...sets.flat())
  }
  return Int32Array.from(order)
}

/** Pairs of row numbers; with an odd count the last pair has one. */
function match(rows: readonly Float32Array[], density: number): number[][] {
  const threshold = 2 * columnThreshold(rows, density)
  const n = rows.length
  const value = new Float32Array(n * n)
  for (let a = 0; a < n; a++)
    for (let b = a + 1; b < n; b++) {
      const kept = keptTogether(rows[a]!, rows[b]!, threshold)
      value[a * n + b] = kept
      value[b * n + a] = kept
    }
  const partner = greedyPartners(value, n)
  exchangePartners(partner, value, n)
  const pairs: number[][] = []
  let single: number | undefined
  for (let a = 0; a < n; a++) {
    const b = partner[a]!
    if (b < 0) single = a
    else if (a < b) pairs.push([a, b])
  }
  return single === undefined ? pairs : [...pairs, [single]]
}

function columnThreshold(rows: readonly Float32Array[], density: number): number {
  const length = rows.reduce((sum, row) => sum + row.length, 0)
  const all = new Float64Array(length)
  let at = 0
  for (const row of rows) {
    all.set(row, at)
    at += row.length
  }
  return kthLargest(all, Math.min(length, Math.max(1, Math.round(length * density))))
}

function sum(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, j) => value + b[j]!)
}

function keptTogether(a: Float32Array, b: Float32Array, threshold: number): number {
  let kept = 0
  // Without a branch: which columns are kept cannot be foreseen.
  for (let j = 0; j < a.length; j++) kept += Math.max(0, a[j]! + b[j]! - threshold)
  return kept
}

// Best pairs first. Each row remembers its best free partner; a taken one is searched again.
function greedyPartners(value: Float32Array, n: number): Int32Array {
  const partner = new Int32Array(n).fill(-1)
  const best = new Int32Array(n).fill(-1)
  const search = (a: number): void => {
    let found = -1
    for (let b = 0; b < n; b++)
      if (b !== a && partner[b]! < 0 && (found < 0 || value[a * n + b]! > value[a * n + found]!))
        found = b
    best[a] = found
  }
  for (let a = 0; a < n; a++) search(a)
  for (let pair = 0; pair < n >> 1; pair++) {
    let first = -1
    for (let a = 0; a < n; a++) {
      if (partner[a]! >= 0) continue
      if (partner[best[a]!]! >= 0) search(a)
      if (first < 0 || value[a * n + best[a]!]! > value[first * n + best[first]!]!) first = a
    }
    partner[first] = best[first]!
    partner[best[first]!] = first
  }
  return partner
}

// Two pairs (a, b), (c, d) become (a, c), (b, d) or (a, d), (b, c) where that keeps more.
function exchangePartners(partner: Int32Array, value: Float32Array, n: number): void {
  let changed = true
  for (let round = 0; changed && round < ROUNDS; round++) {
    changed = false
    for (let a = 0; a < n; a++)
      for (let c = a + 1; c < n; c++) {
        const [b, d] = [partner[a]!, partner[c]!]
        if (b === c || b < 0 || d < 0) continue
        const now = value[a * n + b]! + value[c * n + d]!
        const then = value[a * n + c]! + value[b * n + d]!
        if (then <= now + 1e-6 * Math.abs(now)) continue
        partner[a] = c
        partner[c] = a
        partner[b] = d
        partner[d] = b
        changed = true
      }
  }
}
