// What penalties on groups share: the energy of each group, and a pull on its weights.
import { kthLargest } from '../../tensor/largest.ts'
import type { ByWeight, Partition, SolverRun, Target } from './solver.ts'

/** Σ w² of every group. */
export function energies({ count, of }: Partition, weights: ByWeight): Float64Array {
  const sums = new Float64Array(count)
  for (const [name, group] of Object.entries(of)) {
    const values = weights[name]!
    for (let i = 0; i < group.length; i++) {
      const id = group[i]!
      if (id >= 0) sums[id]! += values[i]! * values[i]!
    }
  }
  return sums
}

// Asked for at every step, and as long as the elements.
const sizesOf = new WeakMap<Partition, Int32Array>()

/** Elements of every group. */
export function sizes(partition: Partition): Int32Array {
  const known = sizesOf.get(partition)
  if (known !== undefined) return known
  const found = new Int32Array(partition.count)
  for (const group of Object.values(partition.of)) for (const id of group) if (id >= 0) found[id]!++
  sizesOf.set(partition, found)
  return found
}

/**
 * Adds `strength[group] · w` to the gradient of every weight in a group, in place. A pull beyond what
 * brings a weight to zero in one step of the given rate would throw it past zero: it is cut there.
 */
export function pullInPlace(
  { of }: Partition,
  strength: ArrayLike<number>,
  at: { readonly weights: ByWeight; readonly gradients: ByWeight; readonly rate: number },
): void {
  const most = at.rate > 0 ? 1 / at.rate : Number.POSITIVE_INFINITY
  for (const [name, group] of Object.entries(of)) {
    const [values, gradient] = [at.weights[name]!, at.gradients[name]]
    if (gradient === undefined) continue
    for (let i = 0; i < group.length; i++) {
      const id = group[i]!
      if (id >= 0) gradient[i]! += Math.min(most, strength[id]!) * values[i]!
    }
  }
}

/** Median energy of the groups of every partition of every target. */
export function medianEnergies({ targets, weights }: SolverRun): number[][] {
  return targets.map(({ partitions }) =>
    partitions.map((partition) => medianOf(energies(partition, weights))),
  )
}

/** The median; 0 of nothing. Linear time. */
export function medianOf(values: Float64Array): number {
  return values.length === 0 ? 0 : kthLargest(values.slice(), (values.length + 1) >> 1)
}

/** How many groups of every partition of a target its masks would keep now, at least in part. */
export function keptGroups(target: Target, { score }: Pick<SolverRun, 'score'>): number[] {
  const scores = target.weights.map((name) => [name, score(name, target)] as const)
  const masks = target.project(Object.fromEntries(scores))
  return target.partitions.map(({ count, of }) => {
    const alive = new Uint8Array(count)
    for (const [name, group] of Object.entries(of))
      for (let i = 0; i < group.length; i++)
        if (group[i]! >= 0 && masks[name]?.[i] !== 0) alive[group[i]!] = 1
    return alive.reduce((sum, bit) => sum + bit, 0)
  })
}

/**
 * Fraction of the elements whose group is alive in every partition, where partitions cut across each
 * other independently (rows and columns of a block).
 */
export function aliveShare(
  partitions: readonly Partition[],
  alive: (partition: Partition, index: number) => ArrayLike<number>,
): number {
  return partitions.reduce((share, partition, index) => {
    const found = alive(partition, index)
    const count = sizes(partition)
    let [kept, all] = [0, 0]
    for (let g = 0; g < count.length; g++) {
      all += count[g]!
      if (found[g]! > 0) kept += count[g]!
    }
    return all === 0 ? share : (share * kept) / all
  }, 1)
}
