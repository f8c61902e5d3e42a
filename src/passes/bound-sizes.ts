// Dynamic sizes up to a maximum → fixed sizes at the maximum: what lies beyond the actual size is
// garbage that never reaches what lies within. Where an op would mix the two, it is filled first.
//
// The graph is analyzed at several sizes. An axis whose size differs varies; what is within must be the
// beginning of the axis at any size, which is checked by running movements on ids at two sizes.
import { type Analysis, analyze, bindDims } from '../ir/analyze.ts'
import { GraphBuilder } from '../ir/builder.ts'
import { int, type Model, type Node, opName, type ValueType } from '../ir/graph.ts'
import { findOp } from '../ir/ops/index.ts'
import { numbersOf, sizeOf, stridesOf, type Tensor, tensor } from '../tensor/tensor.ts'
import { CompileError, ModelError, OptionError } from '../util/errors.ts'
import { type BoundContext, type BoundRule, boundRule } from './bound-rules.ts'
import { fitSize, type SizeFormula } from './size-formula.ts'

/** A size that a run may choose. */
export interface BoundedSize {
  readonly name: string
  /** Smaller ones the model does not take. */
  readonly least: number
  readonly most: number
  /** Name of the float32 scalar input that holds it; absent where nothing computes with it. */
  readonly input?: string
  /** The program finds it out; the input is an output then. */
  readonly isComputed?: true
}

/** A model of fixed sizes that computes for smaller ones, too. */
export interface Bounded {
  readonly model: Model
  readonly sizes: readonly BoundedSize[]
  /** Per input and output by name: per axis what its actual size is; undefined where it is fixed. */
  readonly dims: ReadonlyMap<string, readonly (SizeFormula | undefined)[]>
}

/**
 * Returns the model at its largest sizes, with inputs that say the actual ones where it matters. Other
 * dynamic sizes must be bound. Throws CompileError that names every node whose result depends on a size
 * in a way that this cannot carry.
 */
export function boundSizes(model: Model, most: Readonly<Record<string, number>>): Bounded {
  const dims = new Set(model.graph.inputs.flatMap(({ shape }) => shape ?? []))
  for (const [name, size] of Object.entries(most)) {
    if (!dims.has(name)) throw new OptionError(`Cannot bound "${name}": no input has such a size`)
    if (!Number.isSafeInteger(size) || size < 2)
      throw new OptionError(`Cannot bound "${name}" by ${size}: expected an integer of at least 2`)
  }
  return new Bounding(model, most).run()
}

/** Sizes at which shapes are looked at; ids are moved at those of up to the second. */
const PROBES = [1, 2, 3, 4, 5, 7, 8, 11, 16, 21, 24]
const LARGEST_MOVED = 24

interface Sample {
  readonly sizes: Readonly<Record<string, number>>
  readonly analysis: Analysis
}

class Bounding {
  readonly #model: Model
  readonly #most: Readonly<Record<string, number>>
  readonly #full: Sample
  /** Per size: samples in which only it changes, ascending. */
  readonly #ladders: ReadonlyMap<string, readonly Sample[]>
  readonly #builder: GraphBuilder
  readonly #inputs = new Map<string, string>()
  readonly #counts = new Map<string, string>()
  readonly #filled = new Map<string, string>()
  readonly #declined: string[] = []

