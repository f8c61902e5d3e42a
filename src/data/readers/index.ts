// The formats, in the order they are tried.
import { cifar10 } from './cifar10.ts'
import { generated } from './generated.ts'
import { imageFolder } from './image-folder.ts'
import { mnist } from './mnist.ts'
import { moduleSamples } from './module.ts'
import { npy } from './npy.ts'
import type { Reader } from './reader.ts'

/** All readers. */
export const readers: readonly Reader[] = [
  generated,
  cifar10,
  mnist,
  npy,
  moduleSamples,
  imageFolder,
]
