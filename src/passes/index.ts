// The pipelines: which passes run when.
import { foldAffine } from './fold-affine.ts'
import { foldBatchNorm } from './fold-batch-norm.ts'
import { normalize } from './normalize.ts'
import type { Pass } from './pass.ts'
import { simplify } from './simplify.ts'
import { unfoldBatchNorm } from './unfold-batch-norm.ts'
import { zeroSubnormals } from './zero-subnormals.ts'

/** After reading: one opset, simplified; BatchNormalization stays. */
export const clean: readonly Pass[] = [normalize, simplify]

/** Before training: norms that an export folded come back (needs moments in the context). */
export const train: readonly Pass[] = [unfoldBatchNorm]

/** Before compiling and saving: norms folded, no subnormal weights. */
export const deploy: readonly Pass[] = [foldBatchNorm, foldAffine, simplify, zeroSubnormals]

/** All passes, for laws and documentation. */
export const passes: readonly Pass[] = [
  normalize,
  simplify,
  foldBatchNorm,
  foldAffine,
  unfoldBatchNorm,
  zeroSubnormals,
]

export {
  type Moments,
  type Pass,
  type PassContext,
  type PassReport,
  type Rewrites,
  runPasses,
  type Skipped,
} from './pass.ts'
export { pinInput } from './pin-input.ts'
export { unfoldTargets } from './unfold-batch-norm.ts'
