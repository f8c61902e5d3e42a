// Forecast: the plan and its speed before anything is trained or written.
import { identityPlan, type Plan } from '../compress/plan.ts'
import { typesUnder, widthsOf } from '../profile/layers.ts'
import { measuredRatio } from '../profile/whole.ts'
import { withContext } from './flow.ts'
import { maskInWords } from './layer-rows.ts'
import { observeEvidence, shapeToBudget } from './mixed.ts'
import type { CompressRequest, FlowEvent, Recipe } from './recipe.ts'

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
  /** Structures of zeros that the target runs faster. */
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
  recipe: Pick<Recipe, 'name' | 'masks'>,
  request: CompressRequest,
  onEvent: (event: FlowEvent) => void,
): Promise<Forecast> {
  return withContext(recipe, request, onEvent, async (context, { notes }) => {
    const { original, subject, pricing, wholeMs, budgetMs, bench, table, steps } = context
    const evidence = await observeEvidence(context)
    const { data } = await steps.run(
      { name: 'plan', title: 'Choosing widths and structures' },
      async (report) => {
        const { plan, reasons, model } = await shapeToBudget(context, evidence, report)
        const measured = await measuredRatio(original, model, { bench, table })
        const predicted = wholeMs / pricing.price(plan)
        const summary = `${measured.toFixed(2)}× measured, ${predicted.toFixed(2)}× predicted`
        return { data: { plan, reasons, measured, predicted }, summary }
      },
    )
    const { plan, reasons, measured, predicted } = data
    const now = pricing.layers(identityPlan)
    const then = pricing.layers(plan)
    const most = wholeMs / pricing.price(pricing.fastest)
    return {
      target: request.target,
      nowMs: wholeMs,
      budgetMs,
      expectedMs: wholeMs / measured,
      predicted,
      measured,
      most: Math.max(most, measured),
      reachable: Math.max(most, measured) >= wholeMs / budgetMs,
      layers: subject.layers.map(({ node, makes, masks: maskable }, i) => {
        const width = (at: Plan) =>
          widthsOf(subject, subject.layers[i]!, typesUnder(subject, at)).makes
        const [wide, narrow] = [width(identityPlan), width(plan)]
        const mask = maskable && plan.mask[maskable.weight]
        const done = [
          narrow < wide ? `${narrow} of ${wide} channels` : '',
          mask ? maskInWords(mask, maskable.shape) : '',
        ]
        const limits = [
          ...makes.map((name) => reasons.keep[name] ?? ''),
          (maskable && reasons.mask[maskable.weight]) ?? '',
        ]
        return {
          name: node.name || node.outputs[0]!,
          op: node.op,
          nowMs: now[i]!,
          offered: pricing.masks[i]!.offered,
          refused: pricing.masks[i]!.refused,
          chosen: done.filter((text) => text !== '').join('; '),
          expectedMs: then[i]!,
          limit: [...new Set(limits)].filter((text) => text !== '').join('; '),
        }
      }),
      restMs: pricing.restMs,
      points: pricing.points,
      notes,
    }
  })
}
