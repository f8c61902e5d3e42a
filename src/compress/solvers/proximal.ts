// Primal-proximal: weights W learn the task while a copy Z takes the shape, each pulling the other; how
// much goes comes out of one λ. SS-Auto, Liu et al. 2020 (arXiv 2001.08839).
import { kthLargest } from '../../tensor/largest.ts'
import { OptionError } from '../../util/errors.ts'
import { projected } from './admm.ts'
import { aliveShare, energies, sizes } from './groups.ts'
import type { ByWeight, Partition, Solver, SolverRun, Target } from './solver.ts'
import { type DrawOptions, drawOf } from './strength.ts'

/** Settings of `proximal`. */
export interface ProximalOptions extends DrawOptions {
  /** Price of a group of n weights: λ√n, in units of ρ. */
  readonly lambda?: number
  /**
   * Fraction of the elements that stay, over all targets, 0…1: every round takes the one λ that leaves
   * it, so that the amounts of single targets come out and their sum does not. Firm only.
   */
  readonly density?: number
  /**
   * `firm` zeroes groups with ‖w‖² < 2λ√n and leaves the others alone; `soft` shrinks every
   * group by λ√n, survivors too.
   */
  readonly prox?: 'firm' | 'soft'
  /** Part of the training before the masks are decided, 0…1. */
  readonly share?: number
  /**
   * True keeps what Z kept, with the plan as the least that stays; false meets the plan, and Z is the
   * nearest that does: neither λ nor the prox is asked.
   */
  readonly emerge?: boolean
}

/** What it remembers beside Z. */
export interface ProximalData {
  readonly rho: number
  /** Updates of Z so far. */
  readonly round: number
}

/** Returns the solver. */
export function proximal(options: ProximalOptions = {}): Solver<ProximalData> {
  const { lambda = 0.02, density, prox = 'firm', share = 0.5, emerge = true } = options
  if (density !== undefined && !(density > 0 && density < 1 && prox === 'firm' && emerge))
    throw new OptionError(
      `density needs the firm prox that decides, and a fraction between 0 and 1; found ${density}`,
    )
  const draw = drawOf(options)
  const shape = prox === 'firm' ? firm : soft
  // λ grows with ρ: what is small enough to go is the same in every round, and pulled ever harder.
  const project = ({ targets, weights }: SolverRun) => {
    const price = density === undefined ? lambda : priceOf(targets, weights, density)
    return targets.map((target) => {
      const values = pick(target, weights)
      return emerge ? shape(target.partitions, values, price) : projected(target, values)
    })
  }
  return {
    name: 'proximal',
    paper: 'https://arxiv.org/abs/2001.08839',
    ...(emerge && { decides: 'plan' as const }),
    settings: { ...draw.settings, lambda, prox, share, emerge, ...(density && { density }) },
    share,
    init(run) {
      const tensors: Record<string, Float32Array> = {}
      const rho = draw.rhoAt(0, run)
      project(run).forEach((z, i) => {
        for (const [name, data] of Object.entries(z)) tensors[`z/${i}/${name}`] = data
      })
      return { data: { rho, round: 0 }, tensors }
    },
    adjust({ targets, weights }, { data, tensors }, gradients) {
      targets.forEach((target, i) => {
        for (const name of target.weights) {
          const [w, z] = [weights[name]!, tensors[`z/${i}/${name}`]!]
          const gradient = gradients[name]
          if (gradient === undefined) continue
          for (let k = 0; k < w.length; k++) gradient[k]! += data.rho * (w[k]! - z[k]!)
        }
      })
    },
    act(run, { data, tensors }) {
      if (!draw.isUpdate(run)) return undefined
      const round = data.round + 1
      const rho = draw.rhoAt(round, run)
      project(run).forEach((z, i) => {
        for (const [name, values] of Object.entries(z)) tensors[`z/${i}/${name}`]!.set(values)
      })
      return { data: { rho, round } }
    },
    restarts: (steps) => [steps],
    finish({ targets }, { tensors }) {
      if (!emerge) return {}
      const keep = targets.map((target, i) => {
        const z = Object.fromEntries(
          target.weights.map((name) => [name, tensors[`z/${i}/${name}`]!]),
        )
        return aliveShare(target.partitions, (partition) => energies(partition, z))
      })
      return { keep }
    },
  }
}

