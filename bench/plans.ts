// Plans priced and measured: how long the price table and a plan take, and how far ten random plans of
// widths and masks are from what was predicted. Usage: npm run bench:plans -- [--models NAMES]
// [--target wasm] [--plans 10] [--seed 1] [--cache DIR] [--out NAME]. A cache that is empty shows what
// building the table takes.
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { applyPlan } from '../src/compress/apply.ts'
import { identityPlan, type Plan } from '../src/compress/plan.ts'
import { structures } from '../src/compress/registry.ts'
import { clean, deploy } from '../src/passes/index.ts'
import { runPasses } from '../src/passes/pass.ts'
import { deviceFacts } from '../src/profile/device.ts'
import { type Subject, subjectOf } from '../src/profile/layers.ts'
import { nearestLevel } from '../src/profile/masks.ts'
import { compare } from '../src/profile/measure.ts'
import { Workbench } from '../src/profile/prepare.ts'
import { type Pricing, priceSubject } from '../src/profile/price.ts'
import { PriceTable } from '../src/profile/table.ts'
import { targetNames } from '../src/profile/target.ts'
import { measuredWhole } from '../src/profile/whole.ts'
import { defaultCacheFolder } from '../src/recipes/compress.ts'
import { weightGains } from '../src/recipes/gains.ts'
import { maskByMagnitude, masksAfterCut } from '../src/recipes/masking.ts'
import { planChoices, planMixed } from '../src/recipes/mixed-plan.ts'
import { createRandom, type Random } from '../src/util/random.ts'
import { currentLoad, type PlansResult, writeResult } from './lib/results.ts'
import { revision } from './lib/revision.ts'
import { chosenSubjects, modelOf } from './lib/subjects.ts'

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: 'resnet20,proxyless,mobilenetv2,resnet18' },
    target: { type: 'string', default: 'wasm' },
    plans: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    cache: { type: 'string', default: defaultCacheFolder() },
    out: { type: 'string' },
  },
})
const target = targetNames.find((name) => name === options.target)
if (target === undefined) throw new Error(`There is no target "${options.target}"`)
/** A goal as users set it, for the time that planning takes. */
const SPEEDUP = 2
const rounds = 5
const roundMs = 60
const device = deviceFacts()
const startedAt = new Date().toISOString()
const before = currentLoad()
const bench = new Workbench({ threads: 1 })
const engine = target === 'wasm' ? process.versions.v8 : (await bench.engine(target)).version
const rows: PlansResult['rows'] = []
for (const { name, bytes: read } of chosenSubjects(options.models)) {
  const bytes = read()
  if (typeof bytes === 'string') {
    console.log(`${name}: skipped, ${bytes}`)
    continue
  }
  rows.push(await measureModel(name, bytes))
}
await bench.close()
const name = options.out ?? `plans-${target}-node${device.node.split('.')[0]}`
const path = writeResult(name, {
  format: 1,
  kind: 'plans',
  startedAt,
  revision: revision(),
  device,
  conditions: { rounds, roundMs, threads: 1, load: [before, currentLoad()] },
  engines: [{ name: target, version: engine }],
  target,
  rows,
})
console.log(`wrote ${path}`)

async function measureModel(
  model: string,
  bytes: Uint8Array,
): Promise<PlansResult['rows'][number]> {
  const original = runPasses(modelOf(bytes), clean).model
  const table = PriceTable.open(options.cache, { target: target!, engine, threads: 1 })
  const known = table.size
  const subject = subjectOf(original)
  const start = performance.now()
  const wholeMs = await measuredWhole(original, { bench, table })
  const pricing = await priceSubject(subject, table, { bench, wholeMs })
  const tableMs = performance.now() - start
  const planStart = performance.now()
  const evidence = { scores: weightGains(original), sensitivity: undefined }
  const choices = planChoices(subject, pricing, evidence)
  planMixed(subject, pricing, { choices, budgetMs: wholeMs / SPEEDUP })
  const planMs = performance.now() - planStart
  const random = createRandom(Number(options.seed))
  const plans: PlansResult['rows'][number]['plans'] = []
  const whole = await bench.candidate(original, target!, 'whole')
  for (let i = 0; i < Number(options.plans); i++) {
    const plan = randomPlan(subject, pricing, random)
    const cut = applyPlan(original, { ...plan, mask: {} }, evidence.scores).model
    const small = maskByMagnitude(cut, masksAfterCut(subject, cut, plan.mask))
    const candidate = await bench.candidate(runPasses(small, deploy).model, target!, 'plan')
    const { speedups, timings } = await compare(model, [whole, candidate], { rounds, roundMs })
    await candidate.close?.()
    // Prices are least times: what was measured is one, too, at the speed the table knows.
    const measuredMs = (wholeMs * timings[1]!.minMs) / timings[0]!.minMs
    plans.push({
      masks: Object.keys(plan.mask).length,
      predictedMs: pricing.price(plan),
      measuredMs,
      spread: speedups[1]!,
    })
    const off = 100 * (pricing.price(plan) / measuredMs - 1)
    console.log(`${model} plan ${i + 1}: ${measuredMs.toFixed(3)} ms, off by ${off.toFixed(1)} %`)
  }
  await whole.close?.()
  return {
    model,
    wholeMs,
    layers: subject.layers.length,
    points: pricing.points,
    // Whole models and the reference are in the table, too.
    measuredPoints: Math.min(pricing.points, table.size - known),
    tableMs,
    planMs,
    plans,
  }
}

// Classes keep 30 to 100 %, half of the layers that can be masked are, to 6 to 50 % of their weights.
function randomPlan(subject: Subject, pricing: Pricing, random: Random): Plan {
  const keep: Plan['keep'] = {}
  for (const { name, size, frozen } of subject.units.classes) {
    if (frozen !== undefined) continue
    const wanted = Math.round((size * (0.3 + 0.7 * random.uniform())) / 4) * 4
    keep[name] = Math.max(pricing.least[name] ?? 1, Math.min(size, wanted))
  }
  const mask: Plan['mask'] = {}
  subject.layers.forEach((layer, i) => {
    const { offered } = pricing.masks[i]!
    if (layer.masks === undefined || offered.length === 0 || random.uniform() < 0.5) return
    const structure = structures.named(offered[random.integer(offered.length)]!)
    const density = 0.06 * (0.5 / 0.06) ** random.uniform()
    const level = nearestLevel(structure, layer.masks.shape, density)
    if (level > 0) mask[layer.masks.weight] = { structure: structure.name, level }
  })
  return { ...identityPlan, keep, mask }
}
