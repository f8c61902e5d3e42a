// Chosen offers → Program: buffers with layouts and halos, conversions on edges, one step per call.
import type { Analysis } from '../ir/analyze.ts'
import type { Model, ValueType } from '../ir/graph.ts'
import { CompileError, invariant } from '../util/errors.ts'
import type { Layout, Offer } from './kernel.ts'
import { convertFunction, convertKey } from './kernels/convert.ts'
import { bytesOf, fitsNhwc, layoutName, PLAIN, sameLayout } from './layout.ts'
import { packConstant } from './pack.ts'
import { checkTables } from './tile/tables.ts'
import type { TileFunction } from './tile/nodes.ts'

/** A piece of memory: in the arena, or constant with its bytes. */
export interface Buffer {
  readonly id: number
  /** The value it holds, or what it is for. */
  readonly name: string
  readonly bytes: number
  readonly layout: Layout
  readonly shape: readonly number[]
  readonly data?: Uint8Array
}

/** One call of a kernel function with buffers as arguments. */
export interface ProgramStep {
  readonly kernel: string
  /** Names of the nodes it computes; empty for conversions. */
  readonly nodes: readonly string[]
  readonly function: TileFunction
  readonly arguments: readonly Buffer[]
  readonly writes: readonly Buffer[]
  readonly reads: readonly Buffer[]
  readonly scratch: readonly Buffer[]
  /** Buffers that output 0 may take over. */
  readonly inPlace: readonly Buffer[]
  readonly cost: number
  readonly tolerance: number
}

/** A program before its buffers have addresses. */
export interface Program {
  readonly steps: readonly ProgramStep[]
  readonly buffers: readonly Buffer[]
  readonly inputs: readonly { readonly name: string; readonly buffer: Buffer }[]
  readonly outputs: readonly { readonly name: string; readonly buffer: Buffer }[]
}

/** Lays values out and turns offers into steps. `offers` are in execution order. */
export function lowerOffers(model: Model, analysis: Analysis, offers: readonly Offer[]): Program {
  return new Lowering(model, analysis, offers).run()
}

class Lowering {
  readonly #model: Model
  readonly #analysis: Analysis
  readonly #offers: readonly Offer[]
  readonly #buffers: Buffer[] = []
  readonly #steps: ProgramStep[] = []
  /** The value whose buffer a view shares. */
  readonly #roots = new Map<string, string>()
  readonly #produced = new Map<string, Layout['kind']>()
  readonly #halos = new Map<string, [number, number, number, number]>()
  readonly #byKey = new Map<string, Buffer>()
  readonly #byContent = new Map<string, Buffer[]>()
  readonly #functions = new Map<string, TileFunction>()

  constructor(model: Model, analysis: Analysis, offers: readonly Offer[]) {
    this.#model = model
    this.#analysis = analysis
    this.#offers = offers
  }

