// Attention → for some queries at a time: products with all keys into scratch memory, softmax there,
// product with the values. The matrix of all scores never exists.
import type { Kernel } from '../kernel.ts'
import { PLAIN } from '../layout.ts'
import { at, loadLanes, loop, shift, shuffle, store } from '../tile/build.ts'
import type { TileFunction, TileStatement } from '../tile/nodes.ts'
import { type Attention, type AttentionOperand, attentionAt } from './attention-pattern.ts'
import { sizeOfFormula } from './formula.ts'
import { gemmStatements } from './gemm-nest.ts'
import { planPanels } from './gemm-panels.ts'
import type { Place } from './gemm-tile.ts'
import { createNames, type Names, vectorParts } from './nest.ts'
import { softmaxLine } from './softmax.ts'

/** Queries at a time: whole tiles for every instruction set. */
const QUERIES = 24
/** With fewer queries packing the keys costs more than it saves. */
const LEAST_QUERIES = 4

/** Softmax(Q·K · scale + mask) · V with any leading axes; the layout of heads is a matter of strides. */
export const attention: Kernel = {
  name: 'attention-f32',
  offer(node, context) {
    const found = attentionAt(node, context)
    if (found === undefined || found.covers.some((covered) => context.isCovered(covered))) return ''
    const { lead, sizes, q, k, v, out, values } = found
    if (sizes.q < LEAST_QUERIES) return `computes ${LEAST_QUERIES} queries or more, not ${sizes.q}`
    const heads = lead.reduce((product, size) => product * size, 1)
    const { scratchBytes } = scratchOf(found)
    const perScore = sizes.d + sizes.e + sizeOfFormula(found.formula) + 16
    return [
      {
        kernel: this.name,
        covers: found.covers,
        inputs: [q, k, v, ...values].map(({ value }) => ({ value, layout: PLAIN })),
        outputs: [{ value: out.value, layout: 'plain' }],
        cost: heads * (sizes.q * sizes.k * perScore + sizes.k * sizes.d * 4),
        scratchBytes,
        tolerance: (sizes.d + sizes.k + 16) * 2 ** -22,
        codeKey: () =>
          JSON.stringify([
            lead,
            sizes,
            found.formula,
            [q, k, v, out, ...values].map((o) => o.strides),
          ]),
        pack: () => [],
        emit: () => emit(found),
      },
    ]
  },
}

interface Scratch {
  /** Bytes of a row of scores, or of keys laid out by element. */
  readonly rowBytes: number
  /** Keys whose elements do not follow each other by key are laid out so. */
  readonly packsKeys: boolean
  readonly queries: number
  /** Where scores begin. */
  readonly scores: number
  readonly scratchBytes: number
}

function scratchOf({ sizes, k }: Attention): Scratch {
  const padded = Math.ceil(sizes.k / 4) * 16
  // Rows 4 KiB apart would share cache sets.
  const rowBytes = padded % 4096 === 0 ? padded + 64 : padded
  const packsKeys = k.strides.at(-1) !== 4
  const scores = packsKeys ? sizes.d * rowBytes : 0
  const queries = Math.min(QUERIES, sizes.q)
  return { rowBytes, packsKeys, queries, scores, scratchBytes: scores + queries * rowBytes }
}

function emit(plan: Attention): TileFunction {
  const { lead, sizes, q, k, v, out, values } = plan
  const scratch = scratchOf(plan)
  const bases = { out: 3 + values.length, scratch: 4 + values.length }
  const whole = Math.floor(sizes.q / scratch.queries)
  const rest = sizes.q - whole * scratch.queries
  const body = (fma: boolean): TileStatement[] => {
    const names = createNames()
    const block = (first: number, count: number, prefix: string) =>
      queryBlock(names, plan, { scratch, bases, first, count, prefix, fma })
    const inside = [
      ...(scratch.packsKeys ? layKeys(names, plan, { scratch, base: bases.scratch }) : []),
      loop('block', whole, block(0, scratch.queries, 'm')),
      ...(rest > 0 ? block(whole * scratch.queries, rest, 'r') : []),
    ]
    return lead.reduceRight((inner, count, axis) => [loop(`lead${axis}`, count, inner)], inside)
  }
  return {
    name: attention.name,
    parameters: ['q', 'k', 'v', ...values.map((_, i) => `value${i}`), 'out', 'scratch'],
    extents: [...[q, k, v, ...values, out].map(({ bytes }) => bytes), scratch.scratchBytes],
    body: body(false),
    relaxed: body(true),
  }
}

