// Graph → chosen offers: every kernel is asked, the cheapest cover with its conversions wins.
import type { Analysis } from '../ir/analyze.ts'
import { type Model, type Node, opName, readsOf, type ValueType } from '../ir/graph.ts'
import { sizeOf, type Tensor } from '../tensor/tensor.ts'
import { CompileError, invariant } from '../util/errors.ts'
import type { Kernel, Layout, Offer, OfferContext } from './kernel.ts'
import { type Choice, CONVERT_COST, settleLayouts } from './settle.ts'
import { coversAlike, type Halos, halosOf, tuneOffers, type Tuner } from './tune.ts'

/** What was decided for one node, for `--explain`. */
export interface NodeReport {
  readonly node: string
  readonly op: string
  /** What the kernel found in the node. */
  note?(): string
  /** The kernel that computes it; undefined where the node needs no code. */
  readonly kernel: string | undefined
  /** True when an earlier node's kernel absorbed it. */
  readonly absorbed: boolean
  /** The node whose kernel absorbed it. */
  readonly absorbedBy?: string
  /** Layout of what the kernel makes. */
  readonly layout?: Layout['kind']
  /**
   * Kernels that offered, with the cost of each offer: conversions included, and the cheapest offers
   * for nodes that it leaves to others while a rival covers them.
   */
  readonly offers: readonly {
    readonly kernel: string
    readonly layout: Layout['kind']
    readonly cost: number
  }[]
  /** Kernels that refused, with their reasons. */
  readonly refusals: readonly { readonly kernel: string; readonly reason: string }[]
}

/** What selection found. */
export interface Selection {
  /** In execution order. */
  readonly offers: readonly Offer[]
  readonly report: readonly NodeReport[]
  /** Nodes that no kernel offers to run, with every reason. */
  readonly declined: readonly { readonly node: Node; readonly reasons: readonly string[] }[]
}

/** What absorbing a node saves: writing and reading an intermediate value. */
const ABSORB_GAIN = 4

/** How offers are asked for and compared. */
export interface SelectOptions {
  readonly region?: OfferContext['region']
  readonly tuner?: Tuner | undefined
  readonly sharesWeights?: boolean
}

/** Chooses an offer for every node. Nodes whose outputs are known or unread need none. */
export function selectOffers(
  model: Model,
  analysis: Analysis,
  kernels: readonly Kernel[],
  { region = noRegions, tuner, sharesWeights = false }: SelectOptions = {},
): Selection {
  const estimated = { model, analysis, kernels, region, sharesWeights }
  const guess = choose(estimated, undefined)
  const given =
    tuner === undefined
      ? estimated
      : { ...estimated, tuning: { tuner, halos: halosOf(guess.offers) } }
  const first = tuner === undefined ? guess : choose(given, undefined)
  if (first.declined.length > 0 || !first.hasPlanes) return first
  // A single layer gains little from a layout that its neighbours do not share: both ends are tried.
  const second = choose(given, 'chw')
  return second.cost < first.cost ? second : first
}

function noRegions(model: Model): never {
  throw new CompileError(`internal: no one prepares the subgraph "${model.graph.name}"`)
}

interface Attempt extends Selection {
  readonly cost: number
  /** True where a kernel that works on planes only made an offer. */
  readonly hasPlanes: boolean
}

