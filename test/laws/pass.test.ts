// Every pass on every small graph: outputs unchanged, verified, and nothing left for a second run.
import { describe, expect, it } from 'vitest'
import type { Model } from '../../src/ir/graph.ts'
import { printGraph } from '../../src/ir/text.ts'
import { verify } from '../../src/ir/verify.ts'
import { clean, deploy, passes, runPasses, unfoldTargets } from '../../src/passes/index.ts'
import type { Moments, Pass } from '../../src/passes/pass.ts'
import { graphs } from '../support/graphs.ts'
import { distance, randomFeeds, runReference } from '../support/ort.ts'

const pipelines: Readonly<Record<string, readonly Pass[]>> = {
  ...Object.fromEntries(passes.map((pass) => [pass.name, [pass]])),
  clean,
  deploy,
  'clean, then deploy': [...clean, ...deploy],
}

// Moments need not be those of the data for the function to stay the same.
function momentsOf(model: Model): Record<string, Moments> {
  const entries = unfoldTargets(model).map((value) => {
    const node = model.graph.nodes.find(({ outputs }) => outputs[0] === value)!
    const { shape } = model.weights.get(node.inputs[1]!)
    const group = node.attributes.group?.type === 'int' ? node.attributes.group.value : 1
    const length = node.op === 'Conv' ? shape[0]! : shape[1]! * group
    const mean = Array.from({ length }, (_, i) => i / 8 - 0.25)
    return [value, { mean, variance: mean.map((m) => m * m + 0.01) }]
  })
  return Object.fromEntries(entries)
}

describe.each(Object.entries(pipelines))('%s', (_name, pipeline) => {
  it.each(Object.entries(graphs))('keeps what "%s" computes', async (_graph, model) => {
    const context = { moments: momentsOf(model) }
    const before = printGraph(model, { values: 1e6 })
    const { model: after, reports } = runPasses(model, pipeline, context)
    verify(after)
    expect(printGraph(model, { values: 1e6 }), 'the input survives').toBe(before)
    for (const { matched, changed, skipped } of reports)
      expect(matched).toBe(changed + skipped.length)
    for (const seed of [1, 2]) {
      const feeds = randomFeeds(model, seed)
      const [expected, found] = [await runReference(model, feeds), await runReference(after, feeds)]
      // A handful of float32 roundings (2^-24) on values of order one.
      expect(distance(expected, found)).toBeLessThan(2e-6)
    }
    const again = runPasses(after, pipeline, context)
    expect(again.reports.map(({ changed }) => changed)).toEqual(pipeline.map(() => 0))
  })
})
