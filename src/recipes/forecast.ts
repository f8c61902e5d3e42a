// Forecast: the plan and its speed before anything is trained or written.
import { identityPlan, type Plan } from '../compress/plan.ts'
import { typesUnder, widthsOf } from '../profile/layers.ts'
import type { FlowContext } from './context.ts'
import { withContext } from './flow.ts'
import { maskInWords } from './layer-rows.ts'
import { fastestPlan } from './reach.ts'
import type { CompressRequest, FlowEvent, Foreseen, Recipe } from './recipe.ts'

/** What a goal would take. */
export interface Forecast {
  readonly target: string
  /** Milliseconds of the model as it is, measured; what the goal allows; and what the plan should take. */
  readonly nowMs: number
  readonly budgetMs: number
  readonly expectedMs: number
  /** Times faster: predicted from the layers' prices, and measured on the planned shapes. */
  readonly predicted: number
  readonly measured: number
  /** Times faster with every layer at its least, predicted. */
  readonly most: number
  readonly reachable: boolean
  readonly layers: readonly ForecastLayer[]
  /** Milliseconds of everything that is not a layer. */
  readonly restMs: number
  readonly points: number
  readonly notes: readonly string[]
}

/** One layer of a forecast. */
export interface ForecastLayer {
  readonly name: string
  readonly op: string
  readonly nowMs: number
  /** Structures of zeros that the target runs faster and the recipe may use. */
  readonly offered: readonly string[]
  /** Why there are none. */
  readonly refused: string
  /** What the plan does to it, and what that takes. */
  readonly chosen: string
  readonly expectedMs: number
  /** Why not more. */
  readonly limit: string
}

/** Plans a request without training: measures prices once, chooses, and times the planned shapes. */
export function forecast(
  recipe: Omit<Recipe, 'run'>,
  request: CompressRequest,
  onEvent: (event: FlowEvent) => void,
): Promise<Forecast> {
  return withContext(recipe, request, onEvent, async (context, { notes }) => {
    const { subject, pricing, wholeMs, budgetMs, scope } = context
    const foreseen = await recipe.foresee(context)
    const measured = foreseen.ratio
    const predicted = wholeMs / pricing.price(foreseen.plan)
    const most = wholeMs / pricing.price(fastestPlan(subject, pricing, scope))
    return {
      target: request.target,
      nowMs: wholeMs,
      budgetMs,
      expectedMs: wholeMs / measured,
      predicted,
      measured,
      most: Math.max(most, measured),
      reachable: Math.max(most, measured) >= wholeMs / budgetMs,
      layers: subject.layers.map((_, i) => layerOf(context, foreseen, i)),
      restMs: pricing.restMs,
      points: pricing.points,
      notes,
    }
  })
}

function layerOf(
  { subject, pricing, scope }: FlowContext,
  { plan, reasons }: Foreseen,
  i: number,
): ForecastLayer {
  const layer = subject.layers[i]!
  const { node, makes, masks: maskable } = layer
  const width = (at: Plan) => widthsOf(subject, layer, typesUnder(subject, at)).makes
  const [wide, narrow] = [width(identityPlan), width(plan)]
  const [nowMs, expectedMs] = [pricing.layers(identityPlan)[i]!, pricing.layers(plan)[i]!]
  const mask = maskable && plan.mask[maskable.weight]
  const isGone = expectedMs === 0 && nowMs > 0
  const done = [
    isGone ? 'removed' : narrow < wide ? `${narrow} of ${wide} channels` : '',
    mask ? maskInWords(mask, maskable.shape) : '',
  ]
  const limits = [
    ...makes.map((name) => reasons.keep[name] ?? ''),
    (maskable && reasons.mask[maskable.weight]) ?? '',
  ]
  const { offered: all, refused } = pricing.masks[i]!
  const offered = all.filter((name) => scope.allows?.(name, maskable!.shape) ?? true)
  return {
    name: node.name || node.outputs[0]!,
    op: node.op,
    nowMs,
    offered,
    refused: refused || (offered.length > 0 ? '' : 'the structures of this recipe are no faster'),
    chosen: done.filter((text) => text !== '').join('; '),
    expectedMs,
    limit: [...new Set(limits)].filter((text) => text !== '').join('; '),
  }
}
