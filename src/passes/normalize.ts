// Any ONNX file → constants beside the graph, no model-local functions, one opset.
import { inlineFunctions } from './inline-functions.ts'
import { liftConstants } from './lift-constants.ts'
import { type Pass, runPasses, Tally } from './pass.ts'
import { upgradeOpset } from './upgrade-opset.ts'

/** Inlines functions, lifts Constant nodes and brings the model to opset 18 where every node can follow. */
export const normalize: Pass = {
  name: 'normalize',
  summary: 'function → its body; Constant → constant; opset n → 18',
  run: (model, context) => {
    const steps = [inlineFunctions, liftConstants, upgradeOpset]
    const { model: result, reports } = runPasses(model, steps, context)
    const tally = new Tally()
    for (const report of reports) tally.add(report)
    return { model: result, rewrites: tally.rewrites() }
  },
}
