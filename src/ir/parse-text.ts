// Text → Model: a recursive descent over what `printGraph` writes.
import { arrayOf, type Dtype, sizeOf, type Tensor, type TensorData } from '../tensor/tensor.ts'
import { ModelError } from '../util/errors.ts'
import type {
  Attribute,
  ConstantInfo,
  Dim,
  FunctionDef,
  Graph,
  Model,
  Node,
  ValueInfo,
} from './graph.ts'
import { verify } from './verify.ts'
import { Weights } from './weights.ts'

/** Elements that a constant without data may claim: 2^28, a gigabyte of float32. */
const LIMIT = 2 ** 28

/**
 * Returns the model that `printGraph` printed. Constants printed without data come from `weights`,
 * and are zero where it lacks them. Throws ModelError with the line where the text is malformed.
 */
export function parseGraph(text: string, weights: Weights = new Weights()): Model {
  const model = new Parser(text, weights).model()
  verify(model)
  return model
}

type Token = { readonly text: string; readonly quoted: boolean; readonly line: number }

const pattern = /\s+|("(?:[^"\\\n]|\\.)*")|(->|[{}()[\],=@])|(-?[\w./][\w./:+-]*|:)|(.)/gsu

class Parser {
  readonly #tokens: Token[] = []
  readonly #given: Weights
  readonly #weights = new Weights()
  #position = 0

  constructor(text: string, given: Weights) {
    this.#given = given
    let line = 1
    for (const [all, quoted, sign, bare, bad] of text.matchAll(pattern)) {
      if (bad !== undefined) throw new ModelError(`Cannot parse line ${line}: unexpected ${bad}`)
      if (quoted !== undefined)
        this.#tokens.push({ text: unquote(quoted, line), quoted: true, line })
      else if (sign !== undefined) this.#tokens.push({ text: sign, quoted: false, line })
      else if (bare !== undefined) this.#split(bare, line)
      line += all.split('\n').length - 1
    }
  }

