// Operations that the host computes: they move or count elements as only a run knows. Loaded only by
// bundles that have some.
import { aligned, type Check, count, list, object, oneOf, text } from './check.ts'
import { BundleError } from './errors.ts'
import type { BundleHost, HostValue } from './format.ts'

/** An operand: its shape at its largest, and its elements in memory. */
interface Operand {
  readonly shape: readonly number[]
  readonly data: Float32Array | Int32Array
}

interface Call {
  readonly inputs: readonly (Operand | null)[]
  readonly outputs: readonly (Operand | null)[]
  readonly attributes: BundleHost['attributes']
}

/**
 * Returns the function that a program calls with the number of an operation. Throws BundleError where
 * an operation is unknown, or lies outside the memory.
 */
export function hostOf(
  hosts: readonly BundleHost[],
  memory: WebAssembly.Memory,
): (call: number) => void {
  hostsForm(hosts, 'hosts')
  for (const { operation, inputs, outputs } of hosts) {
    if (!Object.hasOwn(operations, operation))
      throw new BundleError(`Cannot load the bundle: this runtime has no operation "${operation}"`)
    for (const value of [...inputs, ...outputs]) {
      // An empty axis hides no endless one.
      const most = value ? sizeOf({ shape: value.shape.map((size) => Math.max(1, size)) }) : 0
      if (value && !(value.address + 4 * most <= memory.buffer.byteLength))
        throw new BundleError(`Cannot read the bundle: "${operation}" lies outside the memory`)
    }
  }
  const operandOf = (value: HostValue | null): Operand | null => {
    if (value === null) return null
    const { shape, address, storage } = value
    const Made = storage === 'float32' ? Float32Array : Int32Array
    return { shape, data: new Made(memory.buffer, address, sizeOf(value)) }
  }
  const calls = hosts.map(
    ({ inputs, outputs, attributes }): Call => ({
      inputs: inputs.map(operandOf),
      outputs: outputs.map(operandOf),
      attributes,
    }),
  )
  return (call) => {
    const { operation } = hosts[call] ?? { operation: '' }
    try {
      operations[operation]!(calls[call]!)
    } catch (error) {
      throw new BundleError(
        `Cannot run "${operation}": its operands do not fit (${(error as Error).message})`,
      )
    }
  }
}

const operandForm: Check = (value, path) =>
  value === null ||
  object({ shape: list(count), address: aligned, storage: oneOf('float32', 'int32') })(value, path)

const hostsForm = list(
  object({
    operation: text,
    attributes: object({}),
    inputs: list(operandForm),
    outputs: list(operandForm),
  }),
)

