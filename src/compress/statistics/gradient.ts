// Gradients and curvature per element: g, w ⊙ H g and the diagonal of H, each averaged over batches.
// Lubana and Dick 2021 (arXiv 2009.11839); Hutchinson's estimate as in AdaHessian (arXiv 2006.00719).
import type { GraphBuilder } from '../../ir/builder.ts'
import type { HessianProduct, ReduceContext, Statistic } from '../contracts.ts'
import { add } from './reduce.ts'
import { scoredElements, tapsOf } from './taylor.ts'

/** Mean gradient: that of the loss over all samples. */
export const elementGradient = perElement('element-gradient', {
  value: (_b, { gradients }, tap) => gradients[tap]!,
})

/** Mean of w ⊙ H g: what an element adds to the slope of ‖g‖² along its own weight. */
export const elementGradientFlow = perElement('element-gradient-flow', {
  product: 'gradient',
  value: (b, { products }, tap) => b.op('Mul', [tap, products.gradient![tap]!]),
})

/** Diagonal of the Hessian, estimated with one random probe per batch; may be negative. */
export const elementHessianDiagonal = perElement('element-hessian-diagonal', {
  product: 'probe',
  value: (_b, { products }, tap) => products.probe![tap]!,
})

interface PerElement {
  readonly product?: HessianProduct
  value(b: GraphBuilder, context: ReduceContext, tap: string): string
}

function perElement(name: string, { product, value }: PerElement): Statistic {
  return {
    name,
    over: 'element',
    needsGradients: true,
    ...(product && { products: [product] }),
    taps: (_model, units) => tapsOf(units, scoredElements),
    reduce: (b, context) =>
      Object.fromEntries(context.taps.map((tap) => [tap, value(b, context, tap)])),
    merge: add,
  }
}
