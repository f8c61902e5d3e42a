// Ids of one value: they vary along one axis. What a movement op scatters over several is united.
import { stridesOf, type Tensor } from '../tensor/tensor.ts'

/** Ids of a value along one axis; -1 = no unit. */
export interface ValueIds {
  readonly axis: number
  readonly ids: Int32Array
}

/** What became of ids that were moved. */
export interface Collapsed {
  readonly value: ValueIds | undefined
  /** Ids that must stay or go together for the result to keep its shape a box. */
  readonly unites: readonly (readonly [number, number])[]
  /** Ids that fill a whole value without an axis of their own. */
  readonly alone: readonly number[]
}

/** An earlier axis must leave more than this many times the units: a cut must not change the choice. */
const CLEARLY = 4

/**
 * Returns the axis along which the ids of a tensor vary. Where they vary along several (heads and
 * width, a shuffle's groups), ids that share a position on one axis are united: on the last axis,
 * unless another leaves clearly more units.
 */
export function collapse(ids: Tensor, preferred: number): Collapsed {
  const data = ids.data as Int32Array
  if (data.every((id) => id < 0)) return { value: undefined, unites: [], alone: [] }
  const { shape } = ids
  const strides = stridesOf(shape)
  const axes = shape.map((_, axis) => axis)
  const exact = axes.filter((axis) => isExact(data, shape[axis]!, strides[axis]!))
  if (exact.length > 0) {
    const varying = exact.find(
      (axis) => shape[axis]! > 1 && !isUniform(data, shape[axis]!, strides[axis]!),
    )
    const axis = varying ?? uniformAxis(shape, exact, preferred)
    return axis === undefined
      ? { value: undefined, unites: [], alone: [data[0]!] }
      : { value: along(data, axis, shape, strides), unites: [], alone: [] }
  }
  const candidates = axes
    .filter((axis) => shape[axis]! > 1)
    .map((axis) => ({ axis, ...unitesAlong(data, shape[axis]!, strides[axis]!) }))
  const most = Math.max(...candidates.map((candidate) => candidate.count))
  const best = candidates.findLast(({ count }) => count * CLEARLY >= most)!
  return { value: along(data, best.axis, shape, strides), unites: best.unites, alone: [] }
}

// True when the id of an element depends on its position along one axis alone.
function isExact(data: Int32Array, size: number, stride: number): boolean {
  for (let i = 0; i < data.length; i++)
    if (data[i] !== data[(Math.floor(i / stride) % size) * stride]) return false
  return true
}

function isUniform(data: Int32Array, size: number, stride: number): boolean {
  for (let i = 1; i < size; i++) if (data[i * stride] !== data[0]) return false
  return true
}

// One unit fills the value: its axis is where it came from, if that still has size one.
function uniformAxis(
  shape: readonly number[],
  axes: readonly number[],
  preferred: number,
): number | undefined {
  if (preferred < shape.length && shape[preferred] === 1) return preferred
  return axes.length === 1 ? axes[0] : undefined
}

function along(
  data: Int32Array,
  axis: number,
  shape: readonly number[],
  strides: readonly number[],
): ValueIds {
  return {
    axis,
    ids: Int32Array.from({ length: shape[axis]! }, (_, i) => data[i * strides[axis]!]!),
  }
}

// Pairs that make ids depend on one axis alone, and how many different units that leaves.
function unitesAlong(
  data: Int32Array,
  size: number,
  stride: number,
): { unites: [number, number][]; count: number } {
  const parent = new Map<number, number>()
  const find = (id: number): number => {
    let root = id
    while (parent.get(root)! !== root) root = parent.get(root)!
    parent.set(id, root)
    return root
  }
  for (const id of new Set(data)) parent.set(id, id)
  const unites: [number, number][] = []
  let [lastFirst, lastId] = [-2, -2]
  for (let i = 0; i < data.length; i++) {
    const first = data[(Math.floor(i / stride) % size) * stride]!
    const id = data[i]!
    // Neighbours in a plane repeat the pair before.
    if (id === first || (id === lastId && first === lastFirst)) continue
    lastFirst = first
    lastId = id
    const [a, b] = [find(first), find(id)]
    if (a === b) continue
    parent.set(a, b)
    unites.push([first, id])
  }
  const roots = new Set([...parent.keys()].map(find))
  return { unites, count: roots.size - (roots.has(-1) ? 1 : 0) }
}