const operations: Readonly<Record<string, (call: Call) => void>> = {
  NonZero: ({ inputs: [x], outputs: [indices, count] }) => {
    const { shape, data } = x!
    const most = indices!.shape[1]!
    const strides = stridesOf(shape)
    let found = 0
    for (let i = 0; i < data.length; i++) {
      if (data[i] === 0) continue
      for (let axis = 0; axis < shape.length; axis++)
        indices!.data[axis * most + found] = Math.floor(i / strides[axis]!) % shape[axis]!
      found++
    }
    count!.data[0] = found
  },

  Compress: ({ inputs: [x, condition], outputs: [y, count], attributes }) => {
    const given = attributes.axis as number | undefined
    const rank = x!.shape.length
    const axis = given === undefined ? undefined : given < 0 ? given + rank : given
    const outer = axis === undefined ? 1 : sizeOf({ shape: x!.shape.slice(0, axis) })
    const inner = axis === undefined ? 1 : sizeOf({ shape: x!.shape.slice(axis + 1) })
    const rows = axis === undefined ? x!.data.length : x!.shape[axis]!
    const most = y!.data.length / (outer * inner)
    let found = 0
    for (let row = 0; row < Math.min(rows, condition!.data.length); row++) {
      if (condition!.data[row] === 0) continue
      for (let o = 0; o < outer; o++) {
        const from = (o * rows + row) * inner
        y!.data.set(x!.data.subarray(from, from + inner), (o * most + found) * inner)
      }
      found++
    }
    count!.data[0] = found
  },

  Unique: ({ inputs: [x], outputs, attributes }) => {
    const [y, indices, inverse, counts] = outputs.slice(0, -1)
    const first = new Map<number, number>()
    const times = new Map<number, number>()
    x!.data.forEach((value, i) => {
      if (!first.has(value)) first.set(value, i)
      times.set(value, (times.get(value) ?? 0) + 1)
    })
    const values = [...first.keys()]
    if (attributes.sorted !== 0) values.sort((a, b) => a - b)
    const places = new Map(values.map((value, i) => [value, i]))
    values.forEach((value, i) => {
      y!.data[i] = value
      if (indices) indices.data[i] = first.get(value)!
      if (counts) counts.data[i] = times.get(value)!
    })
    if (inverse)
      x!.data.forEach((value, i) => {
        inverse.data[i] = places.get(value)!
      })
    outputs.at(-1)!.data[0] = values.length
  },

  NonMaxSuppression: ({ inputs, outputs: [selected, count], attributes }) => {
    const [boxes, scores, limit, overlap, least] = inputs
    const [batches, classes, total] = scores!.shape as [number, number, number]
    const corners = attributes.center_point_box === 1 ? fromCentre : fromCorners
    const most = Math.min(total, limit ? Number(limit.data[0]) : 0)
    const threshold = overlap?.data[0] ?? 0
    let found = 0
    for (let batch = 0; batch < batches; batch++)
      for (let kind = 0; kind < classes; kind++) {
        const at = (batch * classes + kind) * total
        const order = Array.from({ length: total }, (_, i) => i)
          .filter((i) => least == null || scores!.data[at + i]! > least.data[0]!)
          .sort((a, b) => scores!.data[at + b]! - scores!.data[at + a]! || a - b)
        const kept: Box[] = []
        for (const i of order) {
          if (kept.length >= most) break
          const box = corners(boxes!.data, (batch * total + i) * 4)
          if (kept.some((other) => overlapOf(box, other) > threshold)) continue
          kept.push(box)
          selected!.data.set([batch, kind, i], 3 * found++)
        }
      }
    count!.data[0] = found
  },

  ScatterElements: ({ inputs: [x, indices, updates], outputs: [y], attributes }) => {
    const { shape } = x!
    const axis = frontOf(attributes.axis as number | undefined, shape.length)
    const [strides, own] = [stridesOf(shape), stridesOf(indices!.shape)]
    const put = reductionOf(attributes.reduction)
    y!.data.set(x!.data)
    indices!.data.forEach((index, i) => {
      let at = 0
      for (let d = 0; d < shape.length; d++) {
        const place = Math.floor(i / own[d]!) % indices!.shape[d]!
        at += (d === axis ? within(index, shape[d]!) : place) * strides[d]!
      }
      y!.data[at] = put(y!.data[at]!, updates!.data[i]!)
    })
  },

  ScatterND: ({ inputs: [x, indices, updates], outputs: [y], attributes }) => {
    const depth = indices!.shape.at(-1)!
    const strides = stridesOf(x!.shape)
    const inner = sizeOf({ shape: x!.shape.slice(depth) })
    const put = reductionOf(attributes.reduction)
    y!.data.set(x!.data)
    for (let row = 0; row * depth < indices!.data.length; row++) {
      const at = placeOf(indices!, row, x!.shape, strides)
      for (let i = 0; i < inner; i++)
        y!.data[at + i] = put(y!.data[at + i]!, updates!.data[row * inner + i]!)
    }
  },

  GatherElements: ({ inputs: [x, indices], outputs: [y], attributes }) => {
    const { shape } = x!
    const axis = frontOf(attributes.axis as number | undefined, shape.length)
    const [strides, own] = [stridesOf(shape), stridesOf(indices!.shape)]
    indices!.data.forEach((index, i) => {
      let at = 0
      for (let d = 0; d < shape.length; d++) {
        const place = Math.floor(i / own[d]!) % indices!.shape[d]!
        at += (d === axis ? within(index, shape[d]!) : place) * strides[d]!
      }
      y!.data[i] = x!.data[at]!
    })
  },

  GatherND: ({ inputs: [x, indices], outputs: [y], attributes }) => {
    const batch = (attributes.batch_dims as number | undefined) ?? 0
    const depth = indices!.shape.at(-1)!
    const shape = x!.shape.slice(batch)
    const inner = sizeOf({ shape: shape.slice(depth) })
    const each = sizeOf({ shape })
    const rows = indices!.data.length / depth
    const perBatch = rows / sizeOf({ shape: x!.shape.slice(0, batch) })
    for (let row = 0; row < rows; row++) {
      const at = Math.floor(row / perBatch) * each + placeOf(indices!, row, shape, stridesOf(shape))
      y!.data.set(x!.data.subarray(at, at + inner), row * inner)
    }
  },

  TopK: ({ inputs: [x], outputs: [values, indices], attributes }) => {
    const { shape } = x!
    const axis = frontOf(attributes.axis as number | undefined, shape.length, -1)
    const [length, k] = [shape[axis]!, (values ?? indices)!.shape[axis]!]
    const inner = sizeOf({ shape: shape.slice(axis + 1) })
    const sign = attributes.largest === 0 ? 1 : -1
    for (let line = 0; line < x!.data.length / length; line++) {
      const start = Math.floor(line / inner) * length * inner + (line % inner)
      const at = (i: number) => x!.data[start + i * inner]!
      const order = Array.from({ length }, (_, i) => i)
      order.sort((a, b) => sign * (at(a) - at(b)) || a - b)
      const to = Math.floor(line / inner) * k * inner + (line % inner)
      for (let i = 0; i < k; i++) {
        if (values) values.data[to + i * inner] = at(order[i]!)
        if (indices) indices.data[to + i * inner] = order[i]!
      }
    }
  },
}

