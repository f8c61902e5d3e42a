// Random: the control that every other criterion has to beat.
import { floats, sizeOf } from '../../tensor/tensor.ts'
import { createRandom, deriveSeed } from '../../util/random.ts'
import type { Criterion } from '../contracts.ts'

/** Uniform scores in (0, 1), the same for one seed and weight name. */
export function randomCriterion(seed = 0): Criterion {
  return {
    name: 'random',
    paper: 'https://arxiv.org/abs/2202.02643',
    needs: [],
    score({ name, weight: { shape } }) {
      const random = createRandom(deriveSeed(seed, name))
      return floats(
        shape,
        Float32Array.from({ length: sizeOf(shape) }, () => 1 - random.uniform()),
      )
    },
    over: 'sum',
    scale: 'relative',
  }
}
