// What a detector on a grid is trained for and judged by: the loss of its answers, boxes out of them, and
// the mean average precision at half overlap (Everingham et al., The PASCAL VOC Challenge, 2010).
import { batches } from '../../src/data/dataset.ts'
import type { Engine } from '../../src/exec/engine.ts'
import type { GraphBuilder } from '../../src/ir/builder.ts'
import type { Model } from '../../src/ir/graph.ts'
import { floatData } from '../../src/tensor/tensor.ts'
import { bindBatch } from '../../src/train/bind.ts'
import type { Loss } from '../../src/train/losses.ts'
import {
  CELL,
  CELLS,
  CHANNELS,
  KINDS,
  overlap,
  type Scene,
  sceneData,
  sceneDescription,
  type Thing,
  USUAL,
} from './scenes.ts'

/** Something that a detector found, with the score of its class, 0…1. */
export interface Found extends Thing {
  readonly score: number
}

/** Weight of places and sides beside classes. */
const BOXES = 2
/** Boxes of less score are no finds; of two that overlap more than this the better one stays. */
const [LEAST_SCORE, SAME] = [0.02, 0.45]
/** Overlap from which a find counts. */
const HIT = 0.5

/** Cross-entropy of every class in every cell, and squared errors of boxes where there is a thing. */
export function detectionLoss(): Loss {
  return {
    name: 'detection',
    needs: { labels: false, teacher: true },
    scoresClasses: false,
    settings: { boxes: BOXES },
    build: (b, { output, teacher }) => {
      const part = (of: string, from: number, to: number) =>
        b.op('Slice', [of, b.ints([from]), b.ints([to]), b.ints([1])])
      const [scores, wanted] = [part(output, 0, KINDS), part(teacher!, 0, KINDS)]
      const entropy = b.op('Sub', [b.op('Softplus', [scores]), b.op('Mul', [scores, wanted])])
      const here = b.op('ReduceSum', [wanted, b.ints([1])])
      const missed = b.op('Sub', [part(output, KINDS, CHANNELS), part(teacher!, KINDS, CHANNELS)])
      const squares = b.op('Mul', [here, b.op('Mul', [missed, missed])])
      const total = b.op('Add', [sum(b, entropy), b.op('Mul', [sum(b, squares), b.scalar(BOXES)])])
      return b.op('Mul', [total, b.scalar(1 / (b.type(output).shape[0]! * CELLS))])
    },
  }
}

function sum(b: GraphBuilder, value: string): string {
  return b.op('ReduceSum', [b.op('Reshape', [value, b.ints([-1])]), b.ints([0])])
}

/** Returns what a model finds in scenes. */
export async function detect(
  model: Model,
  { scenes, engine }: { readonly scenes: readonly Scene[]; readonly engine: Engine },
): Promise<Found[][]> {
  const batch = 50
  const { model: bound, input } = bindBatch(model, { batch, description: sceneDescription })
  const output = bound.graph.outputs[0]!.name
  const session = await engine.session(bound)
  const found: Found[][] = []
  try {
    const options = { batch, description: sceneDescription, rest: 'pad' } as const
    for await (const part of batches(sceneData(scenes, 'scenes'), options)) {
      const answers = await session.run({ [input]: part.input }, [output])
      const values = floatData(answers[output]!)
      const one = CHANNELS * CELLS * CELLS
      part.indices.forEach((_, i) => {
        found.push(boxesOf(values.subarray(i * one, (i + 1) * one)))
      })
    }
  } finally {
    await session.release()
  }
  return found
}

/** Returns the boxes of one answer `[channels, cells, cells]`, best first. */
export function boxesOf(answer: Float32Array): Found[] {
  const area = CELLS * CELLS
  const all: Found[] = []
  for (let cell = 0; cell < area; cell++) {
    const at = (channel: number) => answer[channel * area + cell]!
    for (let kind = 0; kind < KINDS; kind++) {
      const score = 1 / (1 + Math.exp(-at(kind)))
      if (score < LEAST_SCORE) continue
      all.push({
        kind,
        score,
        x: ((cell % CELLS) + 0.5 + at(KINDS)) * CELL,
        y: (Math.floor(cell / CELLS) + 0.5 + at(KINDS + 1)) * CELL,
        width: USUAL * Math.exp(at(KINDS + 2)),
        height: USUAL * Math.exp(at(KINDS + 3)),
      })
    }
  }
  all.sort((a, b) => b.score - a.score)
  const kept: Found[] = []
  for (const box of all)
    if (kept.every((other) => other.kind !== box.kind || overlap(other, box) <= SAME))
      kept.push(box)
  return kept
}

/** Returns the mean over classes of the area under precision by recall, 0…1, precision made to fall. */
export function meanAveragePrecision(
  found: readonly (readonly Found[])[],
  scenes: readonly Pick<Scene, 'things'>[],
): number {
  let total = 0
  for (let kind = 0; kind < KINDS; kind++) total += averagePrecision(kind, found, scenes)
  return total / KINDS
}

function averagePrecision(
  kind: number,
  found: readonly (readonly Found[])[],
  scenes: readonly Pick<Scene, 'things'>[],
): number {
  const things = scenes.map((scene) => scene.things.filter((thing) => thing.kind === kind))
  const count = things.reduce((all, { length }) => all + length, 0)
  const taken = things.map(({ length }) => new Uint8Array(length))
  const ranked = found
    .flatMap((boxes, scene) =>
      boxes.filter((box) => box.kind === kind).map((box) => ({ box, scene })),
    )
    .sort((a, b) => b.box.score - a.box.score)
  let hits = 0
  const points = ranked.map(({ box, scene }, i) => {
    const overlaps = things[scene]!.map((thing) => overlap(thing, box))
    const best = overlaps.indexOf(Math.max(...overlaps))
    // A thing is found once; whoever finds it again is wrong.
    if (best >= 0 && overlaps[best]! >= HIT && taken[scene]![best] === 0) {
      taken[scene]![best] = 1
      hits++
    }
    return { recall: hits / count, precision: hits / (i + 1) }
  })
  let [area, highest] = [0, 0]
  for (let i = points.length - 1; i >= 0; i--) {
    highest = Math.max(highest, points[i]!.precision)
    area += (points[i]!.recall - (points[i - 1]?.recall ?? 0)) * highest
  }
  return area
}
