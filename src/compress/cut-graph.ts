// The graph after a cut: shape constants and attributes follow, what lost all its slices goes.
import { type Analysis, Walk } from '../ir/analyze.ts'
import { type Graph, type Model, type Node, opName, readsOf, type ValueType } from '../ir/graph.ts'
import type { ResizeContext, Resized } from '../ir/op.ts'
import { findOp } from '../ir/ops/index.ts'
import type { Weights } from '../ir/weights.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { invariant, OptionError } from '../util/errors.ts'

/** 1 per slice that stays, by value or weight and axis; what keeps all is missing. */
export type Keep = ReadonlyMap<string, ReadonlyMap<number, Uint8Array>>

/** A cut that is decided, and the weights it leaves. */
export interface GraphCut {
  readonly model: Model
  readonly analysis: Analysis
  readonly keep: Keep
  /** Already cut; changed in place. */
  readonly weights: Weights
}

/** Returns the model with every node on its new shapes. Throws OptionError where something cannot do without what went. */
export function cutGraph(parts: GraphCut): Model {
  return new GraphCutter(parts).run()
}

class GraphCutter {
  readonly #model: Model
  readonly #analysis: Analysis
  readonly #keep: Keep
  readonly #weights: Weights
  readonly #constants: Graph['constants'][number][]
  readonly #isConstant: Set<string>
  readonly #names: Set<string>
  readonly #readers: ReadonlyMap<string, number>
  readonly #walk: Walk
  /** Constants that stand for a value that is the same at all positions: of size 1 along the others. */
  readonly #compact = new Set<string>()