  constructor(model: Model, most: Readonly<Record<string, number>>) {
    this.#model = model
    this.#most = most
    const names = Object.keys(most)
    // Where others are looked at; small, so that moving ids is fast, unless the model needs more.
    const small = Object.fromEntries(names.map((name, i) => [name, Math.min(most[name]!, 6 + i)]))
    const middle = fitsModel(model, small) ? small : most
    const sample = (sizes: Readonly<Record<string, number>>): Sample => ({
      sizes,
      analysis: analyze(model, { bindings: sizes }),
    })
    this.#full = sample(most)
    this.#ladders = new Map(
      names.map((name) => {
        const end = most[name]!
        const steps = [...new Set([...PROBES, end - 1, end])].filter((n) => n >= 1 && n <= end)
        const ordered = steps.sort((a, b) => a - b).map((size) => ({ ...middle, [name]: size }))
        return [name, largest(ordered, sample)]
      }),
    )
    const { graph } = model
    const inputs = graph.inputs.map((value) => ({
      ...value,
      shape: value.shape && bindDims(value.shape, most),
    }))
    this.#builder = new GraphBuilder({
      base: { ...model, graph: { ...graph, inputs, nodes: [], outputs: [] } },
      prefix: 'bounded/',
    })
  }

  run(): Bounded {
    const { graph } = this.#model
    for (const node of graph.nodes) this.#add(node)
    if (this.#declined.length > 0)
      throw new CompileError(
        `Cannot compile for sizes up to a maximum:\n  ${this.#declined.join('\n  ')}`,
      )
    const dims = new Map(
      [...graph.inputs, ...graph.outputs].map(({ name }) => [name, this.#formulas(name)]),
    )
    const b = this.#builder
    for (const { name } of graph.outputs) b.output(name)
    const sizes = Object.entries(this.#most).map(([name, most]): BoundedSize => {
      const input = this.#inputs.get(name)
      const least = this.#ladders.get(name)![0]!.sizes[name]!
      return { name, least, most, ...(input !== undefined && { input }) }
    })
    return { model: b.build(), sizes, dims }
  }

  #add(node: Node): void {
    const rule = this.#ruleFor(node)
    if (typeof rule === 'string') {
      this.#decline(node, rule)
      this.#builder.append(node)
      return
    }
    const inputs = [...node.inputs]
    for (const { input, axes, value } of rule.fills)
      inputs[input] = this.#fill(node, inputs[input]!, axes, value)
    if (rule.mean === undefined) this.#builder.append({ ...node, inputs })
    else this.#meanOf(node, inputs[0]!, rule.mean)
  }

  #decline(node: Node, reason: string): void {
    this.#declined.push(`"${node.name || node.outputs[0]}" (${opName(node)}): ${reason}`)
  }

  #ruleFor(node: Node): BoundRule | string {
    const context = this.#context(node)
    const names = node.outputs.filter((name) => name !== '')
    // Shape arithmetic, and tables: they are what they are at the largest size.
    if (names.every((name) => this.#full.analysis.known(name) !== undefined)) return NOTHING
    const isFixed =
      node.inputs.every((name, i) => name === '' || context.varies(i).length === 0) &&
      names.every((name) => this.#varying(name).length === 0)
    const changing = node.inputs.find((name) => name !== '' && this.#changes(name))
    const record = findOp(node)
    const rule = boundRule(node)
    const isMove = record?.units?.kind === 'move' || record?.units?.kind === 'none'
    if (rule === undefined && isMove && record?.evaluate !== undefined) return this.#movement(node)
    if (changing !== undefined && !PLACED.has(opName(node)))
      return `it computes with "${changing}", whose value depends on the size`
    if (isFixed) return NOTHING
    if (rule !== undefined) return rule(context)
    if (record?.units?.kind === 'pass') return this.#broadcast(node)
    if (record?.evaluate !== undefined && MOVES.has(opName(node))) return this.#movement(node)
    return 'its sizes vary, and there is no rule for it'
  }

  #context(node: Node): BoundContext {
    const { types } = this.#full.analysis
    const typesOf = (names: readonly string[]) =>
      names.map((name) => (name === '' ? undefined : types.get(name)))
    return {
      node,
      inputs: typesOf(node.inputs),
      outputs: typesOf(node.outputs),
      known: (index) => this.#full.analysis.known(node.inputs[index] ?? ''),
      varies: (index) => this.#varying(node.inputs[index] ?? ''),
    }
  }

  #samples(): Sample[] {
    return [...[...this.#ladders.values()].flat(), this.#full]
  }

  #varying(name: string): number[] {
    const shape = this.#full.analysis.types.get(name)?.shape ?? []
    return shape
      .map((_, axis) => axis)
      .filter((axis) =>
        this.#samples().some(
          ({ analysis }) => analysis.types.get(name)?.shape[axis] !== shape[axis],
        ),
      )
  }

  // A known value that at a smaller size is not the beginning of what it is at the largest.
  #changes(name: string): boolean {
    const full = this.#full.analysis.known(name)
    if (full === undefined) return false
    return this.#samples().some(({ analysis }) => {
      const value = analysis.known(name)
      return value !== full && (value === undefined || !isBeginning(value, full))
    })
  }

  // Element by element: an axis has size 1 at every size, or that of the output.
  #broadcast(node: Node): BoundRule | string {
    const output = node.outputs[0]!
    for (const { analysis } of this.#samples())
      for (const name of node.inputs) {
        if (name === '') continue
        const alike = [this.#full.analysis, analysis].map(({ types }) => {
          const [from, to] = [types.get(name)!.shape, types.get(output)!.shape]
          return from.map((size, i) => [size === 1, size === to[to.length - from.length + i]])
        })
        const [full, here] = alike as [boolean[][], boolean[][]]
        const fits = full.every(([isOne, isWhole], i) => {
          const [isOneHere, isWholeHere] = here[i]!
          return (isOne && isOneHere) || (isWhole && isWholeHere)
        })
        if (!fits) return `"${name}" is repeated at some sizes and not at others`
      }
    return NOTHING
  }

  // Two sizes of which one is smaller: what lies within must come from the same places.
  #movement(node: Node): BoundRule | string {
    for (const ladder of this.#ladders.values()) {
      const few = ladder.filter(({ sizes }) =>
        Object.values(sizes).every((size) => size <= LARGEST_MOVED),
      )
      const moved = few.length > 1 ? few : ladder.slice(0, 3)
      const large = moved.at(-1)!
      const whole = this.#idsOf(node, large, large)
      for (const small of moved.slice(0, -1)) {
        const part = this.#idsOf(node, small, large)
        if (!part.every((ids, i) => isBeginning(ids, whole[i]!)))
          return 'what it moves where depends on the size'
      }
    }
    return NOTHING
  }

  // Outputs of the node on inputs whose elements say where they lie at the larger size.
  #idsOf(node: Node, at: Sample, large: Sample): Tensor[] {
    let base = 0
    const inputs = node.inputs.map((name, i): Tensor | undefined => {
      if (name === '') return undefined
      const type = at.analysis.types.get(name)!
      const isData = i === 0 || opName(node) === 'Concat'
      if (!isData) return at.analysis.known(name)
      const { shape } = large.analysis.types.get(name)!
      const ids = placesIn(type.shape, shape).map((place) => place + base)
      base += sizeOf(shape)
      return tensor('int32', type.shape, ids)
    })
    const opset = this.#model.opsets[node.domain] ?? 1
    return findOp(node)!.evaluate!(node, inputs, opset)
  }

  #formulas(name: string): (SizeFormula | undefined)[] {
    const { shape } = this.#full.analysis.types.get(name) ?? { shape: [] }
    const varying = this.#varying(name)
    return shape.map((_, axis) => (varying.includes(axis) ? this.#formula(name, axis) : undefined))
  }

  #formula(name: string, axis: number): SizeFormula {
    const sizeIn = ({ analysis }: Sample) => analysis.types.get(name)!.shape[axis]!
    const causes = [...this.#ladders].filter(([, ladder]) =>
      ladder.some((sample) => sizeIn(sample) !== sizeIn(ladder[0]!)),
    )
    const [cause] = causes
    const fitted =
      causes.length === 1 && cause
        ? fitSize(
            cause[0],
            [...cause[1], this.#full].map((each) => [each.sizes[cause[0]]!, sizeIn(each)]),
          )
        : undefined
    if (fitted === undefined)
      throw new CompileError(
        `Cannot compile for sizes up to a maximum: axis ${axis} of "${name}" is no simple function of one size`,
      )
    return fitted
  }

  #fill(node: Node, name: string, axes: readonly number[], value: number): string {
    const key = `${name} ${axes} ${value}`
    const found = this.#filled.get(key)
    if (found !== undefined) return found
    const b = this.#builder
    const type = this.#full.analysis.types.get(name)!
    if (type.dtype !== 'float32') {
      this.#decline(node, `"${name}" is ${type.dtype}, only float32 is filled`)
      return name
    }
    const varying = this.#varying(name)
    const made = axes.reduce((current, axis) => {
      if (!varying.includes(axis)) return current
      const isWithin = this.#within(type, axis, this.#formula(name, axis))
      return b.op('Where', [isWithin, current, b.scalar(value)])
    }, name)
    this.#filled.set(key, made)
    return made
  }

  // True where a position along the axis is below the actual size.
  #within({ shape }: ValueType, axis: number, formula: SizeFormula): string {
    const b = this.#builder
    const positions = Float32Array.from({ length: shape[axis]! }, (_, i) => i)
    const sizes = shape.slice(axis).map((size, i) => (i === 0 ? size : 1))
    const places = b.constant(tensor('float32', sizes, positions))
    return b.op('Less', [places, this.#count(formula)])
  }

  // The actual size as a float32 scalar.
  #count(formula: SizeFormula): string {
    const key = JSON.stringify(formula)
    const found = this.#counts.get(key)
    if (found !== undefined) return found
    const b = this.#builder
    const { size, times, plus, over, by } = formula
    const input = this.#inputs.get(size) ?? b.input(`size(${size})`, 'float32', [])
    this.#inputs.set(size, input)
    let value = input
    if (times !== 1) value = b.op('Mul', [value, b.scalar(times)])
    if (plus !== 0) value = b.op('Add', [value, b.scalar(plus)])
    if (over !== 1) value = b.op('Floor', [b.op('Div', [value, b.scalar(over)])])
    if (by !== 1) value = b.op('Mul', [value, b.scalar(by)])
    this.#counts.set(key, value)
    return value
  }

  #meanOf(node: Node, filled: string, mean: NonNullable<BoundRule['mean']>): void {
    const b = this.#builder
    const name = node.inputs[0]!
    const { shape } = this.#full.analysis.types.get(name)!
    const varying = this.#varying(name)
    const fixed = mean.axes.filter((axis) => !varying.includes(axis))
    const counts = mean.axes
      .filter((axis) => varying.includes(axis))
      .map((axis) => this.#count(this.#formula(name, axis)))
    const constant = b.scalar(sizeOf(fixed.map((axis) => shape[axis]!)))
    const count = counts.reduce((product, next) => b.op('Mul', [product, next]), constant)
    const keepdims = int(mean.keepsAxes ? 1 : 0)
    const sum = b.op('ReduceSum', [filled, b.ints(mean.axes)], { keepdims })
    b.append({ ...node, op: 'Div', inputs: [sum, count], attributes: {} })
  }
}

