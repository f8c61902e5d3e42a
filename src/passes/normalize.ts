// Any ONNX file → constants beside the graph, one opset.
import { liftConstants } from './lift-constants.ts'
import { type Pass, runPasses, Tally } from './pass.ts'
import { upgradeOpset } from './upgrade-opset.ts'

/** Lifts Constant nodes and brings the model to opset 18 where every node can follow. */
export const normalize: Pass = {
  name: 'normalize',
  summary: 'Constant → constant; opset n → 18',
  run: (model, context) => {
    const { model: result, reports } = runPasses(model, [liftConstants, upgradeOpset], context)
    const tally = new Tally()
    for (const report of reports) tally.add(report)
    return { model: result, rewrites: tally.rewrites() }
  },
}
