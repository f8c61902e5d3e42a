// If, Loop, Scan (captures) → tersor.Branch, tersor.Loop: everything a subgraph reads is its input.
import { Editor } from '../ir/edit.ts'
import {
  capturesOf,
  type Graph,
  int,
  intOf,
  intsOf,
  type Node,
  type ValueInfo,
} from '../ir/graph.ts'
import { ints } from '../tensor/tensor.ts'
import { type Pass, Tally } from './pass.ts'

/**
 * Closes control flow: subgraphs lose their constants to the graph and take what they read as inputs,
 * under its name. A Scan becomes a Loop that picks its slices.
 */
export const closeRegions: Pass = {
  name: 'close-regions',
  summary: 'If, Loop, Scan (captures) → tersor.Branch, tersor.Loop (inputs)',
  run: (model) => {
    const editor = new Editor(model)
    const tally = new Tally()
    for (const node of editor.nodes) {
      const replaced = rewriteOf(node)?.(node, editor)
      if (replaced === undefined) continue
      if (typeof replaced === 'string') tally.skip(node.name || node.outputs[0]!, replaced)
      else {
        editor.replaceNode(node, ...replaced)
        tally.change()
      }
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

/** Returns the nodes that replace one, or why it stays. */
type Rewrite = (node: Node, editor: Editor) => Node[] | string

function rewriteOf({ domain, op }: Node): Rewrite | undefined {
  return domain === '' && Object.hasOwn(rewrites, op) ? rewrites[op] : undefined
}

const rewrites: Readonly<Record<string, Rewrite>> = {
  If: (node, editor) => {
    const { then_branch: yes, else_branch: no } = node.attributes
    if (yes?.type !== 'graph' || no?.type !== 'graph') return 'it lacks a branch'
    const sides = [yes.value, no.value].map((graph) => hoist(graph, editor))
    const captures = [...new Set(sides.flatMap(capturesOf))]
    const [then, otherwise] = sides.map((graph) => ({ ...graph, inputs: captures.map(untyped) }))
    return [
      {
        ...node,
        domain: 'tersor',
        op: 'Branch',
        inputs: [node.inputs[0]!, ...captures],
        attributes: {
          then_branch: { type: 'graph', value: then! },
          else_branch: { type: 'graph', value: otherwise! },
        },
      },
    ]
  },
  Loop: (node, editor) => {
    const { body } = node.attributes
    if (body?.type !== 'graph') return 'it lacks a body'
    return [closedLoop(node, hoist(body.value, editor), node.inputs.length - 2)]
  },
  Scan: (node, editor) => {
    const { body } = node.attributes
    if (body?.type !== 'graph') return 'it lacks a body'
    return unrolledScan(node, hoist(body.value, editor), editor)
  },
}

function closedLoop(node: Node, body: Graph, carried: number): Node {
  const captures = capturesOf(body)
  const graph = { ...body, inputs: [...body.inputs, ...captures.map(untyped)] }
  const [trips = '', go = '', ...state] = node.inputs
  return {
    ...node,
    domain: 'tersor',
    op: 'Loop',
    inputs: [trips, go, ...state, ...captures],
    attributes: { body: { type: 'graph', value: graph }, carried: int(carried) },
  }
}

// Turn i of the loop reads slice i of every scanned input.
function unrolledScan(node: Node, body: Graph, editor: Editor): Node[] | string {
  const count = intOf(node, 'num_scan_inputs', 0)
  const states = node.inputs.length - count
  if (body.inputs.length !== node.inputs.length)
    return 'it is of an opset before 9, which has a batch'
  const [backwards, axes] = [intsOf(node, 'scan_input_directions'), intsOf(node, 'scan_input_axes')]
  const outAxes = intsOf(node, 'scan_output_axes') ?? []
  if (intsOf(node, 'scan_output_directions')?.some((direction) => direction !== 0))
    return 'it writes an output from the end'
  const name = node.name || node.outputs[0]!
  const plain = (op: string, inputs: readonly string[], output: string): Node => ({
    ...{ name: output, domain: '', op, inputs },
    ...{ outputs: [output], attributes: {} },
  })
  const fresh = (hint: string) => editor.fresh(`${name}_${hint}`)
  const scanned = node.inputs.slice(states)
  const [shape, trips, last] = [fresh('shape'), fresh('trips'), fresh('last')]
  const falling = fresh('falling')
  const one = editor.addConstant(ints([1], []), fresh('one'))
  const minusOne = editor.addConstant(ints([-1], []), fresh('minus_one'))
  const axis = editor.addConstant(ints([axes?.[0] ?? 0], []), fresh('axis'))
  const outside = [
    plain('Shape', [scanned[0]!], shape),
    plain('Gather', [shape, axis], trips),
    plain('Sub', [trips, one], last),
    plain('Range', [last, minusOne, minusOne], falling),
  ]
  const [turn, go, goOn, mirrored] = [fresh('turn'), fresh('go'), fresh('going'), fresh('mirrored')]
  const slices = body.inputs.slice(states).map((input, i): Node => {
    const index = backwards?.[i] === 1 ? mirrored : turn
    const slice = plain('Gather', [scanned[i]!, index], input.name)
    return { ...slice, attributes: { axis: int(axes?.[i] ?? 0) } }
  })
  const scalar = (name: string, dtype: 'int64' | 'bool'): ValueInfo => ({ name, dtype, shape: [] })
  const inner: Graph = {
    ...body,
    inputs: [scalar(turn, 'int64'), scalar(go, 'bool'), ...body.inputs.slice(0, states)],
    outputs: [scalar(goOn, 'bool'), ...body.outputs],
    nodes: [
      plain('Identity', [go], goOn),
      plain('Gather', [falling, turn], mirrored),
      ...slices,
      ...body.nodes,
    ],
  }
  const results = node.outputs.map((output, i) => {
    const target = outAxes[i - states] ?? 0
    return i < states || output === '' || target === 0
      ? { output, after: [] }
      : moved(output, target, body.outputs[i]!, fresh('stacked'))
  })
  if (results.some(({ after }) => after === undefined))
    return 'it stacks an output of unknown rank along another axis'
  const loop: Node = {
    ...node,
    inputs: [trips, '', ...node.inputs.slice(0, states)],
    outputs: results.map(({ output }) => output),
  }
  return [...outside, closedLoop(loop, inner, states), ...results.flatMap(({ after }) => after!)]
}

// What a loop stacks in front, moved to another axis.
function moved(output: string, target: number, { shape }: ValueInfo, stacked: string) {
  if (shape === undefined) return { output, after: undefined }
  const rank = shape.length + 1
  const axis = target < 0 ? target + rank : target
  const perm = Array.from({ length: rank }, (_, i) => (i < axis ? i + 1 : i === axis ? 0 : i))
  const after: Node = {
    ...{ name: output, domain: '', op: 'Transpose', inputs: [stacked], outputs: [output] },
    attributes: { perm: { type: 'ints', value: perm } },
  }
  return { output: stacked, after: [after] }
}

// Constants of a subgraph become constants of the graph; control flow in it is closed first.
function hoist(graph: Graph, editor: Editor): Graph {
  editor.adoptConstants(graph)
  const nodes = graph.nodes.flatMap((node) => {
    const replaced = rewriteOf(node)?.(node, editor)
    return replaced === undefined || typeof replaced === 'string' ? [node] : replaced
  })
  return { ...graph, constants: [], nodes }
}

// Its type is that of the value it is given.
function untyped(name: string): ValueInfo {
  return { name, dtype: 'float32', shape: undefined }
}
