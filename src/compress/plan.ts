// Plan: the currency between deciding and doing. Plain JSON, integers, nothing left to rounding.
import { z } from 'zod'

/** What to keep of each unit class, and which tensors get a sparsity structure. */
export const planSchema = z.object({
  format: z.literal(1),
  /** Unit class name → how many units stay. A class that is not listed keeps all. */
  keep: z.record(z.string(), z.number().int().positive()),
  /** Weight name → structure and level (1 = dense first, as the structure lists them). */
  mask: z
    .record(z.string(), z.object({ structure: z.string(), level: z.number().int() }))
    .default({}),
})

/** @see planSchema */
export type Plan = z.infer<typeof planSchema>

/** The plan that changes nothing. */
export const identityPlan: Plan = { format: 1, keep: {}, mask: {} }
