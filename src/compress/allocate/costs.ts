// Costs of a plan that need no clock: multiply-adds and bytes, what budgets other than time count.
import type { Analysis } from '../../ir/analyze.ts'
import type { Model, Node, ValueType } from '../../ir/graph.ts'
import { findOp } from '../../ir/ops/index.ts'
import { sizeOf } from '../../tensor/tensor.ts'
import { maskables } from '../maskable.ts'
import type { Plan } from '../plan.ts'
import { structures } from '../registry.ts'
import { planShapes, type UnitMap } from '../units.ts'

/** A model with what is known of it. */
export interface Costed {
  readonly model: Model
  readonly analysis: Analysis
  readonly units: UnitMap
}

/**
 * Returns the multiply-adds of one run under a plan, which what a mask prunes takes no part in; those of
 * recurrent cells within a few percent.
 */
export function macsUnder({ model, analysis, units }: Costed): (plan: Plan) => number {
  const densityOf = densities({ model, analysis, units })
  const isConstant = new Set(model.graph.constants.map(({ name }) => name))
  return (plan) => {
    const { type } = planShapes(units, analysis, plan)
    const macsOf = (node: Node): number => {
      const macs = analysis.cost(node).macs
      if (macs === 0) return 0
      const record = findOp(node)!
      if (record.resize === undefined) {
        const typeOf = (name: string) => (name === '' ? undefined : type(name))
        const outputs = node.outputs.map(typeOf) as ValueType[] // a cost is known where types are
        return record.cost!(node.inputs.map(typeOf), outputs, node).macs
      }
      // Its attributes follow a cut, which is not made here; but its cost goes with its weights.
      const weights = largestOf(
        node.inputs
          .filter((name) => isConstant.has(name))
          .map((name) => ({
            before: analysis.types.get(name)!.shape,
            after: type(name).shape,
          })),
      )
      const [before, after] = [weights.map((w) => w.before), weights.map((w) => w.after)].map(
        (shapes) => shapes.reduce((sum, shape) => sum + sizeOf(shape), 0),
      ) as [number, number]
      return before === 0 ? macs : (macs / before) * after
    }
    const kept = (node: Node) =>
      node.inputs.reduce((share, name) => share * densityOf(name, plan), 1)
    return model.graph.nodes.reduce((sum, node) => sum + macsOf(node) * kept(node), 0)
  }
}

interface Change {
  readonly before: readonly number[]
  readonly after: readonly number[]
}

// Those of the highest rank: weights, not biases.
function largestOf(changes: readonly Change[]): Change[] {
  const rank = Math.max(0, ...changes.map(({ before }) => before.length))
  return changes.filter(({ before }) => before.length === rank)
}

/** Returns the bytes of a model's weights under a plan, counting only those that are kept. */
export function weightBytesUnder({ model, analysis, units }: Costed): (plan: Plan) => number {
  const densityOf = densities({ model, analysis, units })
  return (plan) => {
    const { type } = planShapes(units, analysis, plan)
    return model.graph.constants.reduce((sum, { name, dtype }) => {
      const bytes = dtype === 'float32' ? 4 * sizeOf(type(name).shape) : 0
      return sum + bytes * densityOf(name, plan)
    }, 0)
  }
}

// Fraction of a weight that its mask keeps, by the weight's own shape.
function densities({ model, units }: Costed): (name: string, plan: Plan) => number {
  const known = maskables(units, (weight) => model.weights.get(weight).shape)
  return (name, plan) => {
    const entry = plan.mask[name]
    const found = known.get(name)
    if (entry === undefined || found === undefined) return 1
    return structures.named(entry.structure).levels(found.shape)[entry.level] ?? 1
  }
}
