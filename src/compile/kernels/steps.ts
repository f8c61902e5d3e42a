// Offers that are no function: views, and steps of the program itself.
import type { Node } from '../../ir/graph.ts'
import type { Offer } from '../kernel.ts'
import type { Repeat } from '../program.ts'

/** A copy that is made once. */
export const ONCE: Repeat = { count: 1, fromStep: 0, toStep: 0 }

/** Returns what such offers have in common. */
export function withoutCode(
  kernel: string,
  node: Node,
): Omit<Offer, 'inputs' | 'outputs' | 'cost'> {
  return {
    kernel,
    covers: [node],
    scratchBytes: 0,
    tolerance: 0,
    codeKey: () => kernel,
    pack: () => [],
    emit: () => {
      throw new Error(`internal: ${kernel} has no code`)
    },
  }
}
