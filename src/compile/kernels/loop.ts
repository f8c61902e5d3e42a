// tersor.Loop → carried values in place, loop, the steps of the body, copies, end.
import { opName } from '../../ir/graph.ts'
import { type LoopPlan, loopPlan } from '../../ir/ops/control.ts'
import { sizeOf } from '../../tensor/tensor.ts'
import { CompileError } from '../../util/errors.ts'
import type { Fixed } from '../fix.ts'
import type { Kernel, StepBuffers, StepHands } from '../kernel.ts'
import { PLAIN } from '../layout.ts'
import { bytesOfView } from '../pack.ts'
import type { Buffer } from '../program.ts'
import { costOf } from './branch.ts'
import { ONCE, withoutCode } from './steps.ts'

/** Turns are counted in 32 bits. */
const MOST = 2 ** 31 - 1

interface LoopBuffers extends StepBuffers {
  readonly plan: LoopPlan
  readonly body: Fixed
  readonly hasTrips: boolean
  readonly hasGo: boolean
  /** Which outputs of the node are read. */
  readonly wanted: readonly number[]
}

/** Runs a subgraph several times, a known number of times or as long as it says. */
export const loopKernel: Kernel = {
  name: 'loop',
  offer(node, context) {
    if (opName(node) !== 'tersor.Loop') return ''
    const inferring = context.analysis.context(node)
    const plan = loopPlan(inferring)
    let body: Fixed
    try {
      body = context.region(plan.model)
    } catch (error) {
      if (error instanceof CompileError) return error.message
      throw error
    }
    const [trips, go, ...rest] = node.inputs as [string, string, ...string[]]
    const captures = rest.slice(plan.carried)
    const values = [
      ...(trips ? [trips] : []),
      ...(go ? [go] : []),
      ...rest.slice(0, plan.carried),
      ...captures.filter((value) => context.constant(value) === undefined),
    ]
    const wanted = node.outputs.flatMap((value, i) => (value === '' ? [] : [i]))
    return [
      {
        ...withoutCode('loop', node),
        cost: costOf(body) * (plan.turns ?? 1),
        regions: [body],
        inputs: values.map((value) => ({ value, layout: PLAIN })),
        outputs: wanted.map((i) => ({ value: node.outputs[i]!, layout: 'plain' })),
        steps: (hands, buffers) =>
          writeLoop(hands, { ...buffers, plan, body, hasTrips: !!trips, hasGo: !!go, wanted }),
      },
    ]
  },
}

function writeLoop(hands: StepHands, given: LoopBuffers): void {
  const { plan, body, wanted, writes } = given
  const [reads, { carried }] = [[...given.reads], plan]
  const number = (value: number) =>
    hands.constant(`loop ${value}`, bytesOfView(Int32Array.of(value)))
  const trips = given.hasTrips ? reads.shift()! : number(MOST)
  const begin = given.hasGo ? reads.shift()! : number(1)
  const [initial, captures] = [reads.slice(0, carried), reads.slice(carried)]
  const [counter, go] = [hands.scratch('turn', 4), hands.scratch('go', 4)]
  const resultOf = (i: number): Buffer | undefined => writes[wanted.indexOf(i)]
  const state = initial.map((from, i) => resultOf(i) ?? hands.scratch(`carried ${i}`, from.bytes))
  initial.forEach((from, i) => {
    hands.copy(from, state[i]!)
  })
  hands.copy(begin, go)
  const stop = plan.isCounted ? {} : { go }
  const watched = [trips, counter, ...(plan.isCounted ? [] : [go])]
  hands.push({ kind: 'loop', trips, counter, ...stop, reads: [trips, go], writes: [counter] })
  const [next, ...made] = hands.region(body, [counter, go, ...state, ...captures]) as [
    Buffer,
    ...Buffer[],
  ]
  made.slice(carried).forEach((from, k) => {
    const to = resultOf(carried + k)
    if (to !== undefined) stack(hands, { from, to, counter, rows: plan.turns ?? 0 })
  })
  // A value that comes out as another went in is set aside before that one changes.
  const results = made.slice(0, carried).map((from, i) => {
    if (from.id === state[i]!.id || !state.some(({ id }) => id === from.id)) return from
    const aside = hands.scratch(`aside ${i}`, from.bytes)
    hands.copy(from, aside)
    return aside
  })
  hands.copy(next, go)
  results.forEach((from, i) => {
    hands.copy(from, state[i]!)
  })
  hands.push({ kind: 'end', reads: watched, writes: [] })
}

function stack(
  hands: StepHands,
  {
    from,
    to,
    counter,
    rows,
  }: {
    readonly from: Buffer
    readonly to: Buffer
    readonly counter: Buffer
    readonly rows: number
  },
): void {
  const bytes = sizeOf(from.shape) === 0 ? 0 : to.bytes / Math.max(1, rows)
  const row = { index: counter, element: 0, rows, fromStride: 0, toStride: bytes, ...ONCE }
  hands.push({
    ...{ kind: 'copy', from, to, bytes, fromOffset: 0, toOffset: 0, row },
    ...{ reads: [from, counter], writes: [to] },
  })
}
