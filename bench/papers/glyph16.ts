// Glyph16: digits drawn from 5 × 7 dots, turned, sheared, scaled, shifted, and disturbed by noise. A task
// that needs no download; the specifications' margins were found on it.
import type { Dataset } from '../../src/data/dataset.ts'
import type { ImageDescription } from '../../src/data/describe.ts'
import { createRandom, type Random } from '../../src/util/random.ts'

/** Rows of five dots per digit, as bits. */
const DIGITS = [
  [14, 17, 19, 21, 25, 17, 14],
  [4, 12, 4, 4, 4, 4, 14],
  [14, 17, 1, 2, 4, 8, 31],
  [31, 2, 4, 2, 1, 17, 14],
  [2, 6, 10, 18, 31, 2, 2],
  [31, 16, 30, 1, 1, 17, 14],
  [6, 8, 16, 30, 17, 17, 14],
  [31, 1, 2, 4, 8, 8, 8],
  [14, 17, 17, 14, 17, 17, 14],
  [14, 17, 17, 15, 1, 2, 12],
] as const

const SIDE = 16
/** A pixel of `v` is stored as 80 (v + 1): noise goes below zero. */
const [STEP, ZERO] = [80, 1]

/** How pixels become numbers: as they were drawn. */
export const glyphDescription: ImageDescription = {
  kind: 'image',
  width: SIDE,
  height: SIDE,
  colour: 'gray',
  layout: 'nchw',
  scale: 1 / STEP,
  mean: [ZERO],
  std: [1],
  fit: 'stretch',
}

/** Returns as many digits, the same for one seed. */
export function glyphs(length: number, seed: number): Dataset {
  const random = createRandom(seed)
  const samples = Array.from({ length }, () => {
    const label = random.integer(DIGITS.length)
    const pixels = drawn(label, random)
    return {
      kind: 'image' as const,
      width: SIDE,
      height: SIDE,
      channels: 1 as const,
      pixels,
      label,
    }
  })
  return {
    name: `glyph16 ${seed}`,
    length,
    labelled: true,
    size: { width: SIDE, height: SIDE },
    read: (index) => samples[index]!,
  }
}

function drawn(digit: number, random: Random): Uint8Array {
  const [turn, shear, grow] = [0.25, 0.2, 0.15].map((spread) => spread * random.normal())
  const [dx, dy] = [1.2 * random.normal(), 1.2 * random.normal()]
  const intensity = 0.6 + 0.6 * random.uniform()
  const scale = Math.exp(grow!)
  const [cos, sin] = [Math.cos(turn!) / scale, Math.sin(turn!) / scale]
  const centre = (SIDE - 1) / 2
  return Uint8Array.from({ length: SIDE * SIDE }, (_, i) => {
    const x = (i % SIDE) - centre - dx
    const y = Math.floor(i / SIDE) - centre - dy
    const value = between(
      digit,
      cos * x + (sin + shear! * cos) * y + centre,
      -sin * x + (cos - shear! * sin) * y + centre,
    )
    const disturbed = intensity * value + 0.25 * random.normal()
    return Math.min(255, Math.max(0, Math.round(STEP * (disturbed + ZERO))))
  })
}

// Bilinear between dots, each of which is two pixels wide and high.
function between(digit: number, x: number, y: number): number {
  const [left, top] = [Math.floor(x), Math.floor(y)]
  const [right, low] = [x - left, y - top]
  return (
    (1 - low) * ((1 - right) * dotAt(digit, left, top) + right * dotAt(digit, left + 1, top)) +
    low * ((1 - right) * dotAt(digit, left, top + 1) + right * dotAt(digit, left + 1, top + 1))
  )
}

function dotAt(digit: number, x: number, y: number): number {
  const [column, row] = [Math.floor((x - 3) / 2), Math.floor((y - 1) / 2)]
  if (column < 0 || column > 4 || row < 0 || row > 6) return 0
  return (DIGITS[digit]![row]! >> (4 - column)) & 1
}
