// One-node model → a candidate that times the node alone: without conversions, copies and call overhead.
import { compile } from '../compile/compile.ts'
import { GraphBuilder } from '../ir/builder.ts'
import type { Model } from '../ir/graph.ts'
import { type Candidate, candidateOf } from './measure.ts'
import { sampleFeeds, type Workbench } from './prepare.ts'
import { startProgram } from './program.ts'
import type { TargetName } from './target.ts'

/** Returns a candidate for one layer on a target. */
export async function layerTimer(
  model: Model,
  { bench, target, label }: { bench: Workbench; target: TargetName; label: string },
): Promise<Candidate> {
  if (target === 'wasm') {
    const program = await startProgram(compile(model, { exportKernels: true }))
    return candidateOf(label, () => program.runSteps())
  }
  const engine = await bench.engine(target)
  const session = await engine.session(model, { optimize: 'all' })
  const idle = await engine.session(idleModel(model), { optimize: 'basic' })
  const feeds = sampleFeeds(model)
  return {
    label,
    time: async (runs) => {
      const times = await session.time(feeds, { warmup: 0, runs })
      const overhead = Math.min(
        ...(await idle.time(feeds, { warmup: 0, runs: Math.min(runs, 20) })),
      )
      return times.map((ms) => Math.max(ms - overhead, ms / 20))
    },
    close: async () => {
      await session.release()
      await idle.release()
    },
  }
}

// The same inputs and no work: what a run costs besides the layer.
function idleModel(model: Model): Model {
  const b = new GraphBuilder()
  for (const { name, dtype, shape } of model.graph.inputs) {
    b.input(name, dtype, shape ?? [])
    b.output(b.op('Shape', [name]))
  }
  return b.build()
}
