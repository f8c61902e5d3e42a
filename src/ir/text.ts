// Model → text and back: what a person reads, diffs and writes in tests.
import type { Dtype, Tensor, TensorData } from '../tensor/tensor.ts'
import type { Attribute, Dim, FunctionDef, Graph, Model, Node, ValueInfo } from './graph.ts'

export { parseGraph } from './parse-text.ts'

/** How a model is printed. */
export interface PrintOptions {
  /** Constants up to this many elements are printed with their values; larger ones as a type. */
  readonly values?: number
}

/**
 * Returns a model as text that `parseGraph` reads. Constants larger than `values` (default 16) are
 * printed without data; give `parseGraph` the weights to get them back.
 */
export function printGraph(model: Model, { values = 16 }: PrintOptions = {}): string {
  const header = [
    `model ir ${model.irVersion} producer ${quote(model.producer)}`,
    ...Object.entries(model.opsets).map(([domain, version]) => `opset ${quote(domain)} ${version}`),
    ...Object.entries(model.metadata).map(([k, value]) => `metadata ${quote(k)} ${quote(value)}`),
  ]
  const constant = (name: string): string => {
    const value = model.weights.get(name)
    return value.data.length <= values ? ` = ${printValues(value.data, value.dtype)}` : ''
  }
  const functions = model.functions.map((definition) => printFunction(definition, constant))
  return `${[...header, ...functions, printScope(model.graph, '', constant)].join('\n')}\n`
}

type PrintConstant = (name: string) => string

function printScope(graph: Graph, indent: string, constant: PrintConstant): string {
  const inner = `${indent}  `
  const values = (kind: string, list: readonly ValueInfo[]) =>
    list.map((value) => `${inner}${kind} ${printInfo(value)}`)
  const lines = [
    ...values('input', graph.inputs),
    ...values('output', graph.outputs),
    ...graph.constants.map(
      ({ name, dtype, shape }) =>
        `${inner}const ${word(name)}: ${dtype}${printShape(shape)}${constant(name)}`,
    ),
    ...values('value', graph.declared),
    ...graph.nodes.map((node) => inner + printNode(node, inner, constant)),
  ]
  return [`${indent}graph ${quote(graph.name)} {`, ...lines, `${indent}}`].join('\n')
}

function printFunction(definition: FunctionDef, constant: PrintConstant): string {
  const { domain, name, inputs, outputs, attributes, defaults = {}, nodes, opsets } = definition
  const lines = [
    ...Object.entries(opsets).map(([key, version]) => `  opset ${quote(key)} ${version}`),
    ...attributes.map((attribute) => `  attribute ${word(attribute)}`),
    ...Object.entries(defaults).map(
      ([key, value]) => `  default ${word(key)} = ${printAttribute(value, '  ', constant)}`,
    ),
    ...nodes.map((node) => `  ${printNode(node, '  ', constant)}`),
  ]
  const head = `function ${quote(domain)} ${quote(name)} (${words(inputs)}) -> (${words(outputs)}) {`
  return [head, ...lines, '}'].join('\n')
}

function printNode(node: Node, indent: string, constant: PrintConstant): string {
  const op = node.domain === '' ? word(node.op) : `${quote(node.domain)} ${word(node.op)}`
  const attributes = Object.entries(node.attributes).map(
    ([key, value]) => `${word(key)}=${printAttribute(value, indent, constant)}`,
  )
  const suffix = attributes.length > 0 ? ` {${attributes.join(', ')}}` : ''
  const name = node.name === '' ? '' : ` @ ${word(node.name)}`
  return `${words(node.outputs)} = ${op}(${words(node.inputs)})${suffix}${name}`
}

function printAttribute(attribute: Attribute, indent: string, constant: PrintConstant): string {
  switch (attribute.type) {
    case 'int':
      return printInt(attribute.value)
    case 'float':
      return printFloat(attribute.value)
    case 'string':
      return quote(attribute.value)
    case 'ints':
      return `ints[${attribute.value.map(printInt).join(', ')}]`
    case 'floats':
      return `floats[${attribute.value.map(printFloat).join(', ')}]`
    case 'strings':
      return `strings[${attribute.value.map(quote).join(', ')}]`
    case 'tensor':
      return `tensor ${printTensor(attribute.value)}`
    case 'graph':
      return printScope(attribute.value, indent, constant).trimStart()
    case 'graphs': {
      const graphs = attribute.value.map((graph) => printScope(graph, indent, constant).trimStart())
      return `graphs[${graphs.join(', ')}]`
    }
    case 'reference':
      return `reference ${word(attribute.value)} ${attribute.kind}`
    case 'raw':
      return `raw ${quote(toHex(attribute.value))}`
    default:
      return attribute satisfies never
  }
}

function printTensor({ dtype, shape, data }: Tensor): string {
  return `${dtype}${printShape(shape)} = ${printValues(data, dtype)}`
}

function printValues(data: TensorData, dtype: Dtype): string {
  const items = Array.from(data as ArrayLike<number | bigint | string>, (value) => {
    if (typeof value === 'string') return quote(value)
    if (typeof value === 'bigint') return String(value)
    if (dtype === 'float64') return `${Object.is(value, -0) ? '-0' : value}f`
    return dtype === 'float32' ? printFloat(value) : String(value)
  })
  return `[${items.join(', ')}]`
}

function printInfo({ name, dtype, shape, encoded }: ValueInfo): string {
  if (encoded !== undefined) return `${word(name)}: encoded ${quote(toHex(encoded))}`
  return `${word(name)}: ${dtype}${shape === undefined ? '' : printShape(shape)}`
}

function printShape(shape: readonly Dim[]): string {
  return `[${shape.map((dim) => (typeof dim === 'number' ? dim : dimWord(dim))).join(', ')}]`
}

// A dimension called "3" is quoted, so that it is no size.
function dimWord(name: string): string {
  return /^\d/.test(name) ? quote(name) : word(name)
}

function printInt(value: number): string {
  return BigInt(value).toString()
}

// The shortest decimal that is the same float32; nine digits always are.
function printFloat(value: number): string {
  if (Object.is(value, -0)) return '-0f'
  for (let digits = 6; digits <= 9 && Number.isFinite(value); digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === Math.fround(value)) return `${short}f`
  }
  return `${value}f`
}

function words(names: readonly string[]): string {
  return names.map(word).join(', ')
}

// Bare where nothing else could be meant.
function word(name: string): string {
  return /^[\w./:]+$/.test(name) && !name.endsWith(':') ? name : quote(name)
}

function quote(text: string): string {
  return JSON.stringify(text)
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
