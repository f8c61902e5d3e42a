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
   * Cells of cost. The result is exact while states × options stay below 16 times this; beyond it
   * states whose costs share a cell of `span / limit` merge into the one of most gain (`span` from
   * the cheapest selection to the budget), so that the result is within budget and at least as good
   * as the optimum for a budget smaller by `groups × span / limit`.
   */
  readonly limit?: number
}

/** Pairs of state and option per cell that are still compared exactly. */
const WORK = 16

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
  { limit = 1 << 13 }: SelectOptions = {},
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
    const ceiling = budget + slack - rest[i + 1]!
    layer =
      layer.cost.length * options.length <= WORK * limit || step <= 0
        ? extend(layer, options, ceiling)
        : extendCoarsely(layer, options, { ceiling, step })
    layers.push(layer)
  })
  return trace(layers, groups)
}

// All sums of a state and an option within the ceiling, without those that cost more for no more gain.
function extend(layer: Layer, options: readonly Option[], ceiling: number): Layer {
  const shifted = options.map((option, choice) => shift(layer, option, { choice, ceiling }))
  const merge = (low: number, high: number): Layer => {
    if (high - low === 1) return shifted[low]!
    const middle = (low + high) >> 1
    return mergeFronts(merge(low, middle), merge(middle, high))
  }
  return merge(0, options.length)
}

function shift(
  layer: Layer,
  option: Option,
  { choice, ceiling }: { choice: number; ceiling: number },
): Layer {
  let count = 0
  while (count < layer.cost.length && layer.cost[count]! + option.cost <= ceiling) count++
  return {
    cost: layer.cost.slice(0, count).map((cost) => cost + option.cost),
    gain: layer.gain.slice(0, count).map((gain) => gain + option.gain),
    choice: new Int32Array(count).fill(choice),
    from: Int32Array.from({ length: count }, (_, i) => i),
  }
}

// Both are sorted by cost with rising gains; so is the result. On a tie the first one wins.
function mergeFronts(a: Layer, b: Layer): Layer {
  const [n, m] = [a.cost.length, b.cost.length]
  const cost = new Float64Array(n + m)
  const gain = new Float64Array(n + m)
  const choice = new Int32Array(n + m)
  const from = new Int32Array(n + m)
  let [i, j, count, last] = [0, 0, 0, Number.NEGATIVE_INFINITY]
  while (i < n || j < m) {
    const first =
      j >= m ||
      (i < n &&
        (a.cost[i]! < b.cost[j]! || (a.cost[i]! === b.cost[j]! && a.gain[i]! >= b.gain[j]!)))
    const [list, at] = first ? [a, i++] : [b, j++]
    if (list.gain[at]! <= last) continue
    last = list.gain[at]!
    cost[count] = list.cost[at]!
    gain[count] = last
    choice[count] = list.choice[at]!
    from[count++] = list.from[at]!
  }
  return {
    cost: cost.slice(0, count),
    gain: gain.slice(0, count),
    choice: choice.slice(0, count),
    from: from.slice(0, count),
  }
}

// One state per cell of cost, the one of most gain. The cheapest state stays too, so that what is
// feasible stays feasible.
function extendCoarsely(
  layer: Layer,
  options: readonly Option[],
  { ceiling, step }: { ceiling: number; step: number },
): Layer {
  const least = layer.cost[0]! + Math.min(...options.map((option) => option.cost))
  const cells = Math.floor((ceiling - least) / step) + 1
  const gain = new Float64Array(cells).fill(Number.NEGATIVE_INFINITY)
  const cost = new Float64Array(cells)
  const choice = new Int32Array(cells)
  const from = new Int32Array(cells)
  options.forEach((option, index) => {
    for (let i = 0; i < layer.cost.length; i++) {
      const total = layer.cost[i]! + option.cost
      if (total > ceiling) break
      const cell = Math.floor((total - least) / step)
      const value = layer.gain[i]! + option.gain
      if (value < gain[cell]! || (value === gain[cell]! && total >= cost[cell]!)) continue
      gain[cell] = value
      cost[cell] = total
      choice[cell] = index
      from[cell] = i
    }
  })
  const cheapest = options.findIndex((option) => layer.cost[0]! + option.cost === least)
  const first = shift(layer, options[cheapest]!, { choice: cheapest, ceiling })
  const start: Layer = {
    cost: first.cost.slice(0, 1),
    gain: first.gain.slice(0, 1),
    choice: first.choice.slice(0, 1),
    from: first.from.slice(0, 1),
  }
  return mergeFronts(start, compact({ cost, gain, choice, from }))
}

function compact(layer: Layer): Layer {
  const used = Array.from(layer.gain.keys()).filter((i) => layer.gain[i]! > -Infinity)
  return {
    cost: Float64Array.from(used, (i) => layer.cost[i]!),
    gain: Float64Array.from(used, (i) => layer.gain[i]!),
    choice: Int32Array.from(used, (i) => layer.choice[i]!),
    from: Int32Array.from(used, (i) => layer.from[i]!),
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
