// Contracts and helpers for authors of plug-ins: ops, passes, methods, kernels, data formats.
export { defineOp } from './ir/op.ts'
export type { InferContext, OpRecord, ResizeContext, UnitContext, VjpContext } from './ir/op.ts'
export { GraphBuilder } from './ir/builder.ts'
export { Editor } from './ir/edit.ts'
export { Tally } from './passes/pass.ts'
export type { Pass, Rewrites } from './passes/pass.ts'
export type {
  Allocator,
  Criterion,
  Schedule,
  Statistic,
  Structure,
} from './compress/contracts.ts'
export type { Kernel, Offer, OfferContext } from './compile/kernel.ts'
export type { TileFunction } from './compile/tile/nodes.ts'
export type { Reader } from './data/readers/reader.ts'
export type { Recipe } from './recipes/recipe.ts'