  // A colon ends a name where it is last: `x: float32`.
  #split(bare: string, line: number): void {
    if (bare.length > 1 && bare.endsWith(':')) {
      this.#tokens.push({ text: bare.slice(0, -1), quoted: false, line })
      this.#tokens.push({ text: ':', quoted: false, line })
    } else this.#tokens.push({ text: bare, quoted: false, line })
  }

  model(): Model {
    this.#expect('model')
    this.#expect('ir')
    const irVersion = this.#number()
    this.#expect('producer')
    const producer = this.#next().text
    const opsets: [string, number][] = []
    const metadata: [string, string][] = []
    const functions: FunctionDef[] = []
    while (this.#take('opset')) opsets.push([this.#next().text, this.#number()])
    while (this.#take('metadata')) metadata.push([this.#next().text, this.#next().text])
    while (this.#take('function')) functions.push(this.#function())
    const graph = this.#graph()
    if (this.#position < this.#tokens.length) this.#fail('the end')
    return {
      graph,
      weights: this.#weights,
      opsets: Object.fromEntries(opsets),
      functions,
      metadata: Object.fromEntries(metadata),
      irVersion,
      producer,
    }
  }

  #graph(): Graph {
    this.#expect('graph')
    const name = this.#next().text
    this.#expect('{')
    const inputs: ValueInfo[] = []
    const outputs: ValueInfo[] = []
    const constants: ConstantInfo[] = []
    const declared: ValueInfo[] = []
    const nodes: Node[] = []
    while (!this.#take('}')) {
      // A node may produce a value called "input": its name is followed by a comma or `=`.
      const follows = this.#tokens[this.#position + 1]
      const isNode = follows !== undefined && isSign(follows, '=', ',')
      if (isNode) nodes.push(this.#node())
      else if (this.#take('input')) inputs.push(this.#info())
      else if (this.#take('output')) outputs.push(this.#info())
      else if (this.#take('value')) declared.push(this.#info())
      else if (this.#take('const')) constants.push(this.#constant())
      else this.#fail('input, output, const, value, a node or }')
    }
    return { name, inputs, outputs, constants, nodes, declared }
  }

  #function(): FunctionDef {
    const domain = this.#next().text
    const name = this.#next().text
    const inputs = this.#names('(', ')')
    this.#expect('->')
    const outputs = this.#names('(', ')')
    this.#expect('{')
    const opsets: [string, number][] = []
    const attributes: string[] = []
    const defaults: [string, Attribute][] = []
    const nodes: Node[] = []
    while (!this.#take('}')) {
      const follows = this.#tokens[this.#position + 1]
      if (follows !== undefined && isSign(follows, '=', ',')) nodes.push(this.#node())
      else if (this.#take('opset')) opsets.push([this.#next().text, this.#number()])
      else if (this.#take('attribute')) attributes.push(this.#next().text)
      else if (this.#take('default')) {
        const key = this.#next().text
        this.#expect('=')
        defaults.push([key, this.#attribute()])
      } else this.#fail('opset, attribute, default, a node or }')
    }
    return {
      domain,
      name,
      inputs,
      outputs,
      attributes,
      ...(defaults.length > 0 && { defaults: Object.fromEntries(defaults) }),
      nodes,
      opsets: Object.fromEntries(opsets),
    }
  }

  #node(): Node {
    const outputs: string[] = [this.#next().text]
    while (this.#take(',')) outputs.push(this.#next().text)
    this.#expect('=')
    const first = this.#next()
    const domain = this.#peekIs('(') ? '' : first.text
    const op = this.#peekIs('(') ? first.text : this.#next().text
    const inputs = this.#names('(', ')')
    const attributes = this.#take('{')
      ? this.#list('}', (): [string, Attribute] => {
          const key = this.#next().text
          this.#expect('=')
          return [key, this.#attribute()]
        })
      : []
    const name = this.#take('@') ? this.#next().text : ''
    return { name, domain, op, inputs, outputs, attributes: Object.fromEntries(attributes) }
  }

  #attribute(): Attribute {
    const token = this.#peek()
    if (token.quoted) return { type: 'string', value: this.#next().text }
    switch (token.text) {
      case 'ints':
        return { type: 'ints', value: this.#bracketed('ints', () => this.#number()) }
      case 'floats':
        return {
          type: 'floats',
          value: this.#bracketed('floats', () => Math.fround(this.#float())),
        }
      case 'strings':
        return { type: 'strings', value: this.#bracketed('strings', () => this.#next().text) }
      case 'graphs':
        return { type: 'graphs', value: this.#bracketed('graphs', () => this.#graph()) }
      case 'graph':
        return { type: 'graph', value: this.#graph() }
      case 'tensor':
        this.#expect('tensor')
        return { type: 'tensor', value: this.#tensor() }
      case 'reference':
        this.#expect('reference')
        return { type: 'reference', value: this.#next().text, kind: this.#number() }
      case 'raw':
        this.#expect('raw')
        return { type: 'raw', value: this.#hex() }
      default:
        return /f$/.test(token.text)
          ? { type: 'float', value: Math.fround(this.#float()) }
          : { type: 'int', value: this.#number() }
    }
  }

  #constant(): ConstantInfo {
    const name = this.#next().text
    this.#expect(':')
    const dtype = this.#dtype()
    const shape = this.#sizes()
    const value = this.#take('=')
      ? { dtype, shape, data: this.#values(dtype, shape) }
      : this.#given.has(name)
        ? this.#given.get(name)
        : this.#zeros(dtype, shape)
    this.#weights.set(name, value)
    return { name, dtype, shape }
  }

  #tensor(): Tensor {
    const dtype = this.#dtype()
    const shape = this.#sizes()
    this.#expect('=')
    return { dtype, shape, data: this.#values(dtype, shape) }
  }

  #zeros(dtype: Dtype, shape: readonly number[]): Tensor {
    const size = sizeOf(shape)
    if (!(size <= LIMIT)) this.#fail(`at most ${LIMIT} elements`)
    const data = dtype === 'string' ? Array<string>(size).fill('') : new (arrayOf(dtype))(size)
    return { dtype, shape, data }
  }

  #values(dtype: Dtype, shape: readonly number[]): TensorData {
    const isFloat = dtype === 'float32' || dtype === 'float64'
    const values = this.#bracketed('', () => {
      if (dtype === 'string') return this.#next().text
      if (isFloat) return this.#float()
      const token = this.#next()
      if (!/^-?\d+$/.test(token.text)) this.#fail('an integer', token)
      return dtype === 'int64' || dtype === 'uint64' ? BigInt(token.text) : Number(token.text)
    })
    if (values.length !== sizeOf(shape)) this.#fail(`${sizeOf(shape)} values for [${shape}]`)
    if (dtype === 'string') return values as string[]
    const data = new (arrayOf(dtype))(values.length)
    for (let i = 0; i < data.length; i++) data[i] = values[i] as never
    return data
  }

  #info(): ValueInfo {
    const name = this.#next().text
    this.#expect(':')
    if (this.#take('encoded'))
      return { name, dtype: 'float32', shape: undefined, encoded: this.#hex() }
    const dtype = this.#dtype()
    return { name, dtype, shape: this.#peekIs('[') ? this.#shape() : undefined }
  }

  #shape(): Dim[] {
    return this.#bracketed('', () => {
      const { text, quoted } = this.#next()
      return !quoted && /^\d+$/.test(text) ? Number(text) : text
    })
  }

  #sizes(): number[] {
    const shape = this.#shape()
    const sizes = shape.filter((dim) => typeof dim === 'number')
    if (sizes.length < shape.length) this.#fail('a shape of numbers')
    return sizes
  }

  #dtype(): Dtype {
    const token = this.#next()
    const known = ['string', ...dtypes].find((dtype) => dtype === token.text)
    return (known as Dtype | undefined) ?? this.#fail('an element type', token)
  }

  #hex(): Uint8Array {
    const { text } = this.#next()
    if (!/^(?:[0-9a-f]{2})*$/.test(text)) this.#fail('hexadecimal bytes')
    return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
  }

  #number(): number {
    const token = this.#next()
    const value = Number(token.text)
    return token.quoted || !Number.isInteger(value) ? this.#fail('an integer', token) : value
  }

  #float(): number {
    const token = this.#next()
    const text = token.text.slice(0, -1)
    const value = Number(text)
    const isFloat = token.text.endsWith('f') && (text === 'NaN' || !Number.isNaN(value))
    return isFloat ? value : this.#fail('a number like 1.5f', token)
  }

  #names(open: string, close: string): string[] {
    this.#expect(open)
    return this.#list(close, () => this.#next().text)
  }

  #bracketed<T>(word: string, item: () => T): T[] {
    if (word !== '') this.#expect(word)
    this.#expect('[')
    return this.#list(']', item)
  }

  #list<T>(close: string, item: () => T): T[] {
    const items: T[] = []
    if (this.#take(close)) return items
    do items.push(item())
    while (this.#take(','))
    this.#expect(close)
    return items
  }

  #peek(): Token {
    return this.#tokens[this.#position] ?? this.#fail('more text')
  }

  #peekIs(text: string): boolean {
    const token = this.#tokens[this.#position]
    return token !== undefined && !token.quoted && token.text === text
  }

  #next(): Token {
    const token = this.#peek()
    this.#position++
    return token
  }

  #take(text: string): boolean {
    const found = this.#peekIs(text)
    if (found) this.#position++
    return found
  }

  #expect(text: string): void {
    if (!this.#take(text)) this.#fail(text)
  }

  #fail(expected: string, token = this.#tokens[this.#position]): never {
    const last = this.#tokens.at(-1)?.line ?? 1
    throw new ModelError(
      `Cannot parse line ${token?.line ?? last}: expected ${expected}, found ${token ? `"${token.text}"` : 'the end'}`,
    )
  }
}

const dtypes = [
  'float32',
  'float64',
  'float16',
  'bfloat16',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'bool',
] as const satisfies readonly Dtype[]

function isSign(token: Token, ...signs: readonly string[]): boolean {
  return !token.quoted && signs.includes(token.text)
}

function unquote(text: string, line: number): string {
  try {
    return JSON.parse(text) as string
  } catch {
    throw new ModelError(`Cannot parse line ${line}: malformed string ${text}`)
  }
}
