// A generated image set: ten shapes drawn with varying place, size, turn, colour, clutter and noise.
// Hard for a linear model, since colour and place say nothing; easy for a small convolutional one.
import { OptionError } from '../../util/errors.ts'
import { createRandom, deriveSeed, type Random } from '../../util/random.ts'
import type { Dataset } from '../dataset.ts'
import type { ImageSample } from '../sample.ts'
import type { OpenedData, Reader } from './reader.ts'

const SIZE = 32

/** Signed distance to a shape of radius 1 in its own coordinates: negative inside. */
type Shape = (x: number, y: number) => number

const box = (x: number, y: number, w: number, h: number) =>
  Math.max(Math.abs(x) - w, Math.abs(y) - h)
const turned = (shape: Shape): Shape => {
  const r = Math.SQRT1_2
  return (x, y) => shape(r * (x + y), r * (y - x))
}
const cross: Shape = (x, y) => Math.min(box(x, y, 1, 0.28), box(x, y, 0.28, 1))
const triangle: Shape = (x, y) => Math.max(y - 0.75, 0.866 * Math.abs(x) - 0.5 * (y - 0.75) - 0.78)

/** Class names and what they look like. */
const shapes: Readonly<Record<string, Shape>> = {
  disc: (x, y) => Math.hypot(x, y) - 0.9,
  ring: (x, y) => Math.abs(Math.hypot(x, y) - 0.75) - 0.2,
  square: (x, y) => box(x, y, 0.8, 0.8),
  frame: (x, y) => Math.max(box(x, y, 0.9, 0.9), -box(x, y, 0.5, 0.5)),
  triangle,
  cross,
  saltire: turned(cross),
  bars: (x, y) => Math.max(box(x, y, 0.9, 1), Math.abs(Math.abs(y) - 0.45) * -1 + 0.2),
  columns: (x, y) => Math.max(box(x, y, 1, 0.9), Math.abs(Math.abs(x) - 0.45) * -1 + 0.2),
  chevron: (x, y) => Math.max(Math.abs(y + 0.4 - Math.abs(x) * 0.9) - 0.28, box(x, y, 0.95, 1)),
}

const classes = Object.keys(shapes)
const draws = Object.values(shapes)

/** `generated` or `generated:SEED`: 10,000 images for training, 2000 for testing. */
export const generated: Reader = {
  format: 'generated',
  expects: 'the word "generated" (or generated:SEED), for images drawn on the spot',
  matches: ({ path, kind }) => kind === 'none' && /^generated(:.*)?$/.test(path),
  open: async ({ path }, { seed }): Promise<OpenedData> => {
    const given = path.split(':')[1]
    if (given !== undefined && !/^\d+$/.test(given))
      throw new OptionError(`"${path}" has no number after the colon; use for example generated:7`)
    const chosen = given === undefined ? seed : Number(given)
    return {
      format: 'generated',
      train: generateImages({ seed: chosen, part: 'train', length: 10_000 }),
      test: generateImages({ seed: chosen, part: 'test', length: 2000 }),
      splitRule: `drawn separately from seed ${chosen}`,
      preset: 'unit',
    }
  },
}

/** Returns images drawn when read: 32×32 RGB, classes in turn. Same seed and part, same bytes. */
export function generateImages({
  seed,
  part,
  length,
}: {
  seed: number
  part: 'train' | 'test'
  length: number
}): Dataset {
  // 3 kB an image: drawing again costs more than remembering.
  const drawn: (ImageSample | undefined)[] = []
  const drawAt = (index: number): ImageSample => {
    const label = index % classes.length
    return { ...draw(label, createRandom(deriveSeed(seed, `${part} ${index}`))), label }
  }
  return {
    name: `generated ${part}`,
    length,
    labelled: true,
    classes,
    size: { width: SIZE, height: SIZE },
    variation: { shift: 1 / 8, mirror: true },
    read: (index) => {
      const image = drawn[index] ?? drawAt(index)
      drawn[index] = image
      return image
    },
  }
}

