// Runs one kernel's offer for a small model, by interpreter and as WASM, against the op records.
import { expect } from 'vitest'
import type { Kernel, Layout, Offer } from '../../src/compile/kernel.ts'
import { bytesOf, chwGeometry, nhwcGeometry } from '../../src/compile/layout.ts'
import { packConstant } from '../../src/compile/pack.ts'
import { selectOffers } from '../../src/compile/select.ts'
import { relaxedFunction } from '../../src/compile/tile/build.ts'
import { checkTile, vectorPressure } from '../../src/compile/tile/check.ts'
import { checkTables } from '../../src/compile/tile/tables.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import type { Model } from '../../src/ir/graph.ts'
import { findOp } from '../../src/ir/ops/index.ts'
import {
  type FloatTensor,
  floats,
  numbersOf,
  sizeOf,
  type Tensor,
} from '../../src/tensor/tensor.ts'
import { floatsOf, randomFloats, runBoth } from './helpers.ts'

/** Builds a model from float inputs of the given shapes. */
export function modelOf(
  shapes: readonly (readonly number[])[],
  build: (b: GraphBuilder, inputs: readonly string[]) => string,
): Model {
  const b = new GraphBuilder()
  const inputs = shapes.map((shape, i) => b.input(`x${i}`, 'float32', shape))
  b.output(build(b, inputs))
  return b.build()
}

/** A seeded tensor in [-1, 1). */
export function randomTensor(shape: readonly number[], seed: number): FloatTensor {
  return floats(shape, randomFloats(sizeOf(shape), seed))
}

/** What a check may vary. */
export interface CheckOptions {
  /** Halo beyond what the kernel asks for, on inputs and outputs. */
  readonly extraHalo?: readonly [number, number, number, number]
  /** Nodes the offer must cover. */
  readonly covers?: number
  readonly maxPressure?: number
  /** Where the interpreter adds up its multiply-adds. */
  readonly counted?: { macs: number }
  /** Added to the random inputs, which lie in [-1, 1). */
  readonly inputOffset?: number
}

/** Asks `kernel` for the first needed node, runs its first offer both ways, and compares with the records. */
export function checkKernel(model: Model, kernel: Kernel, options: CheckOptions = {}): Offer {
  const { extraHalo = [0, 0, 0, 0], covers, maxPressure = 15, inputOffset = 0, counted } = options
  const analysis = analyze(model)
  const selection = selectOffers(model, analysis, [kernel])
  const offer = selection.offers[0]
  if (offer === undefined)
    throw new Error(`no offer: ${JSON.stringify(selection.declined.map((d) => d.reasons))}`)
  if (covers !== undefined) expect(offer.covers.length).toBe(covers)
  const values = evaluateModel(model, inputOffset)
  const widen = (layout: Layout): Layout =>
    layout.kind === 'plain'
      ? layout
      : {
          kind: layout.kind,
          halo: [0, 1, 2, 3].map((i) => layout.halo[i]! + extraHalo[i]!) as never,
        }
  const inputLayouts = offer.inputs.map((operand) => widen(operand.layout))
  const outputLayouts = offer.outputs.map(
    (output): Layout =>
      output.layout === 'plain' ? { kind: 'plain' } : { kind: output.layout, halo: extraHalo },
  )
  const layouts = { inputs: inputLayouts, outputs: outputLayouts }
  const fn = offer.emit(layouts)
  expect(checkTile(fn)).toEqual([])
  expect(vectorPressure(fn)).toBeLessThanOrEqual(maxPressure)
  expect(offer.codeKey(layouts)).toBe(offer.codeKey(layouts))
  const outputBytes = offer.outputs.map((output, i) =>
    bytesOf(analysis.types.get(output.value)!, outputLayouts[i]!),
  )
  const buffers = [
    ...offer.inputs.map((operand, i) =>
      packConstant(values.get(operand.value)!, inputLayouts[i]!, operand.value),
    ),
    ...offer.pack(layouts),
    ...outputBytes.map((bytes) => new Uint8Array(bytes)),
    ...(offer.scratchBytes > 0 ? [new Uint8Array(offer.scratchBytes)] : []),
  ]
  const first = buffers.length - outputBytes.length - (offer.scratchBytes > 0 ? 1 : 0)
  const constants = buffers.map((buffer, i) =>
    i < inputLayouts.length || i >= first ? undefined : buffer,
  )
  expect(checkTables(fn, constants)).toEqual([])
  const { interpreted, wasm } = runBoth(fn, buffers, counted && { counted })
  if (fn.relaxed !== undefined) {
    // Other tiles, the same sums in the same order. Its multiply-add needs no register for a product.
    const relaxed = relaxedFunction(fn)
    expect(checkTile(relaxed)).toEqual([])
    expect(vectorPressure(relaxed)).toBeLessThanOrEqual(maxPressure + 1)
    expect(runBoth(relaxed, buffers).wasm).toEqual(wasm)
  }
  offer.outputs.forEach((output, i) => {
    expect(wasm[first + i]).toEqual(interpreted[first + i])
    compareOutput(values.get(output.value)!, {
      got: floatsOf(wasm[first + i]!),
      layout: outputLayouts[i]!,
      tolerance: offer.tolerance,
    })
  })
  return offer
}

