// The models that are timed: files of TERSOR_SHARED where it is set, and networks built here.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Model } from '../../src/ir/graph.ts'
import { readOnnx } from '../../src/onnx/read.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { mobilenetV2 } from '../../src/zoo/mobilenet.ts'
import { resnet18 } from '../../src/zoo/resnet.ts'
import { sparseLayers } from '../kernels/sparse.ts'
import { typicalLayers } from '../kernels/typical.ts'
import { patternSparse, pairSparse } from './sparsify.ts'
import { vitBlocks } from './vit-block.ts'

/** A model to time. */
export interface Subject {
  readonly name: string
  readonly note: string
  /** Returns the bytes of its ONNX file, or why there are none. */
  bytes(): Uint8Array | string
}

const file = (name: string, path: string, note: string): Subject => ({
  name,
  note,
  bytes: () => {
    const folder = process.env.TERSOR_SHARED
    if (!folder) return 'TERSOR_SHARED names no folder'
    const found = join(folder, 'models', path)
    return existsSync(found) ? new Uint8Array(readFileSync(found)) : `there is no ${found}`
  },
})

const built = (name: string, note: string, build: () => Model): Subject => ({
  name,
  note,
  bytes: () => writeOnnx(build()),
})

/** All models, smallest first. */
export const subjects: readonly Subject[] = [
  file('resnet20', 'resnet20-cifar10.onnx', 'CIFAR-10, trained'),
  file('resnet56', 'resnet56-cifar10.onnx', 'CIFAR-10, trained'),
  file('proxyless', 'proxyless-w0.3-r176-imagenet.onnx', 'ImageNet, width 0.3, trained'),
  file('ultraface', 'ultraface-rfb-320.onnx', 'face detector, trained'),
  file('yunet', 'yunet-n-320.onnx', 'face detector, trained'),
  built('vit-blocks', 'two blocks of a ViT-Tiny, random weights', () => vitBlocks(2)),
  built('mobilenetv2', 'random weights', () => mobilenetV2()),
  built('mobilenetv2-sparse', 'random weights; 1×1: 85 % zeros, shared by two channels', () =>
    pairSparse(mobilenetV2(), { keep: 0.15 }),
  ),
  built('resnet18', 'random weights', () => resnet18()),
  built(
    'resnet18-sparse',
    'random weights; 3×3: 4-entry patterns + connectivity, 1 of 8 left',
    () => patternSparse(resnet18(), { keep: 1 / 8 }),
  ),
]

/** Layers one by one, for the benchmark of kernels. */
const layerSubjects: readonly Subject[] = [
  built('layers', 'dense layers as reference networks have them', typicalLayers),
  built('sparse-layers', 'random weights with zeros of every kind that has a kernel', sparseLayers),
]

/** Returns the subjects of these names; throws for a name there is none of. */
export function chosenSubjects(names: string): readonly Subject[] {
  if (names === '') return subjects
  return names.split(',').map((name) => {
    const all = [...subjects, ...layerSubjects]
    const found = all.find((subject) => subject.name === name)
    if (found === undefined)
      throw new Error(`There is no model "${name}"; there are ${all.map((s) => s.name).join(', ')}`)
    return found
  })
}

/** Reads a subject's model. */
export function modelOf(bytes: Uint8Array): Model {
  return readOnnx(bytes)
}
