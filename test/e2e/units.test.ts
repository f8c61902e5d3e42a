// The units laws on real networks, on ONNX Runtime: sampled units, and every class cut and masked.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readOnnx } from '../../src/onnx/read.ts'
import { clean, pinInput, runPasses } from '../../src/passes/index.ts'
import { createRandom } from '../../src/util/random.ts'
import { withSlices } from '../compress/change.ts'
import { checkUnits, type UnitSubject, unitSubject } from '../support/check-units.ts'
import { distance } from '../support/ort.ts'
import { realModels } from '../support/real-models.ts'

const folder = process.env.TERSOR_SHARED && join(process.env.TERSOR_SHARED, 'models')
const isThere = folder !== undefined && folder !== '' && existsSync(folder)
if (!isThere) console.log('units on real networks: skipped, TERSOR_SHARED names no models')

/** Sums of thousands of float32 products in another order, relative to the largest output. */
const TOLERANCE = 1e-5

/** Networks that read all units by weights, of which units are sampled. */
const sampled = ['resnet20-cifar10', 'proxyless-w0.3-r176-imagenet', 'fastestdet', 'yunet-n-320']
const SAMPLES = 25

/** Classes with a choice that each model has at least: what is found must not become less. */
const least: Readonly<Record<string, number>> = {
  'mnist-cntk': 2,
  'resnet20-cifar10': 12,
  'resnet56-cifar10': 30,
  'proxyless-w0.3-r176-imagenet': 28,
  'ppocr-cls': 26,
  'ultraface-rfb-320': 25,
  'yunet-n-320': 16,
  fastestdet: 34,
  'tinystories-260k': 16,
  'dtln-1': 1,
  'gtcrn-simple': 2,
  'silero-vad-16k': 4,
  'radioml-vgg10-qonnx': 9,
}

function load(file: string): UnitSubject {
  const item = realModels[file]!
  const bytes = readFileSync(join(folder as string, `${file}.onnx`))
  const pinned = Object.entries(item.pins ?? {}).reduce(
    (model, [name, value]) => pinInput(model, name, value),
    readOnnx(bytes),
  )
  return unitSubject(runPasses(pinned, clean).model, item)
}

describe.skipIf(!isThere).each(Object.entries(least))('%s', (file, count) => {
  it('masked equals cut in every class, vanishing ones too', async () => {
    const subject = load(file)
    const { worst, worstClass, changed } = await checkUnits(subject)
    expect(worst, worstClass).toBeLessThan(TOLERANCE)
    expect(subject.open.length).toBeGreaterThanOrEqual(count)
    expect(changed).toBeGreaterThan(0.8 * subject.open.length)
  }, 120_000)

  it.runIf(sampled.includes(file))(
    `with the consumers of ${SAMPLES} units zeroed, their producers do not matter`,
    async () => {
      const { model, open, run } = load(file)
      const random = createRandom(2)
      const all = open
        .filter((found) => !found.reduces)
        .flatMap((found) => Array.from({ length: found.size }, (_, unit) => ({ found, unit })))
      for (const index of random.permutation(all.length).slice(0, SAMPLES)) {
        const one = all[index]!
        const deaf = withSlices(model, { ...one, role: 'consumer', value: () => 0 })
        const value = () => 3 * random.normal()
        const changed = withSlices(deaf, { ...one, role: 'producer', value })
        const error = distance(await run(deaf), await run(changed))
        expect(error, `${one.found.name} ${one.unit}`).toBeLessThan(TOLERANCE)
      }
    },
    120_000,
  )
})