function compareOutput(
  want: Tensor,
  { got, layout, tolerance }: { got: Float32Array; layout: Layout; tolerance: number },
): void {
  const laid = floatsOf(packConstant(want, layout, 'want'))
  expect(got.length).toBe(laid.length)
  const size = Math.max(1, ...laid.map(Math.abs))
  let worst = 0
  laid.forEach((value, i) => {
    worst = Math.max(worst, Number.isFinite(value) ? Math.abs(value - got[i]!) : 0)
    // Exactly zero in the halo and in padding channels, which packConstant leaves at zero.
    if (value === 0 && isPadding(want, layout, i)) expect(got[i]).toBe(0)
  })
  expect(worst).toBeLessThanOrEqual(tolerance * size * 4)
}

function isPadding(t: Tensor, layout: Layout, index: number): boolean {
  if (layout.kind === 'plain') return false
  if (layout.kind === 'chw') return isPlanePadding(t, layout, index)
  const g = nhwcGeometry(t.shape, layout)
  const bytes = index * 4
  const channel = (bytes % g.pixelBytes) / 4
  const inImage = bytes % g.imageBytes
  const row = Math.floor(inImage / g.rowBytes) - layout.halo[0]
  const column = Math.floor((inImage % g.rowBytes) / g.pixelBytes) - layout.halo[1]
  return channel >= g.c || row < 0 || row >= g.h || column < 0 || column >= g.w
}

function isPlanePadding(t: Tensor, layout: Layout, index: number): boolean {
  const g = chwGeometry(t.shape, layout)
  const [top, left, bottom] = layout.kind === 'plain' ? [0, 0, 0] : layout.halo
  const inPlane = (index * 4) % g.planeBytes
  const row = Math.floor(inPlane / g.rowBytes) - top
  const column = (inPlane % g.rowBytes) / 4 - left
  return row < g.h + bottom && (row < 0 || row >= g.h || column < 0 || column >= g.w)
}

/** Every value of a model on seeded inputs, by the records' own evaluation. */
export function evaluateModel(model: Model, inputOffset = 0): Map<string, Tensor> {
  const values = new Map<string, Tensor>()
  const analysis = analyze(model)
  for (const { name } of model.graph.constants) values.set(name, model.weights.get(name))
  model.graph.inputs.forEach((value, i) => {
    const { shape } = analysis.types.get(value.name)!
    const data = randomFloats(sizeOf(shape), 100 + i).map((x) => x + inputOffset)
    values.set(value.name, floats(shape, data))
  })
  for (const node of model.graph.nodes) {
    const inputs = node.inputs.map((name) => values.get(name))
    const outputs = findOp(node)!.evaluate!(node, inputs, model.opsets[node.domain] ?? 18)
    outputs.forEach((t, i) => {
      values.set(node.outputs[i]!, t.dtype === 'float32' ? floats(t.shape, numbersOf(t)) : t)
    })
  }
  return values
}
