// How many channels a target computes together: onnxruntime-node pads to the width of its blocks (16 with
// AVX-512, 8 with AVX2), so that 36 cost as much as 48; the web targets compute what there is.
import { GraphBuilder } from '../ir/builder.ts'
import { intList, type Model } from '../ir/graph.ts'
import { floats, sizeOf } from '../tensor/tensor.ts'
import { layerTimer } from './layer-timer.ts'
import { minimaOf } from './minima.ts'
import type { Workbench } from './prepare.ts'
import type { Reference } from './reference.ts'
import type { PriceTable } from './table.ts'
import { layerWarmupMs } from './target.ts'

/** Outputs that are timed: where blocks of 8 and of 16 end, and just beyond one of both. */
const OUTPUTS = [36, 40, 48] as const
/** Half way between a time that grows with every channel (0.75 and 0.9) and one that does not. */
const SIXTEEN_FROM = 0.88
const EIGHT_FROM = 0.95

/** Returns the step in which a target's times grow with widths, 1 where they grow with every channel; measured once. */
export async function widthTile(
  table: PriceTable,
  { bench, reference }: { readonly bench: Workbench; readonly reference: Reference },
): Promise<number> {
  const { target } = table.scope
  const keys = OUTPUTS.map((outputs) => `tile ${outputs}`)
  if (keys.some((key) => table.get(key) === undefined)) {
    const candidates = await Promise.all(
      OUTPUTS.map((outputs) => layerTimer(layer(outputs), { bench, target, label: 'tile' })),
    )
    const warmupMs = layerWarmupMs[target]
    const times = await minimaOf(candidates, reference, { warmupMs, rounds: 6 })
    keys.forEach((key, i) => {
      table.set(key, times[i]!)
    })
    for (const candidate of candidates) await candidate.close?.()
    table.save()
  }
  return tileOf(keys.map((key) => table.get(key)!))
}

/** Returns the step that the times of 36, 40 and 48 outputs show. */
export function tileOf([ms36, ms40, ms48]: readonly number[]): number {
  if (ms36! > SIXTEEN_FROM * ms48!) return 16
  return ms36! > EIGHT_FROM * ms40! ? 8 : 1
}

// 3 × 3 on 28 × 28, as in the middle of most networks.
function layer(outputs: number): Model {
  const b = new GraphBuilder()
  const shape = [outputs, 64, 3, 3]
  const weight = floats(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => ((i * 37) % 101) / 101),
  )
  b.input('x', 'float32', [1, 64, 28, 28])
  const pads = intList([1, 1, 1, 1])
  b.output(b.op('Relu', [b.op('Conv', ['x', b.constant(weight, 'w')], { pads })]))
  return b.build()
}