  constructor({ model, analysis, keep, weights }: GraphCut) {
    const { graph } = model
    this.#model = model
    this.#analysis = analysis
    this.#keep = keep
    this.#weights = weights
    this.#constants = graph.constants.map((constant) => {
      const { dtype, shape } = keep.has(constant.name) ? weights.get(constant.name) : constant
      return { name: constant.name, dtype, shape }
    })
    this.#isConstant = new Set(graph.constants.map((constant) => constant.name))
    this.#names = new Set([...allNames(graph), ...this.#isConstant])
    this.#readers = countReaders(graph)
    this.#walk = new Walk({ ...model, graph: { ...graph, constants: this.#constants }, weights })
    for (const { name } of graph.inputs) {
      const type = this.#typeAfter(name)
      if (type) this.#walk.declare({ name, ...type }, {})
    }
  }

  run(): Model {
    const { graph } = this.#model
    const nodes = graph.nodes.flatMap((node) => this.#follow(node))
    const read = new Set([...nodes.flatMap(readsOf), ...graph.outputs.map((value) => value.name)])
    const was = new Set([...graph.nodes.flatMap(readsOf), ...graph.outputs.map(({ name }) => name)])
    const dropped = this.#constants.filter(({ name }) => !read.has(name) && was.has(name))
    for (const { name } of dropped) this.#weights.delete(name)
    const resized = <T extends Graph['inputs'][number]>(value: T): T => {
      const axes = this.#keep.get(value.name)
      if (axes === undefined || value.shape === undefined) return value
      const shape = value.shape.map((size, axis) =>
        axes.has(axis) ? count(axes.get(axis)!) : size,
      )
      return { ...value, shape }
    }
    return {
      ...this.#model,
      weights: this.#weights,
      graph: {
        ...graph,
        nodes,
        inputs: graph.inputs.map(resized),
        outputs: graph.outputs.map(resized),
        constants: this.#constants.filter((constant) => !dropped.includes(constant)),
        declared: graph.declared.filter((value) => !this.#keep.has(value.name)),
      },
    }
  }

  #typeAfter(name: string): ValueType | undefined {
    const type = this.#analysis.types.get(name)
    const axes = this.#keep.get(name)
    if (type === undefined || axes === undefined) return type
    return {
      dtype: type.dtype,
      shape: type.shape.map((size, axis) => (axes.has(axis) ? count(axes.get(axis)!) : size)),
    }
  }

  #isGone(name: string): boolean {
    const axes = this.#keep.get(name)
    return axes !== undefined && [...axes.values()].some((mask) => !mask.includes(1))
  }

  // The node on its new shapes; none where all it makes is gone or has become a constant.
  #follow(node: Node): Node[] {
    const outputs = node.outputs.filter((name) => name !== '')
    if (outputs.some((name) => this.#isGone(name))) {
      if (!outputs.every((name) => this.#isGone(name))) this.#refuse(node)
      return []
    }
    const next = this.#resized(
      node.inputs.some((name) => this.#isGone(name)) ? this.#without(node) : node,
    )
    if (next === undefined) return []
    const isCompact = next.inputs.some((name) => this.#compact.has(name))
    if (isCompact && this.#fold(next)) return []
    this.#infer(next, isCompact)
    return [next]
  }

  // What a node is without the inputs that lost all their slices: a constant, or fewer inputs.
  #without(node: Node): Node | undefined {
    const gone = node.inputs.flatMap((name, index) => (this.#isGone(name) ? [index] : []))
    const left = findOp(node)?.vanish?.({
      node,
      gone,
      outputs: node.outputs.map((name) => this.#typeAfter(name)!),
      known: (index) => this.#walk.knownValue(node.inputs[index] ?? ''),
    })
    if (left === undefined) return this.#refuse(node)
    if ('inputs' in left) return { ...node, inputs: left.inputs }
    this.#become(node.outputs[0]!, left.constant)
    return undefined
  }

  // A node that reads what is the same everywhere: folded where it reads nothing else.
  #fold(node: Node): boolean {
    const record = findOp(node)
    const spreads = record?.units?.kind === 'pass' || record?.spreads === true
    if (!spreads) return this.#refuse(node)
    const values = node.inputs.map((name) =>
      name === '' ? undefined : this.#walk.knownValue(name),
    )
    if (values.some((value, i) => value === undefined && node.inputs[i] !== '')) return false
    const results = record!.evaluate?.(node, values, this.#model.opsets[node.domain] ?? 0)
    if (results === undefined) return this.#refuse(node)
    results.forEach((value, i) => {
      if (node.outputs[i]) this.#become(node.outputs[i], value)
    })
    return true
  }

  #become(name: string, value: Tensor): void {
    if (this.#model.graph.outputs.some((output) => output.name === name))
      throw new OptionError(
        `Cannot cut that much: the output "${name}" would not depend on the inputs any more`,
      )
    this.#compact.add(name)
    this.#setConstant(name, value)
  }

  #refuse(node: Node): never {
    throw new OptionError(
      `Cannot cut all units that ${opName(node)} "${node.name || node.outputs[0]}" reads: ` +
        'keep at least one of them',
    )
  }

  #setConstant(name: string, value: Tensor): void {
    const info = { name, dtype: value.dtype, shape: value.shape }
    const at = this.#constants.findIndex((constant) => constant.name === name)
    if (at >= 0) this.#constants[at] = info
    else this.#constants.push(info)
    this.#names.add(name)
    this.#isConstant.add(name)
    this.#weights.set(name, value)
    this.#walk.setKnown(name, value)
  }

  #resized(node: Node | undefined): Node | undefined {
    if (
      node === undefined ||
      ![...node.inputs, ...node.outputs].some((name) => this.#keep.has(name))
    )
      return node
    const change = this.#changeOf(node)
    const inputs = [...node.inputs]
    for (const [key, value] of Object.entries(change.constants ?? {})) {
      const index = Number(key)
      while (inputs.length <= index) inputs.push('')
      const old = inputs[index]!
      const own = this.#isConstant.has(old) && this.#readers.get(old) === 1
      const name = own ? old : freshName(`${node.outputs[0]}_cut${index}`, this.#names)
      inputs[index] = name
      this.#setConstant(name, value)
    }
    return { ...node, inputs, attributes: change.attributes ?? node.attributes }
  }

  #changeOf(node: Node): Resized {
    const record = findOp(node)
    if (record?.resize === undefined) return {}
    const before = (names: readonly string[]) =>
      names.map((name) => this.#analysis.types.get(name)!)
    const after = (names: readonly string[]) => names.map((name) => this.#typeAfter(name)!)
    const context: ResizeContext = {
      node,
      opset: this.#model.opsets[node.domain] ?? this.#model.opsets['']!,
      before: { inputs: before(node.inputs), outputs: before(node.outputs) },
      after: { inputs: after(node.inputs), outputs: after(node.outputs) },
      keptInput: (index, axis) => this.#keep.get(node.inputs[index] ?? '')?.get(axis),
      keptOutput: (index, axis) => this.#keep.get(node.outputs[index] ?? '')?.get(axis),
      known: (index) =>
        node.inputs[index] ? this.#walk.knownValue(node.inputs[index]!) : undefined,
      isWeight: (index) => this.#isConstant.has(node.inputs[index] ?? ''),
    }
    return record.resize(context)
  }

  // The outputs must have the shapes that the units say; where only a compact constant gave them
  // their extent, they no longer do.
  #infer(node: Node, isCompact: boolean): void {
    if (!this.#walk.infer(node)) {
      const types = node.outputs.map((name) => this.#analysis.types.get(name))
      this.#walk.setOutputs(
        node,
        types.filter((type) => type !== undefined),
      )
      return
    }
    for (const name of node.outputs) {
      const expected = this.#typeAfter(name)
      const found = this.#walk.types.get(name)
      if (name === '' || expected === undefined || found === undefined) continue
      const fits = expected.shape.join() === found.shape.join()
      if (!fits && isCompact) this.#refuse(node)
      invariant(
        fits,
        `cutting gave "${name}" the shape [${found.shape}], expected [${expected.shape}]`,
      )
    }
  }
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

/** Returns how many slices a mask keeps. */
export function count(mask: Uint8Array): number {
  let kept = 0
  for (const bit of mask) kept += bit
  return kept
}
