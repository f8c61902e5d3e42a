// The run that a test kills in one process and resumes in another.
import { cropAndFlip } from '../../src/data/augment.ts'
import { presetImage } from '../../src/data/describe.ts'
import { generateImages } from '../../src/data/readers/generated.ts'
import type { Model } from '../../src/ir/graph.ts'
import { sgd } from '../../src/train/optimizers.ts'
import type { TrainOptions } from '../../src/train/train.ts'
import { smallNet } from '../train-net.ts'

/** The network it trains. */
export const killedNet = (): Model => smallNet({ seed: 4, width: 4 })

/** Everything but the engine and the checkpoint. */
export function killedRequest(steps: number): Omit<TrainOptions, 'engine'> {
  return {
    data: generateImages({ seed: 2, part: 'train', length: 100 }),
    description: presetImage('unit', { shape: [1, 3, 32, 32] }),
    optimizer: sgd({ nesterov: true, weightDecay: 1e-4 }),
    batch: 16,
    steps,
    seed: 11,
    augment: cropAndFlip,
  }
}
