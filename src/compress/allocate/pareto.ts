// Multiple-choice knapsack by its Pareto front: one option per group, most gain within a budget.

/** One option of a group. Costs may be negative. */
export interface Option {
  readonly cost: number
  readonly gain: number
}

/** A solved instance. */
export interface Selection {
  /** Chosen option per group. */
  readonly chosen: readonly number[]
  readonly cost: number
  readonly gain: number
}

/** How the exact search is bounded. */
export interface SelectOptions {
  /**
   * States kept per group. Below it the result is exact; beyond it states whose costs differ by less
   * than `span / limit` merge into the one of most gain (`span` between cheapest and budget), so that
   * the result is within budget and at least as good as the optimum for a budget smaller by
   * `groups × span / limit`.
   */
  readonly limit?: number
}

interface Layer {
  readonly cost: Float64Array
  readonly gain: Float64Array
  readonly choice: Int32Array
  readonly from: Int32Array
}

/**
 * Returns one option per group with the largest total gain whose total cost is at most `budget`
 * (the cheaper one on a tie), or undefined when even the cheapest options cost more.
 */
export function select(
  groups: readonly (readonly Option[])[],
  budget: number,
  { limit = 1 << 14 }: SelectOptions = {},
): Selection | undefined {
  const slack = 1e-12 * Math.max(1, Math.abs(budget))
  const cheapest = groups.map((options) => Math.min(...options.map((option) => option.cost)))
  // Least that the groups from i on must still cost.
  const rest = new Float64Array(groups.length + 1)
  for (let i = groups.length - 1; i >= 0; i--) rest[i] = rest[i + 1]! + cheapest[i]!
  if (!(rest[0]! <= budget + slack)) return undefined
  const step = (budget - rest[0]!) / limit
  let layer: Layer = {
    cost: Float64Array.of(0),
    gain: Float64Array.of(0),
    choice: Int32Array.of(-1),
    from: Int32Array.of(-1),
  }
  const layers: Layer[] = []
  groups.forEach((options, i) => {
    const front = extend(layer, options, budget + slack - rest[i + 1]!)
    layer = front.cost.length > limit ? thin(front, step) : front
    layers.push(layer)
  })
  return trace(layers, groups)
}

// All sums of a state and an option within the ceiling, without those that cost more for no more gain.
function extend(layer: Layer, options: readonly Option[], ceiling: number): Layer {
  const candidates: { cost: number; gain: number; choice: number; from: number }[] = []
  options.forEach((option, choice) => {
    for (let from = 0; from < layer.cost.length; from++) {
      const cost = layer.cost[from]! + option.cost
      if (cost > ceiling) break
      candidates.push({ cost, gain: layer.gain[from]! + option.gain, choice, from })
    }
  })
  candidates.sort((a, b) => a.cost - b.cost || b.gain - a.gain || a.choice - b.choice)
  const kept: typeof candidates = []
  for (const candidate of candidates)
    if (kept.length === 0 || candidate.gain > kept[kept.length - 1]!.gain) kept.push(candidate)
  return {
    cost: Float64Array.from(kept, (state) => state.cost),
    gain: Float64Array.from(kept, (state) => state.gain),
    choice: Int32Array.from(kept, (state) => state.choice),
    from: Int32Array.from(kept, (state) => state.from),
  }
}

// One state per cell of cost: gains rise along a front, so the last of a cell is its best. The
// cheapest state stays, so that what is feasible stays feasible.
function thin(layer: Layer, step: number): Layer {
  const keep: number[] = [0]
  const cell = (i: number) => Math.floor((layer.cost[i]! - layer.cost[0]!) / step)
  for (let i = 1; i < layer.cost.length; i++)
    if (i === layer.cost.length - 1 || cell(i + 1) !== cell(i)) keep.push(i)
  return {
    cost: Float64Array.from(keep, (i) => layer.cost[i]!),
    gain: Float64Array.from(keep, (i) => layer.gain[i]!),
    choice: Int32Array.from(keep, (i) => layer.choice[i]!),
    from: Int32Array.from(keep, (i) => layer.from[i]!),
  }
}

function trace(layers: readonly Layer[], groups: readonly unknown[]): Selection {
  const last = layers[layers.length - 1]
  if (last === undefined) return { chosen: [], cost: 0, gain: 0 }
  let at = last.cost.length - 1
  const chosen = new Array<number>(groups.length)
  const result = { cost: last.cost[at]!, gain: last.gain[at]! }
  for (let i = layers.length - 1; i >= 0; i--) {
    chosen[i] = layers[i]!.choice[at]!
    at = layers[i]!.from[at]!
  }
  return { chosen, ...result }
}