/** Chooses node by node, offers in the preferred layout first, and settles layouts afterwards. */
function choose(
  given: {
    model: Model
    analysis: Analysis
    kernels: readonly Kernel[]
    region: OfferContext['region']
    sharesWeights: boolean
    tuning?: { readonly tuner: Tuner; readonly halos: Halos }
  },
  preferred: Layout['kind'] | undefined,
): Attempt {
  const { model, analysis, kernels, region, sharesWeights, tuning } = given
  const { nodes } = model.graph
  const uses = countUses(model)
  const covered = new Set<Node>()
  const kinds = new Map<string, Set<Layout['kind']>>()
  for (const input of model.graph.inputs) kinds.set(input.name, new Set(['plain']))
  const position = new Map(nodes.map((node, index) => [node, index]))
  const context = offerContext(model, analysis, {
    uses,
    covered,
    position,
    region,
    sharesWeights,
    tunes: tuning !== undefined,
  })
  const ask = (node: Node): Answers => {
    const made: Offer[] = []
    const refusals: { kernel: string; reason: string }[] = []
    for (const kernel of kernels) {
      const answer = hasTypes(node, analysis)
        ? kernel.offer(node, context)
        : 'the types of its inputs or outputs are unknown'
      if (typeof answer === 'string') {
        if (answer !== '') refusals.push({ kernel: kernel.name, reason: answer })
      } else made.push(...answer)
    }
    const offers = tuning === undefined ? made : tuneOffers(made, context, tuning)
    return {
      offers: offers.map((offer) => ({ offer, cost: costOf(offer, context, kinds) })),
      refusals,
    }
  }
  const placed: (Choice & { readonly at: number })[] = []
  const report: NodeReport[] = []
  let hasPlanes = false
  const declined: { node: Node; reasons: string[] }[] = []
  for (const node of nodes) {
    const entry = { node: nodeName(node), op: opName(node) }
    const empty = { ...entry, kernel: undefined, absorbed: false, offers: [], refusals: [] }
    if (covered.has(node)) {
      report.push({ ...empty, absorbed: true })
      continue
    }
    if (!isNeeded(node, analysis, uses)) {
      report.push(empty)
      continue
    }
    const { offers: found, refusals } = ask(node)
    const offers = withRest(found, ask, position).sort((a, b) => a.cost - b.cost)
    hasPlanes ||= offers.some(({ offer }) => isPlanesOnly(offer, offers))
    const best = (offers.find(({ offer }) => isIn(offer, preferred)) ?? offers[0])?.offer
    if (best === undefined) {
      const reasons = refusals.map(({ kernel, reason }) => `${kernel}: ${reason}`)
      declined.push({ node, reasons: [...new Set(reasons)] })
      report.push({ ...empty, refusals })
      continue
    }
    for (const absorbed of best.covers) covered.add(absorbed)
    for (const output of best.outputs) kinds.set(output.value, new Set([output.layout]))
    for (const input of best.inputs) kinds.get(input.value)?.add(input.layout.kind)
    const options = offers.map(({ offer }) => offer).filter((offer) => coversAlike(offer, best))
    placed.push({ offer: best, options, at: Math.max(...best.covers.map((n) => position.get(n)!)) })
    report.push({
      ...entry,
      kernel: undefined,
      absorbed: false,
      offers: offers.map(({ offer, cost }) => ({
        kernel: offer.kernel,
        layout: layoutOf(offer),
        cost,
      })),
      refusals,
    })
  }
  placed.sort((a, b) => a.at - b.at)
  const cost = settleLayouts(model, analysis, placed)
  const offers = placed.map(({ offer }) => offer)
  const gain = offers.reduce((sum, offer) => sum + absorbGain(offer, context), 0)
  const chosen = new Map(offers.flatMap((offer) => offer.covers.map((node) => [node, offer])))
  const named = nodes.map((node, i): NodeReport => {
    const entry = report[i]!
    const offer = chosen.get(node)
    if (offer === undefined) return { ...entry, kernel: undefined }
    const made = { ...entry, kernel: offer.kernel, layout: layoutOf(offer) }
    if (entry.absorbed) return { ...made, absorbedBy: nodeName(offer.covers[0]!) }
    return offer.note ? { ...made, note: offer.note } : made
  })
  const inner = offers.flatMap((offer) => offer.regions ?? [])
  named.push(...inner.flatMap(({ selection }) => selection.report))
  return { offers, report: named, declined, cost: cost - gain, hasPlanes }
}

interface Priced {
  readonly offer: Offer
  readonly cost: number
}

interface Answers {
  readonly offers: readonly Priced[]
  readonly refusals: readonly { readonly kernel: string; readonly reason: string }[]
}

// Offers that cover different nodes compare by what all of these nodes cost: those that an offer
// leaves to others count with the cheapest offers for them.
function withRest(
  offers: readonly Priced[],
  ask: (node: Node) => Answers,
  position: ReadonlyMap<Node, number>,
): Priced[] {
  const union = [...new Set(offers.flatMap(({ offer }) => offer.covers))]
  union.sort((a, b) => position.get(a)! - position.get(b)!)
  const answers = new Map<Node, Answers>()
  return offers.map(({ offer, cost }) => {
    const done = new Set(offer.covers)
    let total = cost
    for (const node of union) {
      if (done.has(node)) continue
      const answer = answers.get(node) ?? ask(node)
      answers.set(node, answer)
      const [first, ...others] = answer.offers
      if (first === undefined) return { offer, cost: Number.POSITIVE_INFINITY }
      const best = others.reduce((a, b) => (b.cost < a.cost ? b : a), first)
      total += best.cost
      for (const covered of best.offer.covers) done.add(covered)
    }
    return { offer, cost: total }
  })
}

function layoutOf({ outputs }: Offer): Layout['kind'] {
  return outputs[0]?.layout ?? 'plain'
}

function isIn(offer: Offer, kind: Layout['kind'] | undefined): boolean {
  return layoutOf(offer) === kind
}

function isPlanesOnly(offer: Offer, offers: readonly { readonly offer: Offer }[]): boolean {
  const others = offers.filter((other) => other.offer.kernel === offer.kernel)
  return isIn(offer, 'chw') && others.every((other) => isIn(other.offer, 'chw'))
}

