// Gradient of Pad: the opposite Pad (negative amounts crop); copies add back to what they copy.
import { ints } from '../../../tensor/tensor.ts'
import type { GraphBuilder } from '../../builder.ts'
import { stringOf } from '../../graph.ts'
import type { VjpContext } from '../../op.ts'
import { padAmounts } from '../pad.ts'
import { pad, reshape, shapeOf, sub, sum } from './helpers.ts'
import { scatterAlong } from './scatter.ts'

/** Pad in any mode. */
export function padVjp(b: GraphBuilder, c: VjpContext): (string | undefined)[] {
  const { begin, end } = padAmounts(c)
  const mode = stringOf(c.node, 'mode', 'constant')
  const dy = c.cotangent()!
  if (mode !== 'constant') return [foldBack(b, c, { begin, end, mode })]
  const inside = () =>
    pad(
      b,
      dy,
      [...begin, ...end].map((amount) => -amount),
    )
  return [
    c.wants(0) ? inside() : undefined,
    undefined,
    c.wants(2) ? borderSum(b, c, inside()) : undefined,
  ]
}

// The padding value gets all that the padded positions got. Cropped axes have none.
function borderSum(b: GraphBuilder, c: VjpContext, inside: string): string {
  const all = (x: string) =>
    sum(
      b,
      x,
      shapeOf(b, x).map((_, i) => i),
    )
  return reshape(b, sub(b, all(c.cotangent()!), all(inside)), c.inputs[2]!.shape)
}

function foldBack(
  b: GraphBuilder,
  c: VjpContext,
  { begin, end, mode }: { begin: number[]; end: number[]; mode: string },
): string {
  return c.inputs[0]!.shape.reduce((d, size, axis) => {
    if (begin[axis] === 0 && end[axis] === 0) return d
    const from = Array.from({ length: size + begin[axis]! + end[axis]! }, (_, i) =>
      source(i - begin[axis]!, size, mode),
    )
    const shape = shapeOf(b, d).map((dim, i) => (i === axis ? size : dim))
    return scatterAlong(b, d, b.constant(ints(from)), { axis, shape })
  }, c.cotangent()!)
}

function source(position: number, size: number, mode: string): number {
  if (mode === 'edge') return Math.min(Math.max(position, 0), size - 1)
  if (mode === 'wrap') return ((position % size) + size) % size
  const period = Math.max(1, 2 * (size - 1))
  const folded = ((position % period) + period) % period
  return folded < size ? folded : period - folded
}