// Where an operand's matrix begins under the loops over leading axes, and over blocks of queries.
function placeOf(
  base: number,
  { strides }: AttentionOperand,
  { first = 0, perBlock = 0 }: { first?: number; perBlock?: number } = {},
): Place {
  const lead = strides.slice(0, -2).map((stride, axis) => [`lead${axis}`, stride] as const)
  const moves = [...lead, ['block', perBlock] as const].filter(([, stride]) => stride !== 0)
  return { base, offset: first * strides.at(-2)!, strides: Object.fromEntries(moves) }
}

// Keys as a matrix with one row per element: a row then holds all keys side by side.
function layKeys(
  names: Names,
  { sizes, k }: Attention,
  { scratch, base }: { scratch: Scratch; base: number },
): TileStatement[] {
  const [byElement, byKey] = k.strides.slice(-2) as [number, number]
  const from = placeOf(1, k)
  const key = names.fresh('key')
  const step = byElement === 4 ? 4 : 1
  const parts =
    step === 4 ? vectorParts(sizes.d) : [{ start: 0, count: sizes.d, lanes: 1 as const }]
  const body = parts.flatMap(({ start, count, lanes }) => {
    const element = names.fresh('element')
    const source = at(from.base, from.offset + start * byElement, {
      ...from.strides,
      [key]: byKey,
      [element]: byElement,
    })
    const target = at(base, start * scratch.rowBytes, { [key]: 4, [element]: scratch.rowBytes })
    const loaded = loadLanes(source, lanes)
    const stores = Array.from({ length: lanes }, (_, lane) =>
      store(
        shift(target, lane * scratch.rowBytes),
        lane === 0 ? loaded : shuffle(loaded, loaded, [lane, lane, lane, lane]),
        1,
      ),
    )
    return [loop(element, count, stores, step)]
  })
  return [loop(key, sizes.k, body)]
}

function queryBlock(
  names: Names,
  plan: Attention,
  block: {
    readonly scratch: Scratch
    readonly bases: { readonly out: number; readonly scratch: number }
    readonly first: number
    readonly count: number
    readonly prefix: string
    readonly fma: boolean
  },
): TileStatement[] {
  const { sizes, q, k, v, out, values, formula } = plan
  const { scratch, bases, first, count, prefix, fma } = block
  const { rowBytes } = scratch
  // Queries beyond whole blocks are no loop.
  const perBlock = first === 0 ? scratch.queries : 0
  const moving = (base: number, operand: AttentionOperand) =>
    placeOf(base, operand, { first, perBlock: perBlock * operand.strides.at(-2)! })
  const scores = { base: bases.scratch, offset: scratch.scores }
  const row = names.fresh('row')
  const line = at(scores.base, scores.offset, { [row]: rowBytes })
  return [
    ...gemmStatements(
      {
        a: moving(0, q),
        weights: scratch.packsKeys ? { base: bases.scratch, offset: 0 } : placeOf(1, k),
        out: scores,
        epilogue: {
          covers: [],
          output: '',
          formula,
          operands: values.map(({ value }) => ({ kind: 'value', value })),
        },
        operands: values.map((value, i) => moving(3 + i, value)),
        outer: [],
        pixels: {
          count,
          a: q.strides.at(-2)!,
          out: rowBytes,
          operands: values.map(({ strides }) => strides.at(-2)!),
        },
        taps: [{ count: sizes.d, a: q.strides.at(-1)! }],
        channels: sizes.k,
        panels: planPanels(sizes.k, count),
        direct: { rowBytes: scratch.packsKeys ? rowBytes : k.strides.at(-2)! },
        tail: 'leave',
        fma,
      },
      `${prefix}s`,
    ),
    loop(row, count, softmaxLine(names, { count: sizes.k, source: line, target: line })),
    ...gemmStatements(
      {
        a: scores,
        weights: placeOf(2, v),
        out: moving(bases.out, out),
        epilogue: { covers: [], output: '', formula: { kind: 'input', index: 0 }, operands: [] },
        operands: [],
        outer: [],
        pixels: { count, a: rowBytes, out: out.strides.at(-2)!, operands: [] },
        taps: [{ count: sizes.k, a: 4 }],
        channels: sizes.e,
        panels: planPanels(sizes.e, count),
        direct: { rowBytes: v.strides.at(-2)! },
        tail: 'leave',
        fma,
      },
      `${prefix}v`,
    ),
  ]
}
