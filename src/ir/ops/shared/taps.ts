// Where an output position of a Resize lies in the input, and which input elements it weighs.
import { reject } from './check.ts'

/** One input element and its weight. */
export interface Tap {
  readonly index: number
  readonly weight: number
}

/** How values between elements are made. */
export interface ResizeMode {
  readonly kind: 'nearest' | 'linear' | 'cubic'
  readonly nearest: string
  readonly cubicA: number
  readonly excludeOutside: boolean
  readonly antialias: boolean
}

/** One axis of a Resize: sizes, scale, the cropped part, and the coordinate mode. */
export interface AxisGeometry {
  readonly input: number
  readonly output: number
  readonly scale: number
  readonly roi: readonly [number, number]
  readonly mode: string
}

/**
 * Returns the input coordinate of an output position, in single precision as ONNX Runtime computes
 * it: whether a coordinate falls just below or on a whole number decides what `nearest` takes.
 */
export function coordinateOf(x: number, geometry: AxisGeometry): number {
  const { input, output, scale, roi, mode } = geometry
  // The exact, fractional output size counts, not the rounded one.
  const exact = scale * input
  const halfPixel = Math.fround(Math.fround((x + 0.5) / scale) - 0.5)
  switch (mode) {
    case 'half_pixel':
      return halfPixel
    case 'pytorch_half_pixel':
      return exact === 1 ? -0.5 : halfPixel
    case 'half_pixel_symmetric':
      return Math.fround((input / 2) * (1 - output / exact) + halfPixel)
    case 'align_corners':
      return exact === 1 ? 0 : Math.fround((x * (input - 1)) / (exact - 1))
    case 'asymmetric':
      return Math.fround(x / scale)
    case 'tf_half_pixel_for_nn':
      return Math.fround((x + 0.5) / scale)
    case 'tf_crop_and_resize': {
      const [from, to] = [roi[0] * (input - 1), roi[1] * (input - 1)]
      return Math.fround(output === 1 ? (from + to) / 2 : from + (x * (to - from)) / (output - 1))
    }
    default:
      return reject(`coordinate_transformation_mode "${mode}" is unknown`)
  }
}

/** Returns the taps of a coordinate; indices outside the input are clamped or dropped. */
export function tapsAt(
  at: number,
  { input, scale, ...mode }: ResizeMode & { input: number; scale: number },
): Tap[] {
  const clamp = (index: number) => Math.min(Math.max(index, 0), input - 1)
  if (mode.kind === 'nearest') return [{ index: clamp(nearestTo(at, mode.nearest)), weight: 1 }]
  // A filter stretched by the scale averages over what a smaller image leaves out.
  const stretch = mode.antialias ? Math.min(scale, 1) : 1
  if (stretch * input < 1) reject(`scale ${scale} would average more than there is`)
  const reach = mode.kind === 'linear' ? 1 : 2
  const base = Math.floor(at)
  const first = Math.floor(-reach / stretch) + 1
  const taps: Tap[] = []
  let sum = 0
  for (let i = first; i < 2 - first; i++) {
    const distance = Math.abs(stretch * (i - (at - base)))
    const weight = mode.kind === 'linear' ? Math.max(0, 1 - distance) : cubic(distance, mode.cubicA)
    const inside = base + i >= 0 && base + i < input
    if (weight === 0 || (mode.excludeOutside && !inside)) continue
    sum += weight
    taps.push({ index: clamp(base + i), weight })
  }
  return taps.map(({ index, weight }) => ({ index, weight: weight / sum }))
}

function nearestTo(at: number, mode: string): number {
  switch (mode) {
    case 'round_prefer_floor':
      return Math.ceil(at - 0.5)
    case 'round_prefer_ceil':
      return Math.floor(at + 0.5)
    case 'floor':
      return Math.floor(at)
    case 'ceil':
      return Math.ceil(at)
    default:
      return reject(`nearest_mode "${mode}" is unknown`)
  }
}

// Keys 1981; a is -0.5 or, here by default, -0.75.
function cubic(x: number, a: number): number {
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0
}
