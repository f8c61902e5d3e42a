// Projection of all targets together: several may limit one weight.
import type { Masks, Target } from './solver.ts'

/** Returns masks that meet every target: each next one sees the scores of what the ones before it keep. */
export function projectAll(
  targets: readonly Target[],
  score: (weight: string, target: Target) => Float32Array,
  keepOf: (target: Target) => number = ({ keep }) => keep,
): Masks {
  const masks: Record<string, Uint8Array> = {}
  for (const target of targets) {
    const scores = Object.fromEntries(
      target.weights.map((name) => [name, kept(score(name, target), masks[name])]),
    )
    for (const [name, mask] of Object.entries(target.project(scores, keepOf(target)))) {
      const before = masks[name]
      masks[name] = before === undefined ? mask : mask.map((bit, i) => bit & before[i]!)
    }
  }
  return masks
}

function kept(scores: Float32Array, mask: Uint8Array | undefined): Float32Array {
  return mask === undefined ? scores : scores.map((score, i) => score * mask[i]!)
}
