// MatMul, Gemm (+ element-wise) → register-tiled product over plain rows. A constant right operand is
// packed in panels, transposed and scaled beforehand; another one is read where it lies.
import { binary, constant, type Formula, input, substitute } from '../../ir/formula.ts'
import { floatOf, intOf, type Node } from '../../ir/graph.ts'
import { broadcastShapes } from '../../ir/ops/shared/broadcast.ts'
import { sizeOf, stridesOf, type Tensor } from '../../tensor/tensor.ts'
import type { Kernel, Offer, OfferContext } from '../kernel.ts'
import { PLAIN } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import { madeOf } from '../storage.ts'
import type { TileFunction } from '../tile/nodes.ts'
import {
  absorb,
  type Epilogue,
  epilogueKey,
  epilogueValues,
  isHeavy,
  packEpilogue,
} from './epilogue.ts'
import { floatsOf } from './floats.ts'
import { gemmStatements } from './gemm-nest.ts'
import { packedBytes, packPanels, panelParts, type Panels, planPanels } from './gemm-panels.ts'
import { type GemmSchedule, gemmSchedules } from './gemm-tiles.ts'

/** A · B over leading axes, with everything but the weights. */
export interface Product {
  readonly m: number
  readonly n: number
  readonly k: number
  /** Leading axes: size, and matrices per step in A, B and the result. */
  readonly batch: readonly {
    readonly count: number
    readonly a: number
    readonly b: number
    readonly out: number
  }[]
}

/** A constant right operand: how many matrices, and their elements. */
export interface Packed {
  readonly matrices: number
  /** Tells apart how one tensor may be read. */
  readonly key: string
  at(matrix: number, row: number, column: number): number
  bias(column: number): number
}

/** MatMul with operands of any rank, the right one constant or not. */
export const matmul: Kernel = {
  name: 'matmul-f32',
  offer(node, context) {
    if (node.op !== 'MatMul' || node.domain !== '') return ''
    const parts = matmulParts(node, context)
    return typeof parts === 'string' ? parts : offersOf(node, parts, context)
  },
}

/** Gemm with a constant right operand, or without transposition and scaling of dynamic ones. */
export const gemm: Kernel = {
  name: 'gemm-f32',
  offer(node, context) {
    if (node.op !== 'Gemm' || node.domain !== '') return ''
    const parts = gemmParts(node, context)
    return typeof parts === 'string' ? parts : offersOf(node, parts, context)
  },
}

/** Returns the product that a MatMul or Gemm computes, or why none of these kernels does; '' = neither. */
export function productParts(node: Node, context: OfferContext): ProductParts | string {
  if (node.domain !== '') return ''
  if (node.op === 'MatMul') return matmulParts(node, context)
  return node.op === 'Gemm' ? gemmParts(node, context) : ''
}

function matmulParts(node: Node, context: OfferContext): ProductParts | string {
  const [a, b] = node.inputs.map((name) => context.type(name)) as [
    { dtype: string; shape: readonly number[] },
    { dtype: string; shape: readonly number[] },
  ]
  if (a.dtype !== 'float32') return `computes float32, not ${a.dtype}`
  if (sizeOf(context.type(node.outputs[0]!).shape) === 0) return 'the output is empty'
  const left = a.shape.length === 1 ? [1, ...a.shape] : a.shape
  const right = b.shape.length === 1 ? [...b.shape, 1] : b.shape
  const product = productOf(left, right)
  const constantB = context.constant(node.inputs[1]!)
  const epilogue = absorb(node, context, b.shape.length === 1 ? -1 : lastAxis(node, context))
  return { product, epilogue, packed: constantB && packedOf(constantB, product) }
}

function gemmParts(node: Node, context: OfferContext): ProductParts | string {
  const [a, b] = [context.type(node.inputs[0]!), context.type(node.inputs[1]!)]
  if (a.dtype !== 'float32') return `computes float32, not ${a.dtype}`
  if (sizeOf(context.type(node.outputs[0]!).shape) === 0) return 'the output is empty'
  if (intOf(node, 'transA', 0) !== 0) return 'A is transposed'
  const constantB = context.constant(node.inputs[1]!)
  const isTransposed = intOf(node, 'transB', 0) !== 0
  if (isTransposed && constantB === undefined) return 'B is transposed and not constant'
  const right = isTransposed ? [b.shape[1]!, b.shape[0]!] : b.shape
  const product = productOf(a.shape, right)
  const [alpha, beta] = [floatOf(node, 'alpha', 1), floatOf(node, 'beta', 1)]
  const chain = absorb(node, context, 1)
  const added = addedOf(node, context, product.n)
  if (added === undefined) return 'C is neither constant nor of the shape of the result'
  const bias = constantB !== undefined && added.kind === 'columns' ? added.data : undefined
  const epilogue = prepend(chain, {
    alpha: constantB === undefined ? alpha : 1,
    beta,
    added: bias === undefined ? added : { kind: 'none' },
  })
  const packed = constantB && packedOf(constantB, product, { isTransposed, alpha, bias, beta })
  return { product, epilogue, packed }
}

