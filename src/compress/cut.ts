// Cut: units removed from every member and shape constant; and the mask that computes the same.
import { type Analysis, analyze, Walk } from '../ir/analyze.ts'
import type { Graph, Model, Node, ValueType } from '../ir/graph.ts'
import { readsOf } from '../ir/graph.ts'
import type { ResizeContext, Resized } from '../ir/op.ts'
import { findOp } from '../ir/ops/index.ts'
import type { Weights } from '../ir/weights.ts'
import { arrayOf, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { invariant, ModelError } from '../util/errors.ts'
import { findUnits, type Kept, keptMasks, type UnitMap, weightUnits } from './units.ts'

/** What a cut needs besides the model; found when absent. */
export interface CutOptions {
  readonly units?: UnitMap
}

/**
 * Returns the model without the units that are not kept. Shape constants and attributes follow;
 * names stay. Throws OptionError for a class that is unknown, frozen or left empty, ModelError
 * where a value would be left without slices.
 * @param analysis of the same model
 */
export function cut(model: Model, analysis: Analysis, kept: Kept, options: CutOptions = {}): Model {
  const units = options.units ?? findUnits(model, analysis)
  const keep = keptSlices(units, keptMasks(units, kept))
  if (keep.size === 0) return model

  const weights = model.weights.copy()
  for (const name of weightUnits(units).keys()) {
    const axes = keep.get(name)
    if (axes) weights.set(name, takeSlices(weights.get(name), axes))
  }
  return rebuild({ model, analysis, keep, weights })
}

/**
 * Returns the model with all members of units that are not kept set to zero, in the same shapes:
 * it computes what the cut model computes, except through ops whose result depends on the count.
 */
export function mask(
  model: Model,
  analysis: Analysis,
  kept: Kept,
  options: CutOptions = {},
): Model {
  const units = options.units ?? findUnits(model, analysis)
  const weights = model.weights.copy()
  for (const [name, bits] of Object.entries(weightMasks(model, units, kept))) {
    const t = weights.get(name)
    invariant(t.dtype !== 'string', 'strings have no units')
    const data = (t.data as Float32Array).slice()
    for (let i = 0; i < data.length; i++) if (bits[i] === 0) data[i] = 0
    weights.set(name, { dtype: t.dtype, shape: t.shape, data })
  }
  return { ...model, weights }
}

/**
 * Returns 1 per element to keep of every weight that loses some: what a training step multiplies by,
 * so that the network that trains is the network that is cut. Running statistics are not masked.
 */
export function weightMasks(model: Model, units: UnitMap, kept: Kept): Record<string, Uint8Array> {
  const masks = keptMasks(units, kept)
  const result: Record<string, Uint8Array> = {}
  units.classes.forEach(({ members }, index) => {
    if (!masks[index]!.includes(0)) return
    for (const { weight, axis, role, units: owners } of members) {
      if (role === 'carrier') continue
      const { shape } = model.weights.get(weight)
      const bits = result[weight] ?? new Uint8Array(sizeOf(shape)).fill(1)
      const inner = sizeOf(shape.slice(axis + 1))
      for (let at = 0; at < bits.length; at += inner) {
        const unit = owners[(at / inner) % owners.length]!
        if (unit >= 0 && masks[index]![unit] === 0) bits.fill(0, at, at + inner)
      }
      result[weight] = bits
    }
  })
  return result
}

/** 1 per slice that stays, by value or weight and axis; what keeps all is missing. */
type Keep = ReadonlyMap<string, ReadonlyMap<number, Uint8Array>>

// A slice stays where all units that it belongs to do.
function keptSlices(units: UnitMap, masks: readonly Uint8Array[]): Keep {
  const keep = new Map<string, Map<number, Uint8Array>>()
  for (const [name, entries] of [...units.values, ...weightUnits(units)])
    for (const { axis, classes, units: owners } of entries) {
      if (!classes.some((index, i) => index >= 0 && masks[index]![owners[i]!] === 0)) continue
      const axes = keep.get(name) ?? new Map<number, Uint8Array>()
      const mask = axes.get(axis) ?? new Uint8Array(classes.length).fill(1)
      classes.forEach((index, i) => {
        if (index >= 0 && masks[index]![owners[i]!] === 0) mask[i] = 0
      })
      keep.set(name, axes.set(axis, mask))
    }
  for (const [name, axes] of keep)
    for (const mask of axes.values())
      if (!mask.includes(1))
        throw new ModelError(
          `Cannot cut "${name}" to nothing: keep at least one of the units it is made of`,
        )
  return keep
}

interface Parts {
  readonly model: Model
  readonly analysis: Analysis
  readonly keep: Keep
  readonly weights: Weights
}

// Walks the cut graph in order, letting each record rewrite its constants, and checks every shape.
function rebuild({ model, analysis, keep, weights }: Parts): Model {
  const { graph } = model
  const constants = graph.constants.map((constant) => {
    const { dtype, shape } = keep.has(constant.name) ? weights.get(constant.name) : constant
    return { name: constant.name, dtype, shape }
  })
  const isConstant = new Set(constants.map((constant) => constant.name))
  const names = new Set([...allNames(graph), ...isConstant])
  const readers = countReaders(graph)
  const shapeAfter = (name: string): ValueType | undefined => {
    const type = analysis.types.get(name)
    const axes = keep.get(name)
    if (type === undefined || axes === undefined) return type
    return {
      dtype: type.dtype,
      shape: type.shape.map((size, axis) => (axes.has(axis) ? count(axes.get(axis)!) : size)),
    }
  }
  const cutGraph: Graph = { ...graph, constants }
  const walk = new Walk({ ...model, graph: cutGraph, weights })
  for (const { name, dtype } of graph.inputs) {
    const type = analysis.types.get(name)
    if (type) walk.declare({ name, dtype, shape: type.shape }, {})
  }
  const nodes = graph.nodes.map((node) => {
    const touched = [...node.inputs, ...node.outputs].some((name) => keep.has(name))
    const change = touched
      ? resize(node, { model, analysis, keep, walk, shapeAfter, isConstant })
      : {}
    const inputs = [...node.inputs]
    for (const [key, value] of Object.entries(change.constants ?? {})) {
      const index = Number(key)
      while (inputs.length <= index) inputs.push('')
      const old = inputs[index]!
      const own = isConstant.has(old) && readers.get(old) === 1
      const name = own ? old : freshName(`${node.outputs[0]}_cut${index}`, names)
      inputs[index] = name
      names.add(name)
      isConstant.add(name)
      weights.set(name, value)
      const info = { name, dtype: value.dtype, shape: value.shape }
      const at = constants.findIndex((constant) => constant.name === name)
      if (at >= 0) constants[at] = info
      else constants.push(info)
      walk.setKnown(name, value)
      walk.types.set(name, info)
    }
    const next: Node = {
      ...node,
      inputs,
      attributes: change.attributes ?? node.attributes,
    }
    follow(next, walk, analysis, shapeAfter)
    return next
  })
  const read = new Set([...nodes.flatMap(readsOf), ...graph.outputs.map((value) => value.name)])
  const was = new Set([...graph.nodes.flatMap(readsOf), ...graph.outputs.map(({ name }) => name)])
  const dropped = constants.filter(({ name }) => !read.has(name) && was.has(name))
  for (const { name } of dropped) weights.delete(name)
  return {
    ...model,
    weights,
    graph: {
      ...graph,
      nodes,
      constants: constants.filter((constant) => !dropped.includes(constant)),
      declared: graph.declared.filter((value) => !keep.has(value.name)),
    },
  }
}

// Infers the node on the cut graph; its outputs must have the shapes that the units say.
function follow(
  node: Node,
  walk: Walk,
  analysis: Analysis,
  shapeAfter: (name: string) => ValueType | undefined,
): void {
  if (!walk.infer(node)) {
    walk.setOutputs(
      node,
      node.outputs.map((name) => analysis.types.get(name)).filter((type) => type !== undefined),
    )
    return
  }
  for (const name of node.outputs) {
    const expected = shapeAfter(name)
    const found = walk.types.get(name)
    if (name === '' || expected === undefined || found === undefined) continue
    invariant(
      expected.shape.join() === found.shape.join(),
      `cutting gave "${name}" the shape [${found.shape}], expected [${expected.shape}]`,
    )
  }
}

interface ResizeParts {
  readonly model: Model
  readonly analysis: Analysis
  readonly keep: Keep
  readonly walk: Walk
  readonly isConstant: ReadonlySet<string>
  shapeAfter(name: string): ValueType | undefined
}

function resize(node: Node, parts: ResizeParts): Resized {
  const record = findOp(node)
  if (record?.resize === undefined) return {}
  const { model, analysis, keep, walk, shapeAfter } = parts
  const before = (names: readonly string[]) => names.map((name) => analysis.types.get(name)!)
  const after = (names: readonly string[]) => names.map((name) => shapeAfter(name)!)
  const context: ResizeContext = {
    node,
    opset: model.opsets[node.domain] ?? model.opsets['']!,
    before: { inputs: before(node.inputs), outputs: before(node.outputs) },
    after: { inputs: after(node.inputs), outputs: after(node.outputs) },
    keptInput: (index, axis) => keep.get(node.inputs[index] ?? '')?.get(axis),
    keptOutput: (index, axis) => keep.get(node.outputs[index] ?? '')?.get(axis),
    known: (index) => (node.inputs[index] ? walk.knownValue(node.inputs[index]!) : undefined),
    isWeight: (index) => parts.isConstant.has(node.inputs[index] ?? ''),
  }
  return record.resize(context)
}

function countReaders(graph: Graph): Map<string, number> {
  const readers = new Map<string, number>()
  const read = [...graph.nodes.flatMap(readsOf), ...graph.outputs.map((value) => value.name)]
  for (const name of read) readers.set(name, (readers.get(name) ?? 0) + 1)
  return readers
}

function allNames(graph: Graph): string[] {
  return [
    ...graph.inputs.map((value) => value.name),
    ...graph.nodes.flatMap((node) => [...node.inputs, ...node.outputs]),
  ]
}

function freshName(hint: string, taken: ReadonlySet<string>): string {
  let name = hint
  for (let i = 2; taken.has(name); i++) name = `${hint}_${i}`
  return name
}

function count(mask: Uint8Array): number {
  let kept = 0
  for (const bit of mask) kept += bit
  return kept
}

/** Returns a tensor with only the slices kept along each given axis. */
export function takeSlices(t: Tensor, axes: ReadonlyMap<number, Uint8Array>): Tensor {
  let result = t
  for (const [axis, kept] of axes) result = takeAlong(result, axis, kept)
  return result
}

function takeAlong(t: Tensor, axis: number, kept: Uint8Array): Tensor {
  invariant(t.dtype !== 'string', 'strings have no units')
  const shape = t.shape.map((size, i) => (i === axis ? count(kept) : size))
  const inner = sizeOf(t.shape.slice(axis + 1))
  const source = t.data as Float32Array
  const data = new (arrayOf(t.dtype))(sizeOf(shape)) as Float32Array
  let to = 0
  for (let from = 0; from < source.length; from += inner) {
    if (kept[(from / inner) % kept.length] === 0) continue
    data.set(source.subarray(from, from + inner), to)
    to += inner
  }
  return { dtype: t.dtype, shape, data }
}

/** Analyses a model and cuts it; what recipes call when they have no analysis at hand. */
export function cutModel(model: Model, kept: Kept): Model {
  return cut(model, analyze(model), kept)
}