function fitsModel(model: Model, bindings: Readonly<Record<string, number>>): boolean {
  try {
    analyze(model, { bindings })
    return true
  } catch (error) {
    if (error instanceof ModelError) return false
    throw error
  }
}

// The samples of ascending sizes, without the smallest as long as the model does not take them.
function largest(
  ascending: readonly Readonly<Record<string, number>>[],
  sample: (sizes: Readonly<Record<string, number>>) => Sample,
): Sample[] {
  const taken: Sample[] = []
  let failure: ModelError | undefined
  for (const sizes of ascending) {
    try {
      taken.push(sample(sizes))
    } catch (error) {
      if (!(error instanceof ModelError)) throw error
      failure = error
      // What follows a size that does not fit starts anew.
      taken.length = 0
    }
  }
  if (taken.length < 2 && failure !== undefined) throw failure
  return taken
}

const NOTHING: BoundRule = { fills: [] }

/** Ops that take a size and compute at a place what depends on the place alone. */
const PLACED: ReadonlySet<string> = new Set(['ConstantOfShape', 'Range', 'Trilu'])

/** Ops whose `evaluate` only moves elements of input 0, beside those whose record says so. */
const MOVES: ReadonlySet<string> = new Set(['GatherElements', 'GatherND', 'Resize', 'Upsample'])

// The flat index in a shape of every element of a shape that is its beginning.
function placesIn(shape: readonly number[], whole: readonly number[]): Int32Array {
  const [own, strides] = [stridesOf(shape), stridesOf(whole)]
  return Int32Array.from({ length: sizeOf(shape) }, (_, i) =>
    shape.reduce(
      (sum, size, axis) => sum + (Math.floor(i / own[axis]!) % size) * strides[axis]!,
      0,
    ),
  )
}

// True when a tensor equals the beginning of another along every axis.
function isBeginning(part: Tensor, whole: Tensor): boolean {
  if (part.shape.length !== whole.shape.length) return false
  if (part.shape.some((size, axis) => size > whole.shape[axis]!)) return false
  const [values, all] = [numbersOf(part), numbersOf(whole)]
  return placesIn(part.shape, whole.shape).every((place, i) => {
    const [a, b] = [values[i], all[place]]
    return a === b || (Number.isNaN(a) && Number.isNaN(b))
  })
}
