// Ops whose result has as many elements as only a run knows → host operations with a largest size, and
// a count that says how much of it there is.
//
// The graph is cut behind such an op: its results become inputs of a dynamic size, the rest is bounded
// as for any size that a run chooses, and the op is put back as what gives these inputs and the size.
import { type Analysis, analyze } from '../ir/analyze.ts'
import { type Dim, type Model, type Node, opName, type ValueType } from '../ir/graph.ts'
import { sortNodes } from '../ir/sort.ts'
import { type Dtype, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { CompileError } from '../util/errors.ts'
import { type Bounded, type BoundedSize, boundSizes } from './bound-sizes.ts'

/** Stands in a shape for the count. */
const COUNT = 'count'

interface FreeType {
  readonly dtype: Dtype
  readonly shape: readonly Dim[]
}

/** The results of such an op, and the most their count may be; or why that is unknown. */
type FreeRule = (context: {
  readonly node: Node
  readonly inputs: readonly (ValueType | undefined)[]
  known(index: number): Tensor | undefined
}) => { readonly types: readonly FreeType[]; readonly most: number } | string

const rules: Readonly<Record<string, FreeRule>> = {
  NonZero: ({ inputs }) => {
    const { shape } = inputs[0]!
    return { types: [{ dtype: 'int64', shape: [shape.length, COUNT] }], most: sizeOf(shape) }
  },
  Compress: ({ node, inputs }) => {
    const { dtype, shape } = inputs[0]!
    const given = node.attributes.axis
    if (given?.type !== 'int') return { types: [{ dtype, shape: [COUNT] }], most: sizeOf(shape) }
    const axis = given.value < 0 ? given.value + shape.length : given.value
    const kept = shape.map((size, i) => (i === axis ? COUNT : size))
    return { types: [{ dtype, shape: kept }], most: shape[axis]! }
  },
  Unique: ({ node, inputs }) => {
    const { dtype, shape } = inputs[0]!
    if (node.attributes.axis !== undefined) return 'it compares whole slices; only elements are'
    const size = sizeOf(shape)
    const indices: FreeType = { dtype: 'int64', shape: [COUNT] }
    const inverse: FreeType = { dtype: 'int64', shape: [size] }
    return { types: [{ dtype, shape: [COUNT] }, indices, inverse, indices], most: size }
  },
  NonMaxSuppression: ({ node, inputs, known }) => {
    const [batch, classes, boxes] = inputs[1]!.shape as [number, number, number]
    const limit = known(2)
    if (node.inputs[2] && limit === undefined)
      return 'how many boxes it may keep is not known ahead'
    const each = Math.min(boxes, limit === undefined ? 0 : Number(limit.data[0]))
    return { types: [{ dtype: 'int64', shape: [COUNT, 3] }], most: batch * classes * each }
  },
}

function ruleOf(node: Node): FreeRule | undefined {
  const name = opName(node)
  return Object.hasOwn(rules, name) ? rules[name] : undefined
}

/** True for a model with an op whose result has as many elements as only a run knows. */
export function hasFreeSizes({ graph }: Model): boolean {
  return graph.nodes.some((node) => ruleOf(node) !== undefined)
}

interface Cut {
  readonly node: Node
  readonly types: readonly FreeType[]
  readonly most: number
  /** Name of the size, and of the value that holds it. */
  readonly size: string
}

/** Bounds a model's own sizes and those that it finds out itself. Throws CompileError. */
export function boundFreeSizes(model: Model, most: Readonly<Record<string, number>>): Bounded {
  const cuts: Cut[] = []
  const sizes: Record<string, number> = { ...most }
  let current = model
  for (;;) {
    const analysis = analyze(current, { bindings: sizes })
    const node = current.graph.nodes.find(
      (each) =>
        ruleOf(each) !== undefined &&
        each.inputs.every((name) => name === '' || analysis.types.has(name)),
    )
    if (node === undefined) break
    const cut = cutAt(node, analysis, current, sizes)
    cuts.push(cut)
    sizes[cut.size] = cut.most
    current = without(current, cut)
  }
  return rejoin(boundSizes(current, sizes), cuts)
}

function cutAt(
  node: Node,
  analysis: Analysis,
  model: Model,
  sizes: Readonly<Record<string, number>>,
): Cut {
  const name = node.name || node.outputs[0]!
  const refuse = (reason: string): never => {
    throw new CompileError(`Cannot compile "${name}" (${opName(node)}): ${reason}`)
  }
  const fewer = Object.entries(sizes).map(([size, most]) => [size, Math.max(1, most - 1)])
  const smaller = analyze(model, { bindings: Object.fromEntries(fewer) })
  for (const input of node.inputs)
    if (String(smaller.types.get(input)?.shape) !== String(analysis.types.get(input)?.shape))
      refuse(`the size of "${input}" varies; only a fixed one is searched`)
  const found = ruleOf(node)!({
    node,
    inputs: node.inputs.map((input) => analysis.types.get(input)),
    known: (index) => analysis.known(node.inputs[index] ?? ''),
  })
  if (typeof found === 'string') return refuse(found)
  return { node, types: found.types, most: Math.max(2, found.most), size: `${name}.count` }
}

function without(model: Model, { node, types, size }: Cut): Model {
  const { graph } = model
  const inputs = node.outputs.flatMap((name, i) => {
    const { dtype, shape } = types[i]!
    return name === ''
      ? []
      : [{ name, dtype, shape: shape.map((dim) => (dim === COUNT ? size : dim)) }]
  })
  const nodes = graph.nodes.filter((each) => each !== node)
  return { ...model, graph: { ...graph, inputs: [...graph.inputs, ...inputs], nodes } }
}

function rejoin({ model, sizes, dims }: Bounded, cuts: readonly Cut[]): Bounded {
  const { graph } = model
  const made = new Set(cuts.flatMap(({ node }) => node.outputs))
  const found = sizes.map((size): BoundedSize & { readonly node?: Node } => {
    const cut = cuts.find((each) => each.size === size.name)
    if (cut === undefined) return size
    const input = size.input ?? `size(${size.name})`
    made.add(input)
    return { ...size, least: 0, input, isComputed: true, node: hostNode(cut, input) }
  })
  const nodes = found.flatMap(({ node }) => (node ? [node] : []))
  const counts = found.flatMap(({ node, input }) =>
    node && input ? [{ name: input, dtype: 'float32', shape: [] } as const] : [],
  )
  return {
    dims,
    sizes: found.map(({ node: _, ...size }) => size),
    model: {
      ...model,
      graph: {
        ...graph,
        inputs: graph.inputs.filter(({ name }) => !made.has(name)),
        outputs: [...graph.outputs, ...counts],
        nodes: sortNodes([...graph.nodes, ...nodes], `graph "${graph.name}"`),
      },
    },
  }
}

// The op as the host computes it: everything at its largest, then the count.
function hostNode({ node, types, most }: Cut, count: string): Node {
  const largest = types.slice(0, node.outputs.length).map(({ dtype, shape }) => ({
    dtype,
    shape: shape.map((dim) => (dim === COUNT ? most : dim)),
  }))
  const all = [...largest, { dtype: 'float32', shape: [] }]
  return {
    ...node,
    name: node.name || node.outputs[0]!,
    domain: 'tersor',
    op: 'Host',
    outputs: [...node.outputs, count],
    attributes: {
      ...node.attributes,
      operation: { type: 'string', value: node.op },
      types: { type: 'string', value: JSON.stringify(all) },
    },
  }
}