function draw(label: number, random: Random): ImageSample {
  const canvas = new Float32Array(3 * SIZE * SIZE)
  const [ground, ink] = contrastingColours(random)
  fillGradient(canvas, ground, random)
  for (let i = 0; i < 4; i++) {
    const shape: Shape =
      random.uniform() < 0.5 ? (x, y) => Math.hypot(x, y) - 1 : (x, y) => box(x, y, 1, 0.25)
    const place = placeOf(random, { radius: 1.2 + 1.6 * random.uniform(), margin: 0 })
    paint(canvas, shape, place, colour(random))
  }
  const radius = 6.5 + 4.5 * random.uniform()
  const place = placeOf(random, { radius, margin: radius })
  // A turn of up to 14° on either side keeps cross and saltire, bars and columns apart.
  paint(canvas, draws[label]!, { ...place, turn: (random.uniform() - 0.5) * 0.5 }, ink)
  const noise = 8 + 14 * random.uniform()
  const pixels = new Uint8Array(canvas.length)
  for (let i = 0; i < pixels.length; i++)
    pixels[i] = Math.min(255, Math.max(0, Math.round(canvas[i]! + noise * triangular(random))))
  return { kind: 'image', width: SIZE, height: SIZE, channels: 3, pixels }
}

/** Noise of variance 1; exact on every machine, which the normal distribution's logarithms are not. */
const triangular = (random: Random) => Math.sqrt(6) * (random.uniform() + random.uniform() - 1)

type Colour = readonly [number, number, number]

interface Placement {
  readonly x: number
  readonly y: number
  readonly radius: number
  readonly turn: number
}

const colour = (random: Random): Colour => [
  255 * random.uniform(),
  255 * random.uniform(),
  255 * random.uniform(),
]

function contrastingColours(random: Random): readonly [Colour, Colour] {
  for (;;) {
    const pair = [colour(random), colour(random)] as const
    const distance = Math.hypot(...pair[0].map((value, c) => value - pair[1][c]!))
    if (distance > 130) return pair
  }
}

function placeOf(
  random: Random,
  { radius, margin }: { radius: number; margin: number },
): Placement {
  const range = SIZE - 2 * margin
  return {
    x: margin + range * random.uniform(),
    y: margin + range * random.uniform(),
    radius,
    turn: 2 * Math.PI * random.uniform(),
  }
}

function fillGradient(canvas: Float32Array, base: Colour, random: Random): void {
  const slope = Array.from({ length: 3 }, () => [random.uniform() - 0.5, random.uniform() - 0.5])
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < SIZE; y++)
      for (let x = 0; x < SIZE; x++)
        canvas[(c * SIZE + y) * SIZE + x] =
          base[c]! + 3 * (slope[c]![0]! * (x - SIZE / 2) + slope[c]![1]! * (y - SIZE / 2))
}

function paint(canvas: Float32Array, shape: Shape, place: Placement, ink: Colour): void {
  const { x: centreX, y: centreY, radius, turn } = place
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)]
  // No shape reaches further than the corners of its square, and a pixel of blending.
  const reach = radius * Math.SQRT2 + 1
  const [top, bottom] = [Math.max(0, Math.floor(centreY - reach)), Math.min(SIZE, centreY + reach)]
  const [left, right] = [Math.max(0, Math.floor(centreX - reach)), Math.min(SIZE, centreX + reach)]
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const dx = (x + 0.5 - centreX) / radius
      const dy = (y + 0.5 - centreY) / radius
      // Half a pixel on either side of the edge is blended.
      const distance = shape(cos * dx + sin * dy, cos * dy - sin * dx) * radius
      const cover = Math.min(1, Math.max(0, 0.5 - distance))
      if (cover === 0) continue
      for (let c = 0; c < 3; c++) {
        const at = (c * SIZE + y) * SIZE + x
        canvas[at] = canvas[at]! + cover * (ink[c]! - canvas[at]!)
      }
    }
  }
}
