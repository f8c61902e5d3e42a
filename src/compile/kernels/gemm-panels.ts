// Weights of a register-tiled product in panels: which widths, and how they lie in memory.
import { USUAL } from './gemm-tiles.ts'
import type { ConstantPart } from '../storage.ts'

/** Adjacent channels computed together; the packed weights hold panels one after another. */
export interface Panels {
  /** Channels of each panel: a multiple of 4. */
  readonly width: number
  readonly count: number
  /** The first channel. */
  readonly start: number
}

/** Returns the panels that cover the channels (rounded up to 4), given how many pixels a tile can have. */
export function planPanels(channels: number, pixels: number, width = USUAL.width): Panels[] {
  const total = Math.ceil(channels / 4) * 4
  const main = pixels >= 4 ? width : pixels === 3 ? 12 : pixels === 2 ? 16 : 32
  const widths: number[] = []
  for (let left = total; left > 0; ) {
    const width = [main, 16, 8, 4].find((w) => w <= main && w <= left) ?? 4
    widths.push(width)
    left -= width
  }
  const panels: { width: number; count: number; start: number }[] = []
  let start = 0
  for (const width of widths) {
    const last = panels.at(-1)
    if (last?.width === width) last.count++
    else panels.push({ width, count: 1, start })
    start += width
  }
  return panels
}

/** Bytes of the packed weights and biases of all panels. */
export function packedBytes(panels: readonly Panels[], depth: number): number {
  return panels.reduce((sum, { width, count }) => sum + width * count, 0) * (depth + 1) * 4
}

/** Returns what packed panels are made of; `offset` is where they start in a constant. */
export function panelParts(panels: readonly Panels[], depth: number, offset = 0): ConstantPart[] {
  return panels.flatMap(({ width, count, start }): ConstantPart[] => {
    const [first, row] = [offset + start * (depth + 1) * 4, width * 4]
    const panel: [number, number] = [count, row * (depth + 1)]
    return [
      { offset: first, loops: [panel, [width, 4]], kind: 'words' },
      {
        offset: first + row,
        loops: [panel, [width, 4], [depth, row]],
        kind: 'weights',
        run: depth,
      },
    ]
  })
}

/** Packs weights for one set of panels: per panel the biases, then a row of the panel per reduction step. */
export function packPanels(
  panels: readonly Panels[],
  depth: number,
  value: { bias(channel: number): number; weight(channel: number, step: number): number },
): Float32Array {
  const packed = new Float32Array(packedBytes(panels, depth) / 4)
  let next = 0
  for (const { width, count, start } of panels)
    for (let panel = 0; panel < count; panel++) {
      const first = start + panel * width
      for (let lane = 0; lane < width; lane++) packed[next++] = value.bias(first + lane)
      for (let step = 0; step < depth; step++)
        for (let lane = 0; lane < width; lane++) packed[next++] = value.weight(first + lane, step)
    }
  return packed
}