function pick(target: Target, weights: ByWeight): ByWeight {
  return Object.fromEntries(target.weights.map((name) => [name, weights[name]!]))
}

/** Returns the λ at which the firm prox leaves a fraction of all elements: those that every group of theirs is worth it for. */
export function priceOf(targets: readonly Target[], weights: ByWeight, density: number): number {
  const worth = new Map<string, Float64Array>()
  for (const target of targets)
    for (const partition of target.partitions) {
      const count = sizes(partition)
      const prices = energies(partition, weights).map((e, g) => e / (2 * Math.sqrt(count[g]!)))
      for (const [name, group] of Object.entries(partition.of)) {
        const least =
          worth.get(name) ?? new Float64Array(group.length).fill(Number.POSITIVE_INFINITY)
        worth.set(name, least)
        group.forEach((g, i) => {
          if (g >= 0) least[i] = Math.min(least[i]!, prices[g]!)
        })
      }
    }
  const all = Float64Array.from([...worth.values()].flatMap((values) => [...values]))
  return kthLargest(all, Math.min(all.length, Math.floor(density * all.length) + 1))
}

/** Zeroes every group that a price of `threshold · √n` is too much for: ‖w‖² ≤ 2 · threshold · √n. */
export function firm(
  partitions: readonly Partition[],
  values: ByWeight,
  threshold: number,
): Record<string, Float32Array> {
  const result = copyOf(values)
  for (const partition of partitions) {
    const count = sizes(partition)
    const energy = energies(partition, values)
    scaleInPlace(partition, result, (g) =>
      energy[g]! > 2 * threshold * Math.sqrt(count[g]!) ? 1 : 0,
    )
  }
  return result
}

/** Cycles of Dykstra's method, and the change below which it has arrived. */
const CYCLES = 1000
const CHANGE = 1e-7

/**
 * Returns argmin ½‖z − w‖² + threshold · Σ √n ‖z_g‖ over all groups of all partitions: one shrinking
 * where groups are disjoint, Dykstra's alternation where partitions overlap.
 */
export function soft(
  partitions: readonly Partition[],
  values: ByWeight,
  threshold: number,
): Record<string, Float32Array> {
  const z = copyOf(values)
  if (partitions.length === 1) {
    shrinkInPlace(partitions[0]!, z, threshold)
    return z
  }
  const corrections = partitions.map(() =>
    mapValues(values, (data) => new Float32Array(data.length)),
  )
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    let change = 0
    partitions.forEach((partition, p) => {
      const correction = corrections[p]!
      const moved = mapValues(z, (data, name) => data.map((v, i) => v + correction[name]![i]!))
      const shrunk = copyOf(moved)
      shrinkInPlace(partition, shrunk, threshold)
      for (const [name, data] of Object.entries(shrunk))
        for (let i = 0; i < data.length; i++) {
          correction[name]![i] = moved[name]![i]! - data[i]!
          change = Math.max(change, Math.abs(data[i]! - z[name]![i]!))
          z[name]![i] = data[i]!
        }
    })
    if (change < CHANGE) break
  }
  return z
}

function shrinkInPlace(partition: Partition, values: ByWeight, threshold: number): void {
  const count = sizes(partition)
  const energy = energies(partition, values)
  scaleInPlace(partition, values, (group) => {
    const norm = Math.sqrt(energy[group]!)
    return norm === 0 ? 0 : Math.max(0, 1 - (threshold * Math.sqrt(count[group]!)) / norm)
  })
}

function scaleInPlace(
  { of }: Partition,
  values: ByWeight,
  factor: (group: number) => number,
): void {
  for (const [name, group] of Object.entries(of)) {
    const data = values[name]!
    for (let i = 0; i < group.length; i++) if (group[i]! >= 0) data[i]! *= factor(group[i]!)
  }
}

function copyOf(values: ByWeight): Record<string, Float32Array> {
  return mapValues(values, (data) => data.slice())
}

function mapValues(
  values: ByWeight,
  map: (data: Float32Array, name: string) => Float32Array,
): Record<string, Float32Array> {
  return Object.fromEntries(Object.entries(values).map(([name, data]) => [name, map(data, name)]))
}
