// Chosen offers → Program: buffers with layouts and halos, conversions on edges, one step per call.
import type { Analysis } from '../ir/analyze.ts'
import type { Model, ValueType } from '../ir/graph.ts'
import { CompileError, invariant } from '../util/errors.ts'
import type { Fixed } from './fix.ts'
import type { Layout, Offer, StepHands } from './kernel.ts'
import { convertFunction, convertKey } from './kernels/convert.ts'
import { bytesOf, fitsNhwc, layoutName, PLAIN } from './layout.ts'
import { packConstant } from './pack.ts'
import type { Buffer, Program, ProgramStep } from './program.ts'
import type { Pool } from './pool.ts'
import { checkTables } from './tile/tables.ts'

/**
 * Lays values out and turns offers into steps. Programs of one pool share constants and functions.
 */
export function lowerProgram(fixed: Fixed, pool: Pool): Program {
  const steps: ProgramStep[] = []
  return { ...new Lowering(fixed, pool, steps).run(), steps }
}

class Lowering {
  readonly #pool: Pool
  readonly #model: Model
  readonly #analysis: Analysis
  /** In execution order. */
  readonly #offers: readonly Offer[]
  readonly #steps: ProgramStep[]
  /** The value whose buffer a view shares. */
  readonly #roots = new Map<string, string>()
  readonly #produced = new Map<string, Layout['kind']>()
  readonly #halos = new Map<string, [number, number, number, number]>()
  readonly #byKey = new Map<string, Buffer>()

  constructor({ model, analysis, selection }: Fixed, pool: Pool, steps: ProgramStep[]) {
    this.#model = model
    this.#analysis = analysis
    this.#offers = selection.offers
    this.#pool = pool
    this.#steps = steps
  }

  /** `given`: the plain buffers of the inputs, where they exist already. */
  run(given: readonly Buffer[] = []): Pick<Program, 'inputs' | 'outputs'> {
    for (const [i, { name }] of this.#model.graph.inputs.entries()) {
      this.#produced.set(name, 'plain')
      if (given[i]) this.#byKey.set(`${name} plain`, given[i])
    }
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
    return { inputs, outputs }
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
    const made = this.#pool.buffer(buffer)
    if (key !== undefined) this.#byKey.set(key, made)
    return made
  }

  /** The buffer of a value in a layout of some kind; converts or packs when there is none yet. */
  #buffer(value: string, layout: Layout): Buffer {
    if (this.#isConstant(value)) {
      const placed = this.#placed(value, layout.kind)
      const data = packConstant(this.#analysis.known(value)!, placed, value)
      return this.#pool.constant(value, data, { layout: placed, shape: this.#type(value).shape })
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
      kind: 'kernel',
      kernel: name,
      nodes: [],
      function: this.#pool.function(key, () => convertFunction(shape, from.layout, to.layout)),
      arguments: [from, to],
      reads: [from],
      writes: [to],
      scratch: [],
      inPlace: [],
      cost: 0,
      tolerance: 0,
    })
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
    if (offer.view && !this.#roots.has(first)) this.#copyView(offer)
    if (offer.view && offer.steps === undefined) return
    const reads = offer.inputs.map(({ value, layout }) => this.#buffer(value, layout))
    const writes = offer.outputs.map(({ value }) => this.#own(value))
    const layouts = {
      inputs: reads.map((buffer) => buffer.layout),
      outputs: writes.map((buffer) => buffer.layout),
    }
    if (offer.steps !== undefined) {
      offer.steps(this.#hands(), { reads, writes })
      return
    }
    const packed = offer
      .pack(layouts)
      .map((data, i) => this.#pool.constant(`${first} packed ${i}`, data))
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
    const tile = this.#pool.function(key, () => offer.emit(layouts))
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
      kind: 'kernel',
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

  #hands(): StepHands {
    return {
      push: (step) => void this.#steps.push(step),
      copy: (from, to) => {
        if (from.id !== to.id) this.#steps.push(copyStep(from, to))
      },
      scratch: (name, bytes) => this.#add({ name, bytes, layout: PLAIN, shape: [] }),
      constant: (name, data) => this.#pool.constant(name, data),
      region: (fixed, inputs) =>
        new Lowering(fixed, this.#pool, this.#steps)
          .run(inputs)
          .outputs.map(({ buffer }) => buffer),
    }
  }
}

function copyStep(from: Buffer, to: Buffer): ProgramStep {
  const bytes = Math.min(from.bytes, to.bytes)
  return { kind: 'copy', from, to, bytes, fromOffset: 0, toOffset: 0, reads: [from], writes: [to] }
}
