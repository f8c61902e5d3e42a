// A training loop without an engine, for solvers: the task is a quadratic, ½ Σ (w − goal)ᵀ A (w − goal).
import { type Driven, drive } from '../../src/compress/solvers/drive.ts'
import type { Masks, Partition, Solver, Target } from '../../src/compress/solvers/solver.ts'
import { largest } from '../../src/tensor/largest.ts'

/** A task on some weights. */
export interface Task {
  readonly targets: readonly Target[]
  /** Weights at the start; not changed. */
  readonly start: Readonly<Record<string, Float32Array>>
  /** Gradient of the task at given weights. */
  gradient(weights: Readonly<Record<string, Float32Array>>): Record<string, Float32Array>
  readonly steps: number
  readonly rate: number
  /** Scores; default squares of the weights. */
  score?(weight: string, values: Float32Array): Float32Array
  /** Sees the masks that hold weights at zero after every step. */
  watch?(masks: Masks): void
  /** Interrupts after this step and goes on from what a checkpoint would hold. */
  readonly pause?: number
}

/** What a run leaves. */
export interface Solved {
  readonly weights: Readonly<Record<string, Float32Array>>
  readonly masks: Masks
  readonly data: unknown
  readonly keep: readonly number[] | undefined
}

/** Trains by plain gradient descent under a solver. */
export function solve(solver: Solver, task: Task): Solved {
  const weights: Record<string, Float32Array> = {}
  for (const [name, data] of Object.entries(task.start)) weights[name] = data.slice()
  const masks: Record<string, Uint8Array> = {}
  const score = task.score ?? ((_, values) => values.map((value) => value * value))
  const make = (): Driven<unknown> =>
    drive(solver, {
      targets: task.targets,
      score: (weight, _target, values) => score(weight, values[weight]!),
      settings: null,
    })
  let driven = make()
  const hands = (step: number) => ({
    step,
    steps: task.steps,
    peakRate: task.rate,
    weights,
    masks,
    forget: () => {},
  })
  driven.begin!(hands(0))
  for (let step = 0; step < task.steps; step++) {
    const seen = Object.entries(weights).map(([n, data]) => [n, driven.view!(n, data)] as const)
    const gradients = task.gradient(Object.fromEntries(seen))
    driven.adjust!(gradients, { ...hands(step), rate: task.rate })
    for (const [name, data] of Object.entries(weights))
      for (let i = 0; i < data.length; i++)
        data[i] = masks[name]?.[i] === 0 ? 0 : data[i]! - task.rate * gradients[name]![i]!
    driven.act(hands(step + 1))
    task.watch?.({ ...masks })
    if (step + 1 !== task.pause) continue
    const state: unknown = JSON.parse(JSON.stringify(driven.state()))
    const tensors = structuredClone(driven.tensors!())
    driven = make()
    driven.restore(state, tensors)
  }
  const { data, keep } = driven.state()
  return { weights, masks, data, keep }
}

/** Pulls every weight straight to a goal: ½ Σ (w − goal)². */
export function towards(goal: Readonly<Record<string, Float32Array>>): Task['gradient'] {
  return (weights) =>
    Object.fromEntries(
      Object.entries(weights).map(([name, data]) => [
        name,
        data.map((value, i) => value - goal[name]![i]!),
      ]),
    )
}

/** A target over one weight in groups: those of most score stay. */
export function targetOf(group: readonly number[], keep: number, name = 'w'): Target {
  const of = { [name]: Int32Array.from(group) }
  const count = Math.max(...group) + 1
  const partition: Partition = { count, of }
  const stage = (least: number) => Math.max(keep, Math.ceil(count * least - 1e-9))
  return {
    kind: 'mask',
    name,
    weights: [name],
    holds: [name],
    keep: keep / count,
    stage: (least) => ({ amount: stage(least), keep: stage(least) / count }),
    partitions: [partition],
    project(scores, least = keep / count) {
      const sums = new Float64Array(count)
      scores[name]!.forEach((score, i) => {
        sums[group[i]!]! += score
      })
      const kept = new Set(largest(sums, stage(least)))
      return { [name]: Uint8Array.from(group, (id) => (kept.has(id) ? 1 : 0)) }
    },
  }
}
