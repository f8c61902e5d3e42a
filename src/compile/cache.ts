// A decoder with a cache as entries: `prefill` takes the beginning of a text, `decode` one token more.
import { GraphBuilder } from '../ir/builder.ts'
import { int, type Model, type ValueInfo } from '../ir/graph.ts'
import { boundSizes } from '../passes/bound-sizes.ts'
import { type CachedDecoder, type CacheOptions, cacheDecoder } from '../passes/cache-decoder.ts'
import { tensor } from '../tensor/tensor.ts'
import { OptionError } from '../util/errors.ts'
import type { Entries, Entry } from './entries.ts'

/** ONNX's number of float32. */
const FLOAT = 1

/** Returns the entries of a decoder whose only open size counts the tokens. */
export function cachedEntries(
  model: Model,
  { prefill, ...options }: CacheOptions & { readonly prefill?: readonly number[] },
): Entries {
  const decoder = cacheDecoder(model, options)
  const { caches, position } = decoder
  const { most } = options
  const lengths = [...(prefill ?? [most])].sort((a, b) => a - b)
  for (const length of lengths)
    if (!(length >= 2 && length <= most))
      throw new OptionError(`Cannot begin a text with up to ${length} tokens: ${most} are cached`)
  const beginnings = lengths.map((length, i): Entry => {
    const name = i === lengths.length - 1 ? 'prefill' : `prefill${length}`
    return { name, bindings: {}, ...beginning(model, decoder, { ...options, length }) }
  })
  const decode: Entry = {
    ...{ name: 'decode', bindings: {}, sizes: [], dims: new Map() },
    below: { [position.name]: most },
    model: decoder.model,
  }
  const kept = [position, ...caches].map(({ name, next }) => [next, name])
  return { entries: [...beginnings, decode], state: Object.fromEntries(kept) }
}

// The decoder over all tokens, which also leaves keys and values in the caches, and how many there are.
function beginning(
  model: Model,
  { caches, position }: CachedDecoder,
  { size, most, length }: CacheOptions & { readonly length: number },
): Omit<Entry, 'name' | 'bindings'> {
  const { graph } = model
  const kept = caches.map(({ of }): ValueInfo => ({ name: of, dtype: 'float32', shape: undefined }))
  const own = new Set(graph.outputs.map(({ name }) => name))
  const wanted = [...graph.outputs, ...kept.filter(({ name }) => !own.has(name))]
  const bounded = boundSizes({ ...model, graph: { ...graph, outputs: wanted } }, { [size]: length })
  const usual = bounded.model.graph.outputs.filter(({ name }) => own.has(name))
  const b = new GraphBuilder({
    base: { ...bounded.model, graph: { ...bounded.model.graph, outputs: usual } },
    prefix: 'prefill/',
  })
  for (const { of, axis, next } of caches) {
    const { shape } = b.type(of)
    const pads = [...shape, ...shape].map((_, i) => (i === shape.length + axis ? most - length : 0))
    b.output(length < most ? b.op('Pad', [of, b.ints(pads)]) : of, next)
  }
  const [counted] = bounded.sizes
  const input = counted!.input ?? b.input(`size(${size})`, 'float32', [])
  // How many places lie within: the first that does not.
  const places = Float32Array.from({ length: length + 1 }, (_, i) => i)
  const isWithin = b.op('Less', [b.constant(tensor('float32', [length + 1], places)), input])
  const flags = b.op('Cast', [isWithin], { to: int(FLOAT) })
  b.output(b.op('ArgMin', [flags], { axis: int(0), keepdims: int(0) }), position.next)
  return { ...bounded, sizes: [{ ...counted!, input }], model: b.build() }
}
