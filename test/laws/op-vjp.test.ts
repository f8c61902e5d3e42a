// Law: every gradient agrees with finite differences, to second order, and every differentiable op has a case.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEngine } from '../../src/exec/create.ts'
import type { Engine } from '../../src/exec/engine.ts'
import { allOps } from '../../src/ir/ops/index.ts'
import { vjpCases } from '../autodiff/cases.ts'
import { differences } from '../autodiff/check.ts'

/** Single precision and a fourth-order difference over 0.01: rounding leaves about 1e-4 of a unit gradient. */
const TOLERANCE = 4e-3

/** Ops without a gradient, and why. Those with a simpler form (`expand`) are differentiated in it. */
const without: Record<string, string> = {
  ReduceProd: 'the product rule divides by zero elements',
  Mod: 'piecewise',
  Branch: 'made by the compiler, after training',
  Loop: 'made by the compiler, after training',
  CacheWrite: 'made by the compiler, after training',
  Host: 'made by the compiler, after training',
}

describe('op gradients', () => {
  let engine: Engine
  beforeAll(async () => {
    engine = await createEngine({ threads: 1 })
  })
  afterAll(() => engine.close())

  it.each(
    vjpCases.map(
      (c, i) => [`${c.op} ${JSON.stringify(c.inputs)} ${c.note ?? ''} #${i}`, c] as const,
    ),
  )('%s', async (_, c) => {
    for (const { what, analytic, numeric, error } of await differences(engine, c))
      expect(error, `${what}: ${analytic} against ${numeric}`).toBeLessThan(TOLERANCE)
  })

  it('has a case for every op with a gradient', () => {
    const covered = new Set(vjpCases.map((c) => c.op))
    const missing = allOps().filter((record) => record.vjp && !covered.has(record.name))
    expect(missing.map((record) => record.name)).toEqual(NOT_IN_OPSET_18)
  })

  it('knows a gradient, a simpler form or a reason for every op that computes floats', () => {
    const missing = allOps().filter(
      (record) =>
        !record.vjp && !record.expand && !without[record.name] && !integer.has(record.name),
    )
    expect(missing.map((record) => record.name)).toEqual([])
  })
})

/** Later opsets bring these; the engine's opset 18 does not know them. */
const NOT_IN_OPSET_18 = ['Gelu', 'Swish', 'CastLike']

/** Ops whose outputs are integers, truth values, or do not depend on float inputs. */
const integer = new Set([
  ...[
    'Equal',
    'Less',
    'Greater',
    'LessOrEqual',
    'GreaterOrEqual',
    'And',
    'Or',
    'Xor',
    'Not',
    'IsNaN',
    'IsInf',
  ],
  ...['Shape', 'Size', 'Constant', 'ConstantOfShape', 'Range', 'ArgMax', 'ArgMin', 'Upsample'],
])