function lastAxis(node: Node, context: OfferContext): number {
  return context.type(node.outputs[0]!).shape.length - 1
}

type Added =
  | { readonly kind: 'none' }
  | { readonly kind: 'columns'; readonly data: Float32Array }
  | { readonly kind: 'value'; readonly value: string }

// What Gemm adds: numbers per column, or a whole matrix; undefined where it is neither.
function addedOf(node: Node, context: OfferContext, columns: number): Added | undefined {
  const name = node.inputs[2]
  if (!name) return { kind: 'none' }
  const type = context.type(name)
  const known = context.constant(name)
  if (known !== undefined && (sizeOf(type.shape) === 1 || isRow(type.shape, columns))) {
    const data = floatsOf(known)
    const filled = data.length === columns ? data : new Float32Array(columns).fill(data[0]!)
    return { kind: 'columns', data: flushSubnormals(filled) }
  }
  if (String(type.shape) !== String(context.type(node.outputs[0]!).shape)) return undefined
  return { kind: 'value', value: name }
}

function isRow(shape: readonly number[], columns: number): boolean {
  return shape.at(-1) === columns && shape.slice(0, -1).every((size) => size === 1)
}

// The chain over alpha · product + beta · C instead of the bare accumulator.
function prepend(
  chain: Epilogue,
  { alpha, beta, added }: { alpha: number; beta: number; added: Added },
): Epilogue {
  const scaled = (factor: number, f: Formula): Formula =>
    factor === 1 ? f : binary('mul', f, constant(factor))
  const product = scaled(alpha, input(0))
  if (added.kind === 'none')
    return { ...chain, formula: substitute(chain.formula, (i) => (i === 0 ? product : input(i))) }
  const operand =
    added.kind === 'value'
      ? { kind: 'value' as const, value: added.value }
      : { kind: 'channel' as const, data: added.data }
  const operands = [...chain.operands, operand]
  const sum = binary('add', product, scaled(beta, input(operands.length)))
  const formula = substitute(chain.formula, (i) => (i === 0 ? sum : input(i)))
  return { ...chain, operands, formula }
}

function productOf(a: readonly number[], b: readonly number[]): Product {
  const [m, k, n] = [a.at(-2)!, a.at(-1)!, b.at(-1)!]
  const leading = [a.slice(0, -2), b.slice(0, -2)]
  const shape = broadcastShapes(leading)
  const steps = leading.map((own) => {
    const strides = stridesOf(own)
    const missing = shape.length - own.length
    return shape.map((_, i) => (i < missing || own[i - missing] === 1 ? 0 : strides[i - missing]!))
  })
  const out = stridesOf(shape)
  const batch = shape.map((count, i) => ({
    count,
    a: steps[0]![i]!,
    b: steps[1]![i]!,
    out: out[i]!,
  }))
  return { m, n, k, batch: batch.filter((axis) => axis.count !== 1) }
}

function packedOf(
  t: Tensor,
  { n, k }: Product,
  options: {
    isTransposed?: boolean
    alpha?: number
    beta?: number
    bias?: Float32Array | undefined
  } = {},
): Packed {
  const { isTransposed = false, alpha = 1, beta = 1, bias } = options
  const data = floatsOf(t)
  return {
    matrices: sizeOf(t.shape.length > 2 ? t.shape.slice(0, -2) : []),
    key: JSON.stringify([isTransposed, alpha]),
    at: (matrix, row, column) =>
      alpha * data[matrix * n * k + (isTransposed ? column * k + row : row * n + column)]!,
    bias: (column) => beta * (bias?.[column] ?? 0),
  }
}

/** A product with what is computed before it is stored. */
export interface ProductParts {
  readonly product: Product
  readonly epilogue: Epilogue
  /** The constant right operand; undefined = it is an input. */
  readonly packed: Packed | undefined
}

/** Rows from which on panels are as for many: what entries share is packed as for these. */
const MANY_ROWS = 4

/** How many rows panels are planned for. */
interface Planned extends ProductParts {
  readonly rows: number
}

function offersOf(
  node: Node,
  parts: ProductParts,
  { tunes, sharesWeights }: OfferContext,
): Offer[] {
  const least = sharesWeights && parts.packed ? MANY_ROWS : 1
  const planned = { ...parts, rows: Math.max(least, rowsIn(parts.product)) }
  return gemmSchedules(tunes).map((schedule) => offerOf(node, planned, schedule))
}

