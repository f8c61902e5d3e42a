// The layer by which executors of zeros are compared: 64 by 64 channels of 3 × 3 at 16 × 16.
import { compile } from '../../src/compile/compile.ts'
import { structures } from '../../src/compress/registry.ts'
import { levelFor } from '../../src/compress/structures/densities.ts'
import type { Model } from '../../src/ir/graph.ts'
import { deploy, runPasses } from '../../src/passes/index.ts'
import { maskByMagnitude } from '../../src/recipes/masking.ts'
import { floatData } from '../../src/tensor/tensor.ts'
import { Network } from '../../src/zoo/network.ts'
import { type Counts, countsOf } from './csr.ts'

/** Pixels of a side and channels of the layer that is timed. */
export const [SIDE, CHANNELS] = [16, 64] as const

/** Returns the layer with all its weights, and how to leave it an eighth of them by a structure. */
export function layerOf(seed: number) {
  const net = new Network(seed)
  const shape = { from: CHANNELS, to: CHANNELS, kernel: 3, stride: 1 }
  const dense = net.finish(net.bareConv('conv', net.image(SIDE, CHANNELS), shape))
  const masked = (structure: string) => {
    const level = levelFor(structures.named(structure), [CHANNELS, CHANNELS, 3, 3], 1 / 8)
    return maskByMagnitude(dense, { 'conv.weight': { structure, level } })
  }
  return { dense, masked }
}

/** Returns the layer as `csrCandidates` takes it. */
export function sparseLayer(model: Model) {
  const data = floatData(model.weights.get('conv.weight'))
  return { weight: { data, outputs: CHANNELS, columns: CHANNELS * 9, taps: 9 }, side: SIDE }
}

/** Returns what the compiled layer's own loops execute; moving planes is not among it. */
export function compiledCounts(model: Model): Counts {
  const { program } = compile(runPasses(model, deploy).model)
  const counts = program.steps
    .filter(({ nodes }) => nodes.length > 0)
    .map(({ function: { body } }) => countsOf(body))
  return {
    loads: counts.reduce((sum, { loads }) => sum + loads, 0),
    macs: counts.reduce((sum, { macs }) => sum + macs, 0),
  }
}
