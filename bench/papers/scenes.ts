// DS6: drawn scenes for detectors. One to four discs, squares and triangles of any colour on a shaded,
// noisy ground; what a grid of cells should answer for them is part of the sample.
import type { Dataset } from '../../src/data/dataset.ts'
import type { ImageDescription } from '../../src/data/describe.ts'
import type { ImageSample } from '../../src/data/sample.ts'
import { type FloatTensor, floats } from '../../src/tensor/tensor.ts'
import { createRandom, deriveSeed, type Random } from '../../src/util/random.ts'

/** Something in a scene, or found in one: its class, the middle and the sides of its box in pixels. */
export interface Thing {
  readonly kind: number
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** A picture with what is in it. */
export interface Scene {
  readonly things: readonly Thing[]
  readonly sample: ImageSample
}

/** Sides of a scene in pixels and of its grid in cells, and classes: discs, squares, triangles. */
export const [SIDE, CELLS, KINDS] = [96, 8, 3]
/** Pixels of a cell, and the side of a box that is told as 0. */
export const [CELL, USUAL] = [SIDE / CELLS, 26]
/** Channels of an answer: a score per class, the middle within its cell, logarithms of the sides. */
export const CHANNELS = KINDS + 4

const [LEAST, MOST] = [16, 40]
const NOISE = 30

/** How pixels become numbers. */
export const sceneDescription: ImageDescription = {
  kind: 'image',
  width: SIDE,
  height: SIDE,
  colour: 'rgb',
  layout: 'nchw',
  scale: 1 / 255,
  mean: [0.5, 0.5, 0.5],
  std: [0.25, 0.25, 0.25],
  fit: 'stretch',
}

/** Returns as many scenes, the same for one seed. */
export function drawScenes(count: number, seed: number): Scene[] {
  return Array.from({ length: count }, (_, i) =>
    drawScene(createRandom(deriveSeed(seed, `scene ${i}`))),
  )
}

/** Returns scenes as samples with targets. */
export function sceneData(scenes: readonly Scene[], name: string): Dataset {
  return {
    name,
    length: scenes.length,
    labelled: false,
    targeted: true,
    size: { width: SIDE, height: SIDE },
    read: (index) => scenes[index]!.sample,
  }
}

function drawScene(random: Random): Scene {
  const between = (low: number, high: number) => low + (high - low) * random.uniform()
  const things: Thing[] = []
  const wanted = 1 + random.integer(4)
  for (let tries = 0; things.length < wanted && tries < 40; tries++) {
    const width = between(LEAST, MOST)
    const height = Math.min(MOST, Math.max(LEAST, width * between(0.8, 1.25)))
    const [x, y] = [between(width / 2, SIDE - width / 2), between(height / 2, SIDE - height / 2)]
    const thing = { kind: random.integer(KINDS), x, y, width, height }
    // Two in one cell could not be told, and what is hidden cannot be found.
    if (things.every((other) => cellOf(other) !== cellOf(thing) && overlap(other, thing) < 0.05))
      things.push(thing)
  }
  const pixels = paint(things, random)
  const sample = { kind: 'image', width: SIDE, height: SIDE, channels: 3, pixels } as const
  return { things, sample: { ...sample, target: targetOf(things) } }
}

function paint(things: readonly Thing[], random: Random): Uint8Array {
  const pixels = new Uint8Array(3 * SIDE * SIDE)
  const colours = [undefined, ...things].map(() =>
    Array.from({ length: 3 }, () => 40 + 175 * random.uniform()),
  )
  const slopes = Array.from({ length: 3 }, () => [random.normal() / 3, random.normal() / 3])
  for (let y = 0; y < SIDE; y++)
    for (let x = 0; x < SIDE; x++) {
      const on = things.findLastIndex((thing) => covers(thing, x + 0.5, y + 0.5))
      for (let c = 0; c < 3; c++) {
        const [dx, dy] = slopes[c] as [number, number]
        const shade = dx * (x - SIDE / 2) + dy * (y - SIDE / 2)
        const noise = NOISE * (random.uniform() + random.uniform() - 1)
        const value = colours[on + 1]![c]! + shade + noise
        pixels[(c * SIDE + y) * SIDE + x] = Math.min(255, Math.max(0, Math.round(value)))
      }
    }
  return pixels
}

function covers({ kind, x, y, width, height }: Thing, px: number, py: number): boolean {
  const [u, v] = [(px - x) / (width / 2), (py - y) / (height / 2)]
  if (Math.abs(u) > 1 || Math.abs(v) > 1) return false
  if (kind === 0) return u * u + v * v <= 1
  return kind === 1 || 2 * Math.abs(u) <= 1 + v
}

function cellOf({ x, y }: Thing): number {
  return Math.floor(y / CELL) * CELLS + Math.floor(x / CELL)
}

// [channels, cells, cells]: the cell that holds a middle answers for the thing.
function targetOf(things: readonly Thing[]): FloatTensor {
  const area = CELLS * CELLS
  const values = new Float32Array(CHANNELS * area)
  for (const thing of things) {
    const cell = cellOf(thing)
    values[thing.kind * area + cell] = 1
    const middle = [thing.x, thing.y].map((at) => (at % CELL) / CELL - 0.5)
    const sides = [thing.width, thing.height].map((side) => Math.log(side / USUAL))
    for (const [i, value] of [...middle, ...sides].entries())
      values[(KINDS + i) * area + cell] = value
  }
  return floats([CHANNELS, CELLS, CELLS], values)
}

/** Area that two boxes share ÷ area they cover. */
export function overlap(a: Thing, b: Thing): number {
  const shared = (at: 'x' | 'y', side: 'width' | 'height') =>
    Math.max(
      0,
      Math.min(a[at] + a[side] / 2, b[at] + b[side] / 2) -
        Math.max(a[at] - a[side] / 2, b[at] - b[side] / 2),
    )
  const both = shared('x', 'width') * shared('y', 'height')
  return both / (a.width * a.height + b.width * b.height - both)
}
