// The units laws on real networks, on ONNX Runtime: 100 sampled units, and every class cut and masked.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cut, mask } from '../../src/compress/cut.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { readOnnx } from '../../src/onnx/read.ts'
import { clean, runPasses } from '../../src/passes/index.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { someOf, withSlices } from '../compress/change.ts'
import { difference } from '../compress/run.ts'
import { randomFeeds, runReference } from '../support/ort.ts'

const folder = process.env.TERSOR_SHARED && join(process.env.TERSOR_SHARED, 'models')
const isThere = folder !== undefined && folder !== '' && existsSync(folder)
if (!isThere) console.log('units on real networks: skipped, TERSOR_SHARED names no models')

/** Sums of thousands of float32 products in another order, relative to the largest output. */
const TOLERANCE = 1e-5

const networks: readonly { file: string; sampled: number; allClasses: boolean }[] = [
  { file: 'resnet20-cifar10', sampled: 25, allClasses: true },
  { file: 'proxyless-w0.3-r176-imagenet', sampled: 25, allClasses: true },
  { file: 'fastestdet', sampled: 25, allClasses: false },
  { file: 'yunet-n-320', sampled: 25, allClasses: false },
]

describe.skipIf(!isThere).each(networks)('$file', ({ file, sampled, allClasses }) => {
  const load = () => {
    const bytes = readFileSync(join(folder as string, `${file}.onnx`))
    const { model } = runPasses(readOnnx(bytes), clean)
    const bindings = { batch: 1 }
    const analysis = analyze(model, { bindings })
    const units = findUnits(model, analysis)
    return { model, analysis, units, feeds: randomFeeds(model, 1, { bindings }) }
  }

  it(`with the consumers of ${sampled} units zeroed, their producers do not matter`, async () => {
    const { model, units, feeds } = load()
    const random = createRandom(2)
    const open = units.classes.filter((found) => found.frozen === undefined && !found.reduces)
    const all = open.flatMap((found) =>
      Array.from({ length: found.size }, (_, unit) => ({ found, unit })),
    )
    for (const index of random.permutation(all.length).slice(0, sampled)) {
      const one = all[index]!
      const deaf = withSlices(model, { ...one, role: 'consumer', value: () => 0 })
      const value = () => 3 * random.normal()
      const changed = withSlices(deaf, { ...one, role: 'producer', value })
      const error = difference(await run(deaf, feeds), await run(changed, feeds))
      expect(error, `${one.found.name} ${one.unit}`).toBeLessThan(TOLERANCE)
    }
  }, 120_000)

  it.runIf(allClasses)(
    'masked equals cut in every class',
    async () => {
      const { model, analysis, units, feeds } = load()
      const random = createRandom(3)
      const whole = await run(model, feeds)
      for (const found of units.classes) {
        if (found.frozen !== undefined || found.size < 2) continue
        const kept = { [found.name]: someOf(found.size, random) }
        const small = await run(cut(model, analysis, kept, { units }), feeds)
        const masked = await run(mask(model, analysis, kept, { units }), feeds)
        expect(difference(masked, small), found.name).toBeLessThan(TOLERANCE)
        expect(difference(whole, small), found.name).toBeGreaterThan(TOLERANCE)
      }
    },
    120_000,
  )
})

async function run(model: Model, feeds: Readonly<Record<string, Tensor>>): Promise<Float32Array[]> {
  const outputs = await runReference(model, feeds)
  return Object.values(outputs).map((value) => value.data as Float32Array)
}
