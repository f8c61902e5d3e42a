// The size of an axis as a function of a size that a run may choose.

/** by · ⌊(times · size + plus) / over⌋. */
export interface SizeFormula {
  readonly size: string
  readonly times: number
  readonly plus: number
  readonly over: number
  readonly by: number
}

/** Strides of a whole network; more would be no simple function. */
const LARGEST_DIVISOR = 64

/** Returns the simplest formula through points (size, result); undefined where there is none. */
export function fitSize(
  size: string,
  points: readonly (readonly [size: number, result: number])[],
): SizeFormula | undefined {
  const common = points.map(([, y]) => y).reduce(commonDivisor, 0)
  for (let by = 1; by <= Math.max(1, common); by++) {
    if (common % by !== 0) continue
    const fitted = fitFloor(points.map(([x, y]) => [x, y / by]))
    if (fitted !== undefined) return { size, ...fitted, by }
  }
  return undefined
}

function fitFloor(
  points: readonly (readonly [size: number, result: number])[],
): Pick<SizeFormula, 'times' | 'plus' | 'over'> | undefined {
  const [first, last] = [points[0]!, points.at(-1)!]
  const slope = (last[1] - first[1]) / Math.max(1, last[0] - first[0])
  for (let over = 1; over <= LARGEST_DIVISOR; over++) {
    for (const times of new Set([Math.floor(slope * over), Math.ceil(slope * over)])) {
      if (times < 1) continue
      // Every point bounds what may be added; the smallest such number is taken.
      const low = Math.max(...points.map(([x, y]) => over * y - times * x))
      const high = Math.min(...points.map(([x, y]) => over * y - times * x + over - 1))
      if (low <= high) return { times, plus: low <= 0 && high >= 0 ? 0 : low, over }
    }
  }
  return undefined
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b)
}