  run(): Program {
    for (const { name } of this.#model.graph.inputs) this.#produced.set(name, 'plain')
    for (const offer of this.#offers) this.#declareOutputs(offer)
    for (const offer of this.#offers)
      for (const { value, layout } of offer.inputs) this.#widenHalo(value, layout)
    const inputs = this.#model.graph.inputs.map(({ name }) => ({
      name,
      buffer: this.#own(name),
    }))
    for (const offer of this.#offers) this.#lower(offer)
    const outputs = this.#model.graph.outputs.map(({ name }) => ({
      name,
      buffer: this.#buffer(name, PLAIN),
    }))
    return { steps: this.#steps, buffers: this.#buffers, inputs, outputs }
  }

  #declareOutputs(offer: Offer): void {
    offer.outputs.forEach(({ value, layout }, i) => {
      const source = offer.inputs[0]?.value
      const isView = offer.view && i === 0 && source !== undefined && !this.#isConstant(source)
      // A view needs its source in the layout it was offered for; otherwise the conversion is it.
      if (isView && this.#kindOf(source) === layout) this.#roots.set(value, this.#root(source))
      else this.#produced.set(value, layout)
    })
  }

  #widenHalo(value: string, layout: Layout): void {
    if (layout.kind === 'plain') return
    const root = this.#root(value)
    const halo = this.#halos.get(root)
    if (halo === undefined) this.#halos.set(root, [...layout.halo])
    else
      layout.halo.forEach((size, i) => {
        halo[i] = Math.max(halo[i]!, size)
      })
  }

  #root(value: string): string {
    return this.#roots.get(value) ?? value
  }

  #kindOf(value: string): Layout['kind'] | undefined {
    return this.#produced.get(this.#root(value))
  }

  #isConstant(value: string): boolean {
    return this.#kindOf(value) === undefined && this.#analysis.known(value) !== undefined
  }

  #type(value: string): ValueType {
    const type = this.#analysis.types.get(value)
    invariant(type !== undefined, `no type for "${value}"`)
    return type
  }

  #placed(value: string, kind: Layout['kind']): Layout {
    if (kind === 'plain') return PLAIN
    return { kind, halo: this.#halos.get(this.#root(value)) ?? [0, 0, 0, 0] }
  }

  /** The buffer a value is produced in. */
  #own(value: string): Buffer {
    const root = this.#root(value)
    const kind = this.#produced.get(root)
    invariant(kind !== undefined, `nothing produces "${value}"`)
    return this.#make(root, this.#placed(root, kind))
  }

  #make(value: string, layout: Layout): Buffer {
    const key = `${value} ${layout.kind}`
    const found = this.#byKey.get(key)
    if (found !== undefined) return found
    const type = this.#type(value)
    if (layout.kind !== 'plain' && !fitsNhwc(type))
      throw new CompileError(
        `Cannot lay out "${value}" (${type.dtype}[${type.shape}]) as ${layout.kind}: only float32 with four axes can`,
      )
    const bytes = bytesOf(type, layout)
    return this.#add({ name: value, bytes, layout, shape: type.shape }, key)
  }

  #add(buffer: Omit<Buffer, 'id'>, key?: string): Buffer {
    const made = { ...buffer, id: this.#buffers.length }
    this.#buffers.push(made)
    if (key !== undefined) this.#byKey.set(key, made)
    return made
  }

  /** The buffer of a value in a layout of some kind; converts or packs when there is none yet. */
  #buffer(value: string, layout: Layout): Buffer {
    if (this.#isConstant(value)) {
      const placed = this.#placed(value, layout.kind)
      const data = packConstant(this.#analysis.known(value)!, placed, value)
      return this.#constant(value, data, { layout: placed, shape: this.#type(value).shape })
    }
    const own = this.#own(value)
    if (own.layout.kind === layout.kind) return own
    const root = this.#root(value)
    const shape = this.#type(value).shape
    const key = `${root} ${layout.kind} ${shape}`
    const found = this.#byKey.get(key)
    if (found !== undefined) return found
    const placed = this.#placed(value, layout.kind)
    const made = this.#add(
      { name: value, bytes: bytesOf(this.#type(value), placed), layout: placed, shape },
      key,
    )
    // The value may be a view of another shape; its bytes are plain then, and so is the view.
    this.#convert(shape, own, made)
    return made
  }

  #convert(shape: readonly number[], from: Buffer, to: Buffer): void {
    const key = convertKey(shape, from.layout, to.layout)
    const name = `convert ${layoutName(from.layout)} to ${layoutName(to.layout)}`
    this.#steps.push({
      kernel: name,
      nodes: [],
      function: this.#function(key, () => convertFunction(shape, from.layout, to.layout)),
      arguments: [from, to],
      reads: [from],
      writes: [to],
      scratch: [],
      inPlace: [],
      cost: 0,
      tolerance: 0,
    })
  }

  #constant(
    name: string,
    data: Uint8Array,
    { layout, shape }: { layout: Layout; shape: readonly number[] } = { layout: PLAIN, shape: [] },
  ): Buffer {
    const key = `${data.length} ${hash(data)}`
    const rivals = this.#byContent.get(key) ?? []
    const same = rivals.find(
      (rival) => sameBytes(rival.data!, data) && sameLayout(rival.layout, layout),
    )
    if (same !== undefined) return same
    const made = this.#add({ name, bytes: data.length, layout, shape, data })
    this.#byContent.set(key, [...rivals, made])
    return made
  }

  #function(key: string, make: () => TileFunction): TileFunction {
    const found = this.#functions.get(key)
    if (found !== undefined) return found
    const made = { ...make(), name: `f${this.#functions.size}` }
    this.#functions.set(key, made)
    return made
  }

  // The source lies elsewhere (a constant, or the other layout): the view is a conversion.
  #copyView(offer: Offer): void {
    const { value } = offer.inputs[0]!
    const target = this.#own(offer.outputs[0]!.value)
    const source = this.#isConstant(value) ? this.#buffer(value, target.layout) : this.#own(value)
    this.#convert(this.#type(value).shape, source, target)
  }

  #lower(offer: Offer): void {
    const first = offer.outputs[0]!.value
    if (offer.view && this.#roots.has(first)) return
    if (offer.view) {
      this.#copyView(offer)
      return
    }
    const reads = offer.inputs.map(({ value, layout }) => this.#buffer(value, layout))
    const writes = offer.outputs.map(({ value }) => this.#own(value))
    const layouts = {
      inputs: reads.map((buffer) => buffer.layout),
      outputs: writes.map((buffer) => buffer.layout),
    }
    const packed = offer
      .pack(layouts)
      .map((data, i) => this.#constant(`${first} packed ${i}`, data))
    const scratch =
      offer.scratchBytes > 0
        ? [
            this.#add({
              name: `${first} scratch`,
              bytes: offer.scratchBytes,
              layout: PLAIN,
              shape: [],
            }),
          ]
        : []
    const key = `${offer.kernel} ${offer.codeKey(layouts)} ${[...layouts.inputs, ...layouts.outputs].map(layoutName)}`
    const tile = this.#function(key, () => offer.emit(layouts))
    const args = [...reads, ...packed, ...writes, ...scratch]
    invariant(
      args.length === tile.parameters.length,
      `"${offer.kernel}" takes ${tile.parameters.length} parameters, found ${args.length} for "${first}"`,
    )
    args.forEach((buffer, i) => {
      invariant(
        tile.extents[i]! <= buffer.bytes,
        `"${offer.kernel}" may touch ${tile.extents[i]} bytes of "${buffer.name}", which has ${buffer.bytes}`,
      )
    })
    const constants = args.map((buffer) => (packed.includes(buffer) ? buffer.data : undefined))
    const problems = checkTables(tile, constants)
    invariant(problems.length === 0, problems.join('; '))
    this.#steps.push({
      kernel: offer.kernel,
      nodes: offer.covers.map((node) => node.name || node.outputs[0]!),
      function: tile,
      arguments: args,
      reads: [...reads, ...packed],
      writes,
      scratch,
      inPlace: (offer.inPlace ?? []).map((i) => reads[i]!),
      cost: offer.cost,
      tolerance: offer.tolerance,
    })
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

// FNV-1a over 32-bit words: only a first filter before comparing bytes.
function hash(data: Uint8Array): number {
  let value = 2166136261
  for (let i = 0; i < data.length; i++) value = Math.imul(value ^ data[i]!, 16777619)
  return value >>> 0
}