function offerOf(node: Node, parts: Planned, schedule: GemmSchedule): Offer {
  const { product, epilogue, packed, rows } = parts
  const { m, n, k, batch } = product
  const values = epilogueValues(epilogue)
  const products = batch.reduce((count, axis) => count * axis.count, 1)
  const operands = [node.inputs[0]!, ...(packed ? [] : [node.inputs[1]!])]
  const panels = planPanels(n, rows, schedule.width)
  return {
    kernel: node.op === 'Gemm' ? gemm.name : matmul.name,
    covers: epilogue.covers,
    inputs: [...operands, ...values].map((value) => ({ value, layout: PLAIN })),
    outputs: [{ value: epilogue.output, layout: 'plain' }],
    cost: products * m * Math.ceil(n / 4) * 4 * (k + 2),
    scratchBytes: 0,
    inPlace: isHeavy(epilogue) ? [] : values.map((_, i) => operands.length + i),
    tolerance: (k + 4) * 2 ** -24,
    codeKey: () =>
      JSON.stringify([product, rows, epilogueKey(epilogue), packed?.matrices, schedule]),
    pack: () => [
      ...(packed
        ? [
            madeOf(
              bytesOfView(packMatrices(product, panels, packed)),
              Array.from({ length: packed.matrices }, (_, i) =>
                panelParts(panels, k, i * packedBytes(panels, k)),
              ).flat(),
            ),
          ]
        : []),
      ...packEpilogue(epilogue),
    ],
    emit: () => emit(parts, schedule),
  }
}

/** Returns how many rows of A one matrix B is multiplied with: all of them, where there is but one B. */
export function rowsIn({ m, batch }: Product): number {
  const isShared = batch.every((axis) => axis.b === 0)
  return isShared ? batch.reduce((rows, axis) => rows * axis.count, m) : m
}

function packMatrices({ n, k }: Product, panels: readonly Panels[], packed: Packed): Float32Array {
  const bytes = packedBytes(panels, k)
  const all = new Float32Array((bytes / 4) * packed.matrices)
  for (let matrix = 0; matrix < packed.matrices; matrix++)
    all.set(
      packPanels(panels, k, {
        bias: (column) => (column < n ? packed.bias(column) : 0),
        weight: (column, row) => (column < n ? packed.at(matrix, row, column) : 0),
      }),
      (bytes / 4) * matrix,
    )
  return flushSubnormals(all)
}

function emit({ product, epilogue, packed, rows }: Planned, schedule: GemmSchedule): TileFunction {
  const { m, n, k, batch } = product
  const panels = planPanels(n, rows, schedule.width)
  const isValue = epilogue.operands.map((operand) => operand.kind === 'value')
  const values = isValue.filter((v) => v).length
  const channels = isValue.length - values
  const weightsAt = packed ? 1 + values : 1
  let nextValue = packed ? 1 : 2
  let nextChannel = 2 + values
  const bases = isValue.map((v) => (v ? nextValue++ : nextChannel++))
  const matrixBytes = packed ? packedBytes(panels, k) : k * n * 4
  const count = (pick: 'a' | 'b' | 'out') =>
    1 + batch.reduce((last, axis) => last + (axis.count - 1) * axis[pick], 0)
  const outBytes = count('out') * m * n * 4
  const body = (fma: boolean) =>
    gemmStatements({
      a: { base: 0, offset: 0 },
      weights: { base: weightsAt, offset: 0 },
      out: { base: 2 + values + channels, offset: 0 },
      epilogue,
      operands: bases.map((base) => ({ base, offset: 0 })),
      outer: batch.map((axis) => ({
        count: axis.count,
        a: axis.a * m * k * 4,
        out: axis.out * m * n * 4,
        operands: isValue.map((v) => (v ? axis.out * m * n * 4 : 0)),
        weights: axis.b * matrixBytes,
      })),
      pixels: { count: m, a: k * 4, out: n * 4, operands: isValue.map((v) => (v ? n * 4 : 0)) },
      taps: [{ count: k, a: 4 }],
      channels: n,
      panels,
      ...(packed ? {} : { direct: { rowBytes: n * 4 } }),
      tail: 'leave',
      fma,
      schedule,
    })
  const valueNames = Array.from({ length: values }, (_, i) => `value${i}`)
  const channelNames = Array.from({ length: channels }, (_, i) => `channel${i}`)
  return {
    name: 'matmul-f32',
    parameters: packed
      ? ['a', ...valueNames, 'weights', ...channelNames, 'out']
      : ['a', 'b', ...valueNames, ...channelNames, 'out'],
    extents: [
      count('a') * m * k * 4,
      ...(packed ? [] : [count('b') * matrixBytes]),
      ...valueNames.map(() => outBytes),
      ...(packed ? [packed.matrices * matrixBytes] : []),
      ...channelNames.map(() => Math.ceil(n / 4) * 16),
      outBytes,
    ],
    body: body(false),
    relaxed: body(true),
  }
}
