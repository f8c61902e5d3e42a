// Three cheapest ways on after a missed goal, each with a figure that was predicted or measured.
import type { Model } from '../ir/graph.ts'
import { compare } from '../profile/measure.ts'
import { targetNames } from '../profile/target.ts'
import type { FlowContext } from './context.ts'
import { fastestPlan } from './reach.ts'
import { DEFAULT_EPOCHS } from './recipe.ts'

/** What a missed goal ended with. */
export interface Outcome {
  readonly small: Model
  /** Times faster, measured. */
  readonly speedup: number
  /** Accuracy or agreement lost, 0…1. */
  readonly lost: number
  /** True when the run was stopped: its own end is the cheapest way on. */
  readonly stopped: boolean
}

/** Returns up to three ways on, cheapest first. */
export async function waysOn(context: FlowContext, outcome: Outcome): Promise<string[]> {
  if (outcome.stopped) return ['Continue: the same command with --resume']
  const ways = [
    ...recoverLonger(context, outcome),
    askForLess(context, outcome),
    ...(await smallerInput(context, outcome)),
    ...(await otherTarget(context, outcome)),
    ...heavyLayers(context),
  ]
  return ways.slice(0, 3)
}

function recoverLonger({ request }: FlowContext, { lost }: Outcome): string[] {
  const { accuracyDrop } = request.goal
  if (accuracyDrop === undefined || lost <= accuracyDrop || request.training === undefined)
    return []
  const epochs = 2 * (request.epochs ?? DEFAULT_EPOCHS)
  return [
    `Recover longer: --epochs ${epochs} (the loss of accuracy was still ${(100 * lost).toFixed(1)} points)`,
  ]
}

// A goal that the recipe can meet: by what was measured, and by what it may do at all.
function askForLess(
  { subject, pricing, scope, wholeMs, budgetMs, request }: FlowContext,
  { speedup }: Outcome,
): string {
  const wanted = wholeMs / budgetMs
  if (speedup >= wanted)
    return `Ask for less: --speedup ${shown(Math.sqrt(wanted))} keeps more of the model (half of the way)`
  const most = wholeMs / pricing.price(fastestPlan(subject, pricing, scope))
  const what = !scope.masks ? 'channel pruning alone' : scope.cuts === false ? 'masking' : 'pruning'
  const reach = `${what} reaches about ${most.toFixed(1)}× on ${request.target} (predicted, every layer at its least)`
  const asked = Math.min(speedup, REACHABLE * most)
  return asked > 1.01
    ? `Ask for less: ${reach}; try --speedup ${shown(asked)}`
    : `Try another --recipe: ${reach}`
}

/** Of what is predicted at most this share is promised. */
const REACHABLE = 0.9

// Never more than what it stands for: 1.398 becomes 1.39x.
function shown(speedup: number): string {
  return `${Math.floor(100 * speedup) / 100}x`
}

// Where the time is left that pruning cannot take.
function heavyLayers({ subject, pricing, scope }: FlowContext): string[] {
  const fastest = fastestPlan(subject, pricing, scope)
  const times = pricing.layers(fastest)
  const total = pricing.price(fastest)
  const heaviest = times
    .map((ms, i) => ({ ms, node: subject.layers[i]!.node }))
    .sort((a, b) => b.ms - a.ms)[0]
  if (heaviest === undefined) return []
  const name = heaviest.node.name || heaviest.node.outputs[0]
  const share = Math.round((100 * heaviest.ms) / total)
  return [
    `Replace "${name}": at its least it still takes ${share} % of the time that is left (predicted)`,
  ]
}

// The time of the small model at half the height and width, measured where the graph allows it.
async function smallerInput(
  { bench, wholeMs, request }: FlowContext,
  { small }: Outcome,
): Promise<string[]> {
  const [input, ...others] = small.graph.inputs
  const shape = input?.shape
  if (input === undefined || others.length > 0 || shape?.length !== 4) return []
  const halved = shape.map((dim, axis) => (axis >= 2 && typeof dim === 'number' ? dim >> 1 : dim))
  const graph = { ...small.graph, inputs: [{ ...input, shape: halved }], declared: [] }
  const model = { ...small, graph }
  try {
    const candidate = await bench.candidate(model, request.target, 'half size')
    const { timings } = await compare('half size', [candidate], { rounds: 3, ...bench.timing })
    await candidate.close?.()
    const ratio = wholeMs / timings[0]!.medianMs
    return [
      `Feed smaller pictures: at ${halved.slice(2).join('×')} this model is ${ratio.toFixed(1)}× faster than the original (measured; it needs training at that size)`,
    ]
  } catch {
    // A graph with fixed sizes inside does not take another input: this way does not exist.
    return []
  }
}

// A runtime that runs the small model faster than the target does, both timed together.
async function otherTarget({ bench, request }: FlowContext, { small }: Outcome): Promise<string[]> {
  const here = await bench.candidate(small, request.target, request.target)
  for (const target of targetNames) {
    if (target === request.target || (await bench.missing(target)) !== undefined) continue
    const there = await bench.candidate(small, target, target)
    const { speedups } = await compare(target, [here, there], { rounds: 3, ...bench.timing })
    await there.close?.()
    const ratio = speedups[1]!.median
    if (ratio > 1.1) return [`Run it on ${target}: ${ratio.toFixed(1)}× faster still (measured)`]
  }
  return []
}
