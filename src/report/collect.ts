// A finished request → the record of its run.
import type { CompressResult, Goal } from '../recipes/recipe.ts'
import { type Run, type RunEnvironment, type RunModel, runSchema } from './run.ts'

/** What a run record holds besides the result itself. */
export interface RunFacts {
  readonly tersor: string
  readonly command: string
  readonly environment: Omit<
    RunEnvironment,
    'cpu' | 'cores' | 'memoryBytes' | 'platform' | 'architecture' | 'node' | 'v8'
  >
  readonly model: RunModel
  readonly result: RunModel
  readonly description: Run['description']
  readonly data: Run['data']
  readonly files: Run['files']
  readonly speedups: Run['speedups']
}

/** Returns the record of a finished request, validated. */
export function collectRun(result: CompressResult, facts: RunFacts): Run {
  const { device, priceTable } = result
  return runSchema.parse({
    format: 1,
    tersor: facts.tersor,
    command: facts.command,
    seed: result.seed,
    target: priceTable.target,
    environment: { ...device, ...facts.environment },
    model: facts.model,
    result: facts.result,
    description: facts.description,
    data: facts.data,
    goal: {
      text: goalText(result.goal, priceTable.target),
      reached: result.reached,
      gap: result.gap,
      ways: result.waysOn,
    },
    plan: result.plan,
    prices: priceTable,
    recipe: result.recipe,
    steps: result.steps,
    layers: result.layers.map((row) => ({
      name: row.name,
      op: row.op,
      before: { shape: row.shapeBefore, macs: row.macsBefore, ms: row.beforeMs },
      after: { shape: row.shapeAfter, macs: row.macsAfter, ms: row.afterMs },
      done: row.done,
      limit: row.whyNotMore,
    })),
    speedups: facts.speedups,
    comparisons: result.comparisons,
    quality: result.quality,
    training: result.training,
    files: facts.files,
    notes: result.notes,
  })
}

/** Returns a goal in words: `1.8× faster on wasm`. */
export function goalText(goal: Goal, target: string): string {
  const speed =
    goal.speedup !== undefined
      ? `${goal.speedup}× faster on ${target}`
      : `${goal.latencyMs ?? '?'} ms per run on ${target}`
  return goal.accuracyDrop === undefined
    ? speed
    : `${speed}, losing at most ${(goal.accuracyDrop * 100).toFixed(1)} points`
}
