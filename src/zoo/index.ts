// All networks of the zoo: small ones for tests and sketches, and the sizes that papers report.
import type { Model } from '../ir/graph.ts'
import {
  charLstm,
  detectorTiny,
  glyphNet,
  lenet5,
  lenetLite,
  mobilenetLite,
  resnet8Thin,
  vitTiny,
} from './bench-nets.ts'
import { convnext } from './convnext.ts'
import { densenet } from './densenet.ts'
import { googlenet } from './googlenet.ts'
import { lstmText } from './lstm-text.ts'
import { mixer } from './mixer.ts'
import { mobilenetV2 } from './mobilenet.ts'
import { resnet18 } from './resnet.ts'
import { resnetCifar } from './resnet-cifar.ts'
import { seResnet18 } from './se-resnet.ts'
import { shufflenetV2 } from './shufflenet.ts'
import { swin } from './swin.ts'
import { unet } from './unet.ts'
import { vit } from './vit.ts'

/** One architecture. */
export interface ZooEntry {
  readonly name: string
  /** A network of this kind that runs in milliseconds; the seed is that of the initial weights. */
  small(seed: number): Model
  /** The size a paper reports; weights are made when they are first read. */
  reference?(): Model
}

/** Every architecture, small networks for papers' checks last. */
export const zoo: readonly ZooEntry[] = [
  {
    name: 'resnet-cifar',
    small: (seed) => resnetCifar({ blocks: 1, widths: [8, 12], size: 16, seed }),
    reference: () => resnetCifar({ blocks: 3 }),
  },
  {
    name: 'resnet18',
    small: (seed) => resnet18({ size: 32, widths: [8, 12, 16, 20], classes: 7, seed }),
    reference: () => resnet18(),
  },
  {
    name: 'mobilenet-v2',
    small: (seed) => mobilenetV2({ size: 32, width: 0.35, classes: 7, seed }),
    reference: () => mobilenetV2(),
  },
  {
    name: 'densenet',
    small: (seed) => densenet({ size: 32, growth: 4, blocks: [2, 3], classes: 7, seed }),
    reference: () => densenet(),
  },
  {
    name: 'googlenet',
    small: (seed) => googlenet({ size: 64, width: 0.07, classes: 7, seed }),
    reference: () => googlenet(),
  },
  {
    name: 'shufflenet-v2',
    small: (seed) =>
      shufflenetV2({ size: 32, widths: [8, 16, 24, 32, 40], blocks: [2, 2, 1], classes: 7, seed }),
    reference: () => shufflenetV2(),
  },
  {
    name: 'se-resnet18',
    small: (seed) =>
      seResnet18({ size: 32, widths: [8, 12, 16, 20], reduction: 4, classes: 7, seed }),
    reference: () => seResnet18(),
  },
  {
    name: 'convnext',
    small: (seed) =>
      convnext({ size: 32, patch: 2, widths: [8, 12], blocks: [1, 2], classes: 7, seed }),
    reference: () => convnext(),
  },
  {
    name: 'vit',
    small: (seed) =>
      vit({ size: 16, patch: 4, width: 24, depth: 2, heads: 3, expansion: 2, classes: 7, seed }),
    reference: () => vit(),
  },
  {
    name: 'swin',
    small: (seed) =>
      swin({
        size: 32,
        patch: 4,
        window: 4,
        width: 12,
        blocks: [2, 1],
        heads: [3, 6],
        classes: 7,
        seed,
      }),
    reference: () => swin(),
  },
  {
    name: 'unet',
    small: (seed) => unet({ size: 16, widths: [4, 8, 12], classes: 2, seed }),
    reference: () => unet(),
  },
  {
    name: 'mixer',
    small: (seed) =>
      mixer({
        size: 16,
        patch: 4,
        width: 16,
        depth: 2,
        tokensInner: 12,
        channelsInner: 24,
        classes: 7,
        seed,
      }),
    reference: () => mixer(),
  },
  {
    name: 'lstm-text',
    small: (seed) =>
      lstmText({
        length: 9,
        vocabulary: 11,
        embedding: 6,
        hidden: 8,
        layers: 2,
        classes: 4,
        seed,
      }),
  },
  { name: 'lenet-lite', small: lenetLite },
  { name: 'lenet5', small: lenet5, reference: () => lenet5() },
  { name: 'resnet8-thin', small: resnet8Thin },
  { name: 'vit-tiny', small: vitTiny },
  {
    name: 'char-lstm',
    small: (seed) => charLstm(seed, { length: 12 }),
    reference: () => charLstm(),
  },
  { name: 'mobilenet-lite', small: mobilenetLite },
  { name: 'detector-tiny', small: detectorTiny },
  { name: 'glyph', small: glyphNet },
]
