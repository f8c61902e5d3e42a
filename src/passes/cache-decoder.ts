// A causal decoder over all its tokens → one that takes a token at a time and remembers keys and values.
//
// Every value is followed from the tokens on: the axis of the tokens becomes one long. Where two such
// axes meet (the scores of attention), the second operand is written into a cache and read as a whole;
// tables (positions, masks) lose all rows but that of the token. What a token may not see is checked in
// the mask. Everything else must treat tokens one by one.
import { type Analysis, analyze, bindDims } from '../ir/analyze.ts'
import { GraphBuilder } from '../ir/builder.ts'
import { int, type Model, type Node, opName } from '../ir/graph.ts'
import { findOp } from '../ir/ops/index.ts'
import { numbersOf, sizeOf, stridesOf, type Tensor, tensor } from '../tensor/tensor.ts'
import { CompileError, OptionError } from '../util/errors.ts'
import { boundRule } from './bound-rules.ts'
import { sizeValues } from './size-values.ts'

/** Which dimension counts the tokens, and how many the cache holds. */
export interface CacheOptions {
  readonly size: string
  readonly most: number
}

/** A cache: what it holds in the decoder that takes all tokens. */
export interface Cache {
  /** Input of the decoder by token; its next content is the output `next`. */
  readonly name: string
  readonly next: string
  /** The value of the given model it remembers, and along which axis tokens lie. */
  readonly of: string
  readonly axis: number
}

/** A decoder that takes a token at a time. */
export interface CachedDecoder {
  readonly model: Model
  readonly caches: readonly Cache[]
  /** Input and output that count the tokens so far: int64 scalars. */
  readonly position: { readonly name: string; readonly next: string }
}

/**
 * Returns the decoder that takes one token and its place from its state. Other dynamic sizes must be
 * bound. Throws CompileError that names the node where a token depends on others in another way than
 * causal attention.
 */
export function cacheDecoder(model: Model, options: CacheOptions): CachedDecoder {
  const { size, most } = options
  const owners = model.graph.inputs.filter(({ shape }) => shape?.includes(size))
  if (owners.length === 0)
    throw new OptionError(`Cannot cache along "${size}": no input has such a size`)
  if (!Number.isSafeInteger(most) || most < 2)
    throw new OptionError(`Cannot cache ${most} tokens: expected an integer of at least 2`)
  return new Caching(model, options).run()
}

/** Lengths at which shapes and movements are compared. */
const [SHORT, LONG] = [5, 7]
/** A mask hides what it makes smaller by this. */
const HIDDEN = -1e4

/** Where a value of the new decoder has its token, and the keys it is compared with. */
interface Axes {
  readonly token?: number
  readonly keys?: number
  /** Scores of keys after the token are hidden. */
  readonly isMasked?: boolean
}

class Caching {
  readonly #model: Model
  readonly #options: CacheOptions
  readonly #long: Analysis
  readonly #short: Analysis
  readonly #one: ReadonlyMap<string, Tensor>
  readonly #several: ReadonlyMap<string, Tensor>
  readonly #most: ReadonlyMap<string, Tensor>
  readonly #builder: GraphBuilder
  readonly #axes = new Map<string, Axes>()
  readonly #caches: Cache[] = []
  readonly #rows = new Map<string, string>()
  readonly #position = 'position'

