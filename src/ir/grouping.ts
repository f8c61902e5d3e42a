// Which outputs share a sparse kernel's columns: outputs with equal masks, then with similar ones,
// wherever they stand. A kernel over channel planes writes each plane by its own address, so the
// outputs of a group need not be neighbours (PatDNN reorders filters for the same end, Niu et al. 2020).
import type { SparseWeight } from './sparsity.ts'

/** How many outputs share their columns. */
export type GroupWidth = 1 | 2 | 4

/** Outputs in groups: those of `width` first, then what remains in a pair and a single one. */
export interface Grouping {
  readonly width: GroupWidth
  /** Every output once, group after group. */
  readonly order: Int32Array
  /** True where groups are neighbours in their own order: 0, 1, 2 … */
  readonly isAdjacent: boolean
  /** Columns to store: the union of the nonzeros of a group, over all groups. */
  readonly stored: number
}

/** One or more outputs with the union of their masks, a bit per column. */
interface Member {
  readonly outputs: readonly number[]
  readonly mask: Uint32Array
}

/** Word comparisons that looking for similar masks may take at each level: some ten milliseconds. */
const EFFORT = 1 << 23
/** Neighbours keep their order where another one would store less than this part fewer columns. */
const WORTH = 0.02

/**
 * Returns, for groups of one, two and four, outputs in groups that store few columns; pairs of pairs are
 * the groups of four. Equal masks are found by their hash; the rest is paired greedily by the size of the
 * union, among all or, in large layers, among candidates that min-wise hashing puts near each other.
 * Deterministic; time grows linearly with the weights.
 */
export function groupings(weight: SparseWeight): Readonly<Record<GroupWidth, Grouping>> {
  const single = membersOf(weight)
  const inOrder = { 1: single, 2: neighbours(single), 4: neighbours(neighbours(single)) }
  const pairs = pairUp(single)
  const found = { 1: single, 2: pairs, 4: pairUp(pairs) }
  const pick = (width: GroupWidth): Grouping => {
    const [near, best] = [groupingOf(inOrder[width], width), groupingOf(found[width], width)]
    return best.stored < near.stored * (1 - WORTH) ? best : near
  }
  return { 1: pick(1), 2: pick(2), 4: pick(4) }
}

function groupingOf(members: readonly Member[], width: GroupWidth): Grouping {
  const bySize = [...members].sort(
    (a, b) => b.outputs.length - a.outputs.length || a.outputs[0]! - b.outputs[0]!,
  )
  const order = Int32Array.from(bySize.flatMap(({ outputs }) => outputs))
  const stored = members.reduce((sum, { mask }) => sum + bitsIn(mask), 0)
  return { width, order, isAdjacent: order.every((output, i) => output === i), stored }
}

function membersOf({ data, outputs, columns }: SparseWeight): Member[] {
  return Array.from({ length: outputs }, (_, output) => {
    const mask = new Uint32Array(Math.ceil(columns / 32))
    const row = output * columns
    for (let column = 0; column < columns; column++)
      if (data[row + column] !== 0) mask[column >>> 5]! |= 1 << (column & 31)
    return { outputs: [output], mask }
  })
}

// Only members of equal size are joined: what was left over stays alone.
function neighbours(members: readonly Member[]): Member[] {
  const joined: Member[] = []
  for (let i = 0; i < members.length; i++) {
    const [one, other] = [members[i]!, members[i + 1]]
    if (other?.outputs.length !== one.outputs.length) joined.push(one)
    else {
      joined.push(join(one, other))
      i++
    }
  }
  return joined
}

function join(a: Member, b: Member): Member {
  return {
    outputs: [...a.outputs, ...b.outputs],
    mask: a.mask.map((word, i) => word | b.mask[i]!),
  }
}

function pairUp(members: readonly Member[]): Member[] {
  const size = members[0]?.outputs.length
  const alone = members.filter(({ outputs }) => outputs.length !== size)
  const { pairs, rest } = pairEqual(members.filter(({ outputs }) => outputs.length === size))
  return [...pairs, ...pairSimilar(rest), ...alone]
}

// Members with the same mask, in pairs; of an odd number the last is left.
function pairEqual(members: readonly Member[]): { pairs: Member[]; rest: Member[] } {
  const waiting = new Map<number, Member[]>()
  const pairs: Member[] = []
  for (const member of members) {
    const key = hash(member.mask)
    const rivals = waiting.get(key) ?? []
    const at = rivals.findIndex(({ mask }) => mask.every((word, i) => word === member.mask[i]))
    if (at < 0) waiting.set(key, [...rivals, member])
    else {
      pairs.push(join(rivals[at]!, member))
      waiting.set(key, rivals.toSpliced(at, 1))
    }
  }
  return { pairs, rest: members.filter((m) => waiting.get(hash(m.mask))!.includes(m)) }
}

function pairSimilar(members: readonly Member[]): Member[] {
  const words = Math.max(1, members[0]?.mask.length ?? 0)
  const window = Math.max(8, Math.floor(EFFORT / (words * Math.max(1, members.length))))
  const near = window >= members.length ? members : inSketchOrder(members)
  const isTaken = new Uint8Array(near.length)
  const found: Member[] = []
  near.forEach((member, i) => {
    if (isTaken[i] === 1) return
    let [best, least] = [-1, Number.POSITIVE_INFINITY]
    for (let j = i + 1, seen = 0; j < near.length && seen < window; j++) {
      if (isTaken[j] === 1) continue
      seen++
      const size = bitsInUnion(member.mask, near[j]!.mask)
      if (size < least) [best, least] = [j, size]
    }
    if (best < 0) found.push(member)
    else {
      isTaken[best] = 1
      found.push(join(member, near[best]!))
    }
  })
  return found
}

// Similar sets are likely to have the same least element under a random order (Broder, 1997).
function inSketchOrder(members: readonly Member[]): Member[] {
  const sketch = (mask: Uint32Array, seed: number) => {
    let least = 0xffffffff
    mask.forEach((word, i) => {
      for (let rest = word; rest !== 0; rest &= rest - 1) {
        const column = i * 32 + 31 - Math.clz32(rest & -rest)
        least = Math.min(least, scramble(column ^ seed))
      }
    })
    return least
  }
  return members
    .map((member) => ({
      member,
      keys: [0x9e3779b9, 0x7f4a7c15].map((seed) => sketch(member.mask, seed)),
    }))
    .sort((a, b) => a.keys[0]! - b.keys[0]! || a.keys[1]! - b.keys[1]!)
    .map(({ member }) => member)
}

function hash(mask: Uint32Array): number {
  return mask.reduce((value, word) => scramble(value ^ word), 2166136261)
}

// A mixing function with good avalanche (Wellons' lowbias32).
function scramble(x: number): number {
  let value = x >>> 0
  value = Math.imul(value ^ (value >>> 16), 0x7feb352d)
  value = Math.imul(value ^ (value >>> 15), 0x846ca68b)
  return (value ^ (value >>> 16)) >>> 0
}

function bitsIn(mask: Uint32Array): number {
  let count = 0
  for (const word of mask) count += bitsOf(word)
  return count
}

function bitsInUnion(a: Uint32Array, b: Uint32Array): number {
  let count = 0
  for (let i = 0; i < a.length; i++) count += bitsOf(a[i]! | b[i]!)
  return count
}

/** Returns how many bits of a 32-bit integer are set. */
export function bitsOf(word: number): number {
  let x = word - ((word >>> 1) & 0x55555555)
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333)
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