/** Nodes that no kernel runs, by their names in the model that was given. */
export class DeclinedError extends CompileError {
  readonly nodes: readonly { readonly node: string; readonly reason: string }[]

  constructor(message: string, nodes: DeclinedError['nodes']) {
    super(message)
    this.nodes = nodes
  }
}

/** Throws one DeclinedError that names every declined node with its reasons. */
export function throwDeclined(
  declined: Selection['declined'],
  origins: ReadonlyMap<string, string> = new Map(),
): never {
  const lines = declined.map(({ node, reasons }) => {
    const name = nodeName(node)
    const origin = origins.get(name)
    const what = origin === undefined ? opName(node) : `its ${opName(node)}`
    return `"${origin ?? name}" (${what}): ${reasons.join('; ') || 'no kernel computes this op'}`
  })
  const count = lines.length === 1 ? 'one node' : `${lines.length} nodes`
  throw new DeclinedError(
    `Cannot compile ${count} for wasm:\n  ${lines.join('\n  ')}`,
    declined.map(({ node, reasons }) => ({
      node: origins.get(nodeName(node)) ?? nodeName(node),
      reason: reasons.join('; ') || `no kernel computes ${opName(node)}`,
    })),
  )
}

/** Returns what a node is called in reports: its name, or that of its first output. */
export function nodeName(node: Node): string {
  return node.name || node.outputs[0]!
}

function offerContext(
  model: Model,
  analysis: Analysis,
  state: {
    uses: ReadonlyMap<string, readonly Node[]>
    covered: ReadonlySet<Node>
    position: ReadonlyMap<Node, number>
    region: OfferContext['region']
    sharesWeights: boolean
    tunes: boolean
  },
): OfferContext {
  const outputs = new Set(model.graph.outputs.map((value) => value.name))
  const producers = new Map(
    model.graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)),
  )
  return {
    model,
    analysis,
    target: 'wasm',
    tunes: state.tunes,
    sharesWeights: state.sharesWeights,
    region: state.region,
    type: (name) => typeOf(analysis, name),
    constant: (name): Tensor | undefined => (name === '' ? undefined : analysis.known(name)),
    producer: (name) => producers.get(name),
    consumers: (name) => state.uses.get(name) ?? [],
    isOutput: (name) => outputs.has(name),
    isCovered: (node) => state.covered.has(node),
    positionOf: (node) => state.position.get(node)!,
    soleConsumer: (name) => {
      const readers = state.uses.get(name) ?? []
      const [reader] = readers
      if (readers.length !== 1 || reader === undefined || outputs.has(name)) return undefined
      return state.covered.has(reader) ? undefined : reader
    },
  }
}

function typeOf(analysis: Analysis, name: string): ValueType {
  const type = analysis.types.get(name)
  invariant(type !== undefined, `no type for "${name}"`)
  return type
}

function hasTypes(node: Node, analysis: Analysis): boolean {
  return [...node.inputs, ...node.outputs].every((name) => name === '' || analysis.types.has(name))
}

// A reader is listed once per use, so a node that reads a value twice is not its sole consumer.
function countUses(model: Model): Map<string, Node[]> {
  const uses = new Map<string, Node[]>()
  for (const node of model.graph.nodes)
    for (const name of readsOf(node)) {
      const readers = uses.get(name)
      if (readers) readers.push(node)
      else uses.set(name, [node])
    }
  for (const output of model.graph.outputs) if (!uses.has(output.name)) uses.set(output.name, [])
  return uses
}

function isNeeded(
  node: Node,
  analysis: Analysis,
  uses: ReadonlyMap<string, readonly Node[]>,
): boolean {
  return node.outputs.some(
    (name) => name !== '' && uses.has(name) && analysis.known(name) === undefined,
  )
}

function costOf(
  offer: Offer,
  context: OfferContext,
  kinds: ReadonlyMap<string, ReadonlySet<Layout['kind']>>,
): number {
  let cost = offer.cost
  const counted = new Set<string>()
  for (const { value, layout } of offer.inputs) {
    const available = kinds.get(value)
    const key = `${value} ${layout.kind}`
    if (available === undefined || available.has(layout.kind) || counted.has(key)) continue
    counted.add(key)
    cost += CONVERT_COST * sizeOf(context.type(value).shape)
  }
  return cost - absorbGain(offer, context)
}

function absorbGain(offer: Offer, context: OfferContext): number {
  return offer.covers
    .slice(1)
    .flatMap((node) => node.outputs)
    .reduce(
      (sum, name) => (name === '' ? sum : sum + ABSORB_GAIN * sizeOf(context.type(name).shape)),
      0,
    )
}
