// Plan: the currency between deciding and doing. Plain JSON, integers, nothing left to rounding.
import { z } from 'zod'
import { OptionError } from '../util/errors.ts'

const limit = z.object({ structure: z.string(), level: z.number().int().nonnegative() })

/** What to keep of each unit class, and which tensors get a sparsity structure. */
export const planSchema = z.strictObject({
  format: z.literal(1),
  /** Unit class name → how many units stay; 0 where all may go. A class that is not listed keeps all. */
  keep: z.record(z.string(), z.number().int().nonnegative()),
  /** Weight name → structure and level (an index into the structure's levels, 0 = dense). */
  mask: z
    .record(
      z.string(),
      // `also` holds further structures that the same weight has to take: zero where any of them is.
      limit.extend({ also: z.array(limit).optional() }),
    )
    .default({}),
})

/** @see planSchema */
export type Plan = z.infer<typeof planSchema>

/** The plan that changes nothing. */
export const identityPlan: Plan = { format: 1, keep: {}, mask: {} }

/** Reads a plan from the text of plan.json. Throws OptionError that names the first wrong place. */
export function readPlan(text: string): Plan {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new OptionError(`Cannot read the plan: not JSON (${(error as Error).message})`)
  }
  const parsed = planSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  const place = issue.path.length === 0 ? 'the plan' : `"${issue.path.join('.')}"`
  throw new OptionError(`Cannot read the plan: ${place}: ${issue.message}`)
}

/** Returns the text of plan.json, keys sorted: equal plans are equal bytes. */
export function writePlan(plan: Plan): string {
  const sorted = <T>(record: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)))
  return `${JSON.stringify({ format: 1, keep: sorted(plan.keep), mask: sorted(plan.mask) }, null, 2)}\n`
}