  constructor(model: Model, options: CacheOptions) {
    const { size, most } = options
    this.#model = model
    this.#options = options
    this.#long = analyze(model, { bindings: { [size]: LONG } })
    this.#short = analyze(model, { bindings: { [size]: SHORT } })
    this.#one = sizeValues(model, { [size]: 1 })
    this.#several = sizeValues(model, { [size]: LONG })
    this.#most = sizeValues(model, { [size]: most })
    const { graph } = model
    const inputs = graph.inputs.map((value) => ({
      ...value,
      shape: value.shape && bindDims(value.shape, { [size]: 1 }),
    }))
    this.#builder = new GraphBuilder({
      base: { ...model, graph: { ...graph, inputs, nodes: [], outputs: [] } },
      prefix: 'cached/',
    })
  }

  run(): CachedDecoder {
    const { graph } = this.#model
    const b = this.#builder
    b.input(this.#position, 'int64', [])
    for (const { name, shape = [] } of graph.inputs) {
      const axes = shape.flatMap((dim, axis) => (dim === this.#options.size ? [axis] : []))
      if (axes.length > 1)
        throw new CompileError(`Cannot cache: the input "${name}" has the tokens along two axes`)
      this.#axes.set(name, axes.length === 1 ? { token: axes[0]! } : {})
    }
    for (const node of graph.nodes) if (!this.#isTable(node)) this.#add(node)
    for (const { name } of graph.outputs) {
      if (!this.#axes.has(name))
        throw new CompileError(`Cannot cache: the output "${name}" does not depend on the tokens`)
      b.output(name)
    }
    const { most } = this.#options
    const following = BigInt64Array.from({ length: most }, (_, i) => BigInt(i + 1))
    const table = b.constant(tensor('int64', [most], following))
    const next = b.output(b.op('Gather', [table, this.#position]), `${this.#position}.next`)
    for (const { name } of this.#caches) b.output(`${name}.next`)
    const position = { name: this.#position, next }
    return { model: b.build(), caches: this.#caches, position }
  }

  #isTable(node: Node): boolean {
    return node.outputs.every((name) => name === '' || this.#most.has(name))
  }

  #add(node: Node): void {
    const [token] = this.#varying(node.outputs[0]!)
    const isFree = !node.inputs.some((name) => this.#hasAxes(name))
    if (isFree && token === undefined) this.#append(node, {})
    else if (this.#isScores(node)) this.#scores(node)
    else if (node.inputs.some((name) => this.#axes.get(name)?.keys !== undefined))
      this.#overKeys(node)
    else if (findOp(node)?.units?.kind === 'pass') this.#elementwise(node)
    else if (boundRule(node) !== undefined) this.#byToken(node)
    else this.#movement(node)
  }

  #hasAxes(name: string): boolean {
    const axes = this.#axes.get(name)
    return axes?.token !== undefined || axes?.keys !== undefined
  }

  // Appends a node; tables among its inputs are as for one token where that makes no difference.
  #append(node: Node, axes: Axes, inputs: readonly string[] = node.inputs): void {
    const known = inputs.map((name, i) =>
      name === node.inputs[i] && this.#most.has(name) ? this.#same(node, name) : name,
    )
    this.#builder.append({ ...node, inputs: known })
    for (const name of node.outputs) if (name !== '') this.#axes.set(name, axes)
  }

  #same(node: Node, name: string): string {
    const [one, most] = [this.#one.get(name)!, this.#most.get(name)!]
    const isSame =
      String(one.shape) === String(most.shape) && String(one.data) === String(most.data)
    if (one !== most && !isSame)
      this.#refuse(node, `it computes with "${name}", which depends on how many tokens there are`)
    return this.#constant(name, most)
  }

  #constant(name: string, value: Tensor): string {
    const isOwn = this.#model.graph.constants.some((constant) => constant.name === name)
    return isOwn ? name : this.#builder.constant(value)
  }

  // Axes whose size is the number of tokens.
  #varying(name: string): number[] {
    const [a, b] = [this.#long, this.#short].map(({ types }) => types.get(name)?.shape ?? [])
    return a!.flatMap((size, axis) => (size === b![axis] ? [] : [axis]))
  }

  #isScores(node: Node): boolean {
    if (opName(node) !== 'MatMul') return false
    const [a, b] = node.inputs as [string, string]
    const rank = this.#rank(b)
    return this.#axes.get(a)?.token === this.#rank(a) - 2 && this.#axes.get(b)?.token === rank - 1
  }

  #rank(name: string): number {
    return this.#long.types.get(name)?.shape.length ?? 0
  }

  #scores(node: Node): void {
    const [a, b] = node.inputs as [string, string]
    const rank = this.#rank(node.outputs[0]!)
    this.#append(node, { token: rank - 2, keys: rank - 1 }, [a, this.#cache(b)])
  }

  // What may happen to scores: work element by element, a softmax over the keys, the mix of values.
  #overKeys(node: Node): void {
    const [first = '', second = ''] = node.inputs
    const axes = this.#axes.get(first) ?? {}
    const rank = this.#rank(first)
    if (findOp(node)?.units?.kind === 'pass') {
      this.#elementwise(node)
      return
    }
    const op = opName(node)
    if (op === 'Softmax') {
      const axis = Number(node.attributes.axis?.value ?? -1)
      if ((axis < 0 ? axis + rank : axis) !== axes.keys)
        this.#refuse(node, 'it is not over the keys')
      if (!axes.isMasked) this.#refuse(node, 'no mask hides the tokens after one from it')
      this.#append(node, axes)
      return
    }
    const isMix = axes.keys === rank - 1 && this.#axes.get(second)?.token === this.#rank(second) - 2
    if (op !== 'MatMul' || !isMix) this.#refuse(node, 'it does more with scores than attention')
    this.#append(node, { token: this.#rank(node.outputs[0]!) - 2 }, [first, this.#cache(second)])
  }

  #elementwise(node: Node): void {
    const output = node.outputs[0]!
    const rank = this.#rank(output)
    let axes: Axes = {}
    for (const name of node.inputs) {
      const own = this.#axes.get(name)
      if (own === undefined) continue
      const moved = (axis: number | undefined) =>
        axis === undefined ? undefined : axis + rank - this.#rank(name)
      const [token, keys] = [moved(own.token), moved(own.keys)]
      const meets = (x: number | undefined, y: number | undefined) => x !== undefined && x === y
      const differs = (x: number | undefined, y: number | undefined) =>
        x !== undefined && y !== undefined && x !== y
      const isMixed = meets(token, axes.keys) || meets(keys, axes.token)
      if (isMixed || differs(token, axes.token) || differs(keys, axes.keys))
        this.#refuse(node, 'it joins tokens with others')
      axes = {
        ...axes,
        ...(token !== undefined && { token }),
        ...(keys !== undefined && { keys }),
        ...(own.isMasked && { isMasked: true }),
      }
    }
    const inputs = node.inputs.map((name) =>
      this.#most.has(name) ? this.#row(node, name, { axes, rank }) : name,
    )
    const isMasked = axes.isMasked || (axes.keys !== undefined && this.#hides(node, axes))
    this.#append(node, { ...axes, ...(isMasked && { isMasked }) }, inputs)
  }

  // A table with the token's row along the token's axis, and everything along the axis of the keys.
  #row(node: Node, name: string, { axes, rank }: { axes: Axes; rank: number }): string {
    const value = this.#most.get(name)!
    const start = rank - value.shape.length
    const one = this.#one.get(name)!
    const along = value.shape.flatMap((size, axis) => (size === one.shape[axis] ? [] : [axis]))
    for (const axis of along)
      if (axis + start !== axes.token && axis + start !== axes.keys)
        this.#refuse(node, `it joins "${name}" with what has no tokens there`)
    if (along.length === 0) return this.#same(node, name)
    const at = along.find((axis) => axis + start === axes.token)
    const whole = this.#constant(name, value)
    if (at === undefined) return whole
    const key = `${name} ${at}`
    const b = this.#builder
    const one1 = this.#rows.get('place') ?? b.op('Reshape', [this.#position, b.ints([1])])
    this.#rows.set('place', one1)
    const made = this.#rows.get(key) ?? b.op('Gather', [whole, one1], { axis: int(at) })
    this.#rows.set(key, made)
    return made
  }

  // Add (a table very negative after the token) or Where (such a table, scores, a very negative number).
  #hides(node: Node, axes: Axes): boolean {
    const op = opName(node)
    const rank = this.#rank(node.outputs[0]!)
    const isHidden = (name: string, hides: (value: number) => boolean) => {
      const table = this.#most.get(name)
      return table !== undefined && everyAfter(table, { axes, rank }, hides)
    }
    if (op === 'Add') return node.inputs.some((name) => isHidden(name, (value) => value <= HIDDEN))
    if (op !== 'Where') return false
    const [test, yes, no] = node.inputs as [string, string, string]
    const isLow = (name: string) =>
      numbersOf(this.#most.get(name) ?? NONE).every((x) => x <= HIDDEN)
    if (this.#most.has(no) && isLow(no)) return isHidden(test, (value) => value === 0)
    return this.#most.has(yes) && isLow(yes) && isHidden(test, (value) => value !== 0)
  }

  // Ops with a rule treat positions along other axes than those they compute over one by one.
  #byToken(node: Node): void {
    const { types } = this.#long
    const tokenOf = (name: string) => this.#axes.get(name)?.token
    const typesOf = (names: readonly string[]) =>
      names.map((name) => (name === '' ? undefined : types.get(name)))
    const rule = boundRule(node)!({
      node,
      inputs: typesOf(node.inputs),
      outputs: typesOf(node.outputs),
      known: (index) => this.#one.get(node.inputs[index] ?? ''),
      varies: (index) => {
        const token = tokenOf(node.inputs[index] ?? '')
        return token === undefined ? [] : [token]
      },
    })
    if (typeof rule === 'string') this.#refuse(node, rule)
    if (rule.fills.length > 0 || IN_ORDER.has(opName(node)))
      this.#refuse(node, 'it mixes tokens, and is no attention')
    const varying = this.#varying(node.outputs[0]!)
    if (varying.length !== 1)
      this.#refuse(node, 'its result does not have its tokens along one axis')
    this.#append(node, { token: varying[0]! })
  }

  // A movement must do with one token what it does with each of several.
  #movement(node: Node): void {
    const record = findOp(node)
    const token = this.#varying(node.outputs[0]!)
    if (record?.evaluate === undefined || token.length !== 1)
      this.#refuse(node, 'there is no rule how it treats tokens')
    const several = this.#moved(node)
    for (let j = 0; j < LONG; j += 3)
      if (!several(j, token[0]!)) this.#refuse(node, 'it moves tokens among each other')
    const inputs = node.inputs.map((name, i) => {
      const isData = i === 0 || opName(node) === 'Concat'
      const value = this.#one.get(name)
      return isData || value === undefined ? name : this.#constant(name, value)
    })
    const outputs = node.outputs.filter((name) => name !== '')
    if (outputs.some((name) => String(this.#varying(name)) !== String(token)))
      this.#refuse(node, 'its results have their tokens along different axes')
    this.#append(node, { token: token[0]! }, inputs)
  }

  // Whether token j of the results on several tokens is the result on token j alone.
  #moved(node: Node): (j: number, axis: number) => boolean {
    const isData = (i: number) => i === 0 || opName(node) === 'Concat'
    const ids = node.inputs.map((name, i) => {
      const { shape } = this.#long.types.get(name) ?? { shape: [] }
      const from = i * 2 ** 20
      return tensor(
        'int32',
        shape,
        Int32Array.from({ length: sizeOf(shape) }, (_, k) => from + k),
      )
    })
    const run = (values: ReadonlyMap<string, Tensor>, data: (i: number) => Tensor) =>
      findOp(node)!.evaluate!(
        node,
        node.inputs.map((name, i) =>
          name === '' ? undefined : isData(i) ? data(i) : values.get(name),
        ),
        this.#model.opsets[node.domain] ?? 1,
      )
    const all = run(this.#several, (i) => ids[i]!)
    return (j, axis) => {
      const alone = run(this.#one, (i) => {
        const token = this.#axes.get(node.inputs[i]!)?.token
        return token === undefined ? ids[i]! : slice(ids[i]!, token, j)
      })
      return alone.every((value, i) => String(value.data) === String(slice(all[i]!, axis, j).data))
    }
  }

  // The name of everything a value has been so far, this token included.
  #cache(value: string): string {
    const found = this.#caches.find((cache) => cache.of === value)
    if (found !== undefined) return found.next
    const b = this.#builder
    const axis = this.#axes.get(value)!.token!
    const { dtype, shape } = b.type(value)
    const name = `cache.${this.#caches.length}`
    const whole = shape.map((size, i) => (i === axis ? this.#options.most : size))
    const next = `${name}.next`
    b.append({
      ...{ name: next, domain: 'tersor', op: 'CacheWrite' },
      inputs: [b.input(name, dtype, whole), value, this.#position],
      outputs: [next],
      attributes: { axis: int(axis) },
    })
    this.#caches.push({ name, next, of: value, axis })
    return next
  }

  #refuse(node: Node, reason: string): never {
    throw new CompileError(
      `Cannot cache at "${node.name || node.outputs[0]}" (${opName(node)}): ${reason}`,
    )
  }
}

const NONE = tensor('float32', [1], Float32Array.of(0))

/** Ops that read tokens in order. */
const IN_ORDER: ReadonlySet<string> = new Set(['CumSum', 'RNN', 'GRU', 'LSTM'])

// One position along an axis, which stays.
function slice(value: Tensor, axis: number, position: number): Tensor {
  const strides = stridesOf(value.shape)
  const shape = value.shape.map((size, i) => (i === axis ? 1 : size))
  const own = stridesOf(shape)
  const data = Int32Array.from({ length: sizeOf(shape) }, (_, i) =>
    Number(
      value.data[
        shape.reduce(
          (sum, size, d) => sum + (Math.floor(i / own[d]!) % size) * strides[d]!,
          position * strides[axis]!,
        )
      ],
    ),
  )
  return tensor('int32', shape, data)
}

// Whether all elements whose key comes after their token pass a test.
function everyAfter(
  table: Tensor,
  { axes, rank }: { axes: Axes; rank: number },
  test: (value: number) => boolean,
): boolean {
  const start = rank - table.shape.length
  const [token, keys] = [axes.token! - start, axes.keys! - start]
  if (token < 0 || keys < 0 || table.shape[token] === 1 || table.shape[keys] === 1) return false
  const strides = stridesOf(table.shape)
  return numbersOf(table).every((value, i) => {
    const at = (axis: number) => Math.floor(i / strides[axis]!) % table.shape[axis]!
    return at(keys) <= at(token) || test(value)
  })
}
