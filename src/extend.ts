// Contracts and helpers for authors of plug-ins: ops, passes, methods, kernels, data formats.

export type { Kernel, Offer, OfferContext } from './compile/kernel.ts'
export type { TileFunction } from './compile/tile/nodes.ts'
export { macsUnder, weightBytesUnder } from './compress/allocate/costs.ts'
export type {
  Allocator,
  Criterion,
  Schedule,
  Statistic,
  Structure,
} from './compress/contracts.ts'
export { maskables, projectWeight } from './compress/maskable.ts'
export { observe, observer } from './compress/observe.ts'
export { reconstruct } from './compress/reconstruct.ts'
export { criteria, statistics, structures } from './compress/registry.ts'
export { scoreElements, scoreUnits } from './compress/score.ts'
export { admm } from './compress/solvers/admm.ts'
export { early } from './compress/solvers/early.ts'
export { gradual } from './compress/solvers/gradual.ts'
export { groupLasso } from './compress/solvers/group-lasso.ts'
export { groupSparse } from './compress/solvers/group-sparse.ts'
export { iterative } from './compress/solvers/iterative.ts'
export { oneShot } from './compress/solvers/one-shot.ts'
export { proximal } from './compress/solvers/proximal.ts'
export { reweighted } from './compress/solvers/reweighted.ts'
export type { Solver, SolverRun, SolverState, Target } from './compress/solvers/solver.ts'
export { inputGram } from './compress/statistics/gram.ts'
export { defineStructure } from './compress/structures/define.ts'
export { levelFor } from './compress/structures/densities.ts'
export { grouped } from './compress/structures/grouped.ts'
export { patternLibrary, patternName } from './compress/structures/pattern.ts'
export type { Reader } from './data/readers/reader.ts'
export { GraphBuilder } from './ir/builder.ts'
export { Editor } from './ir/edit.ts'
export type { InferContext, OpRecord, ResizeContext, UnitContext, VjpContext } from './ir/op.ts'
export { defineOp } from './ir/op.ts'
export type { Pass, Rewrites } from './passes/pass.ts'
export { Tally } from './passes/pass.ts'
export type { Recipe } from './recipes/recipe.ts'
export { planForSize } from './recipes/size-plan.ts'
export { averageWeights } from './train/average.ts'