function reductionOf(name: unknown): (before: number, update: number) => number {
  if (name === 'add') return (a, b) => a + b
  if (name === 'mul') return (a, b) => a * b
  if (name === 'max') return Math.max
  if (name === 'min') return Math.min
  return (_, b) => b
}

// Where row i of a list of tuples points.
function placeOf(
  indices: Operand,
  row: number,
  shape: readonly number[],
  strides: readonly number[],
): number {
  const depth = indices.shape.at(-1)!
  let at = 0
  for (let d = 0; d < depth; d++)
    at += within(indices.data[row * depth + d]!, shape[d]!) * strides[d]!
  return at
}

// A place on an axis: from its end if negative, and never outside.
function within(index: number, size: number): number {
  return Math.min(size - 1, Math.max(0, index < 0 ? index + size : index))
}

function frontOf(axis: number | undefined, rank: number, otherwise = 0): number {
  const given = axis ?? otherwise
  return given < 0 ? given + rank : given
}

type Box = readonly [top: number, left: number, bottom: number, right: number]

function fromCorners(data: ArrayLike<number>, at: number): Box {
  const [a, b, c, d] = [data[at]!, data[at + 1]!, data[at + 2]!, data[at + 3]!]
  return [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)]
}

function fromCentre(data: ArrayLike<number>, at: number): Box {
  const [x, y, w, h] = [data[at]!, data[at + 1]!, data[at + 2]! / 2, data[at + 3]! / 2]
  return [y - h, x - w, y + h, x + w]
}

// Intersection over union.
function overlapOf(a: Box, b: Box): number {
  const height = Math.min(a[2], b[2]) - Math.max(a[0], b[0])
  const width = Math.min(a[3], b[3]) - Math.max(a[1], b[1])
  if (height <= 0 || width <= 0) return 0
  const areaOf = (box: Box) => (box[2] - box[0]) * (box[3] - box[1])
  return (height * width) / (areaOf(a) + areaOf(b) - height * width)
}

function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => sizeOf({ shape: shape.slice(axis + 1) }))
}

function sizeOf({ shape }: { readonly shape: readonly number[] }): number {
  return shape.reduce((product, size) => product * size, 1)
}
