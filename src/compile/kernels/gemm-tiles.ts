// How a matrix product is cut into register tiles.

/** What only a measurement can rank. */
export interface GemmSchedule {
  /** Channels of a panel where there are pixels enough: 8, 12 or 16. */
  readonly width: number
  /** Most rows of a tile. */
  readonly rows: number
  /** Long inputs are cut into blocks that stay in the first-level cache. */
  readonly blocks: boolean
}

/** What is good on the machines we know (docs/benchmarks.md). */
export const USUAL: GemmSchedule = { width: 8, rows: 6, blocks: true }

/** Schedules worth timing, the usual one first. */
export function gemmSchedules(tunes: boolean): readonly GemmSchedule[] {
  if (!tunes) return [USUAL]
  return [
    USUAL,
    { ...USUAL, rows: 5 },
    { ...USUAL, rows: 4 },
    { ...USUAL, blocks: false },
    { ...USUAL, width: 16 },
    { ...USUAL, width: 12 },
  ]
}

/** Rows of tiles by the width of the panel: at most 15 vectors are alive (kernels.md §1.2). */
const MOST_ROWS: Readonly<Record<number, { readonly plain: number; readonly fma: number }>> = {
  4: { plain: 6, fma: 8 },
  8: { plain: 4, fma: 6 },
  12: { plain: 3, fma: 3 },
  16: { plain: 2, fma: 2 },
}
/** Steps that a sum waits for the one before, in halves of an instruction's share of a cycle. */
const LATENCY = { plain: 6, fma: 8 }

const kindOf = (fma: boolean) => (fma ? 'fma' : 'plain')
/** Rows of the largest tile over a panel. */
export const mostRows = (width: number, fma: boolean) => MOST_ROWS[width]?.[kindOf(fma)] ?? 1

/**
 * Returns the pixels of each tile of a row, the largest first. A tile takes as long as its sums, but no
 * less than a sum waits for itself: rows are cut so that no tile is left with too few.
 */
export function tileRows(
  count: number,
  width: number,
  { fma, limit = USUAL.rows }: { readonly fma: boolean; readonly limit?: number },
): number[] {
  if (count <= 0) return []
  const most = width === 8 ? Math.min(limit, mostRows(width, fma)) : mostRows(width, fma)
  const timeOf = (rows: number) => timeOfTile(rows, width, fma)
  const bulk = Math.max(0, Math.floor(count / most) - 3)
  const left = count - bulk * most
  const best: { time: number; rows: number }[] = [{ time: 0, rows: 0 }]
  for (let n = 1; n <= left; n++) {
    let found = { time: Number.POSITIVE_INFINITY, rows: 1 }
    for (let rows = 1; rows <= Math.min(most, n); rows++) {
      const time = best[n - rows]!.time + timeOf(rows)
      if (time < found.time) found = { time, rows }
    }
    best.push(found)
  }
  const sizes = new Array<number>(bulk).fill(most)
  for (let n = left; n > 0; n -= best[n]!.rows) sizes.push(best[n]!.rows)
  return sizes.sort((a, b) => b - a)
}

/** Returns how long a row takes, in units that only compare. */
export function tileTime(
  count: number,
  width: number,
  how: { readonly fma: boolean; readonly limit?: number },
): number {
  return tileRows(count, width, how).reduce((sum, n) => sum + timeOfTile(n, width, how.fma), 0)
}

// Between equal times the fewer tiles.
function timeOfTile(rows: number, width: number, fma: boolean): number {
  return Math.max(rows * (width / 4), LATENCY[kindOf(fma)]) + 0.1
}
