// Element-wise nodes around reductions of the last axes → one function that goes row by row: a row
// stays in the first-level cache while it is passed over, once per reduction and once to store.
import { inputsOf } from '../../ir/formula.ts'
import { sizeOf } from '../../tensor/tensor.ts'
import type { Kernel } from '../kernel.ts'
import { broadcastView, PLAIN, viewOf } from '../layout.ts'
import {
  at,
  get,
  loadLanes,
  loadSplat,
  loop,
  set,
  shift,
  shuffle,
  splat,
  store,
} from '../tile/build.ts'
import type { Address, TileExpr, TileFunction, TileStatement } from '../tile/nodes.ts'
import { lowerFormula, sizeOfFormula } from './formula.ts'
import { addressAt, createNames, type Lanes, loopsOver, mergeAxes, type Names } from './nest.ts'
import { horizontal, type Reduction, reductions } from './reduce.ts'
import { type RowRegion, type RowSlot, rowRegion } from './row-region.ts'

/** Sums kept side by side, so that none waits for the one before. */
const SIDE_BY_SIDE = 4

/** Normalisations in any decomposition. */
export const rowFused: Kernel = {
  name: 'rows-f32',
  offer(node, context) {
    const region = rowRegion(node, context)
    if (region === undefined) return ''
    const { covers, output, shape, slots, formula } = region
    const operands = operandsOf(region)
    const passes = passesOf(region)
    const reduced = [...passes.flat()].map((slot) => (slots[slot] as Reduced).formula)
    const perElement = [...reduced, formula].reduce(
      (sum, f) => sum + sizeOfFormula(f) + inputsOf(f).size + 1,
      0,
    )
    const count = sizeOf(shape.slice(-region.axes))
    return [
      {
        kernel: this.name,
        covers,
        inputs: operands.map(({ value }) => ({ value, layout: PLAIN })),
        outputs: [{ value: output, layout: 'plain' }],
        cost: sizeOf(shape) * perElement + (sizeOf(shape) / count) * 16,
        scratchBytes: 0,
        tolerance: (passes.length * count + 8) * 2 ** -23,
        inPlace: operands.flatMap(({ type }, i) => (type.shape.join() === shape.join() ? [i] : [])),
        codeKey: () => JSON.stringify([shape, region.axes, formula, slots.map(codeOf)]),
        pack: () => [],
        emit: () => emit(region, passes),
      },
    ]
  },
}

type Reduced = Extract<RowSlot, { kind: 'reduction' }>
type Operand = Extract<RowSlot, { kind: 'operand' }>

const codeOf = (slot: RowSlot) => (slot.kind === 'operand' ? slot.type.shape : slot)

function operandsOf({ slots }: RowRegion): Operand[] {
  return slots.filter((slot) => slot.kind === 'operand')
}

// Reductions that need no other's result share a pass.
function passesOf({ slots }: RowRegion): number[][] {
  const levels: number[] = []
  const passes: number[][] = []
  slots.forEach((slot, i) => {
    if (slot.kind === 'operand') {
      levels.push(0)
      return
    }
    const before = Math.max(0, ...[...inputsOf(slot.formula)].map((index) => levels[index]!))
    const isReduction = slot.kind === 'reduction'
    levels.push(before + (isReduction ? 1 : 0))
    if (isReduction) passes[before] = [...(passes[before] ?? []), i]
  })
  return passes
}

function emit(region: RowRegion, passes: readonly (readonly number[])[]): TileFunction {
  const { shape, axes, slots, formula } = region
  const operands = operandsOf(region)
  const outer = shape.length - axes
  const count = sizeOf(shape.slice(outer))
  const names = createNames()
  const views = [...operands.map(({ type }) => type.shape), shape].map((own, base) => {
    const { offset, strides } = broadcastView(viewOf(own, PLAIN), shape)
    const isWide = sizeOf(own.slice(-axes)) > 1
    return { base, offset, strides: strides.slice(0, outer), isWide }
  })
  const box = mergeAxes(shape.slice(0, outer), views)
  const body = loopsOver(names, box.dims, (loops) => {
    const rows = box.operands.map((operand) => addressAt(operand, loops))
    const own = (slot: number) => operands.indexOf(slots[slot] as Operand)
    const isWide = (slot: number) => slots[slot]!.kind === 'operand' && views[own(slot)]!.isWide
    // Numbers of the row lie in registers, elements are loaded where the pass stands.
    const read = (place: Place) =>
      slots.map((_, slot) =>
        isWide(slot) ? loadLanes(place.of(rows[own(slot)]!), place.lanes) : get(`r${slot}`),
      )
    const numbers = slots.flatMap((slot, i) =>
      slot.kind === 'operand' && !isWide(i) ? [set(`r${i}`, loadSplat(rows[own(i)]!))] : [],
    )
    const done = new Set<number>()
    const settle = (): TileStatement[] =>
      slots.flatMap((slot, i) => {
        if (slot.kind !== 'number' || done.has(i)) return []
        const isReady = [...inputsOf(slot.formula)].every(
          (index) => slots[index]!.kind === 'operand' || done.has(index),
        )
        if (!isReady) return []
        done.add(i)
        return [
          set(
            `r${i}`,
            lowerFormula(
              slot.formula,
              slots.map((_, k) => get(`r${k}`)),
            ),
          ),
        ]
      })
    const folded = passes.flatMap((pass) => {
      const statements = pass.flatMap((slot) => {
        done.add(slot)
        const { op, formula: of } = slots[slot] as Reduced
        return foldRow(
          names,
          { register: `r${slot}`, reduction: reductions[op]!, count },
          (place) => lowerFormula(of, read(place)),
        )
      })
      return [...statements, ...settle()]
    })
    const target = rows.at(-1)!
    const stored = alongRow(names, count, 1, (place) => [
      store(place.of(target), lowerFormula(formula, read(place)), place.lanes),
    ])
    return [...numbers, ...settle(), ...folded, ...stored]
  })
  return {
    name: rowFused.name,
    parameters: [...operands.map((_, i) => `x${i}`), 'y'],
    extents: [...operands.map(({ type }) => type.shape), shape].map((own) => sizeOf(own) * 4),
    body,
  }
}

/** Where a pass over a row stands. */
interface Place {
  readonly lanes: Lanes
  /** Which of the vectors side by side it is. */
  readonly side: number
  of(row: Address): Address
}

// Loops over the vectors of a row: several side by side, then single ones, then the rest.
function alongRow(
  names: Names,
  count: number,
  sides: number,
  body: (place: Place) => readonly TileStatement[],
): TileStatement[] {
  const part = (start: number, size: number, step: number, lanes: Lanes): TileStatement[] => {
    if (size === 0) return []
    const name = names.fresh('k')
    const statements = Array.from({ length: Math.ceil(step / 4) }, (_, side) =>
      body({
        lanes,
        side,
        of: (row) =>
          shift(at(row.base, row.offset, { ...row.strides, [name]: 4 }), (start + side * 4) * 4),
      }),
    ).flat()
    return [loop(name, size, statements, step)]
  }
  const wide = count - (count % (4 * sides))
  const whole = count - (count % 4)
  return [
    ...(sides > 1 ? part(0, wide, 4 * sides, 4) : []),
    ...part(sides > 1 ? wide : 0, whole - (sides > 1 ? wide : 0), 4, 4),
    ...(count > whole ? part(whole, 1, 1, (count - whole) as Lanes) : []),
  ]
}

// A reduction over a row, its result in all lanes of a register.
function foldRow(
  names: Names,
  how: { register: string; reduction: Reduction; count: number },
  value: (place: Place) => TileExpr,
): TileStatement[] {
  const { register, reduction, count } = how
  const sides = Math.min(SIDE_BY_SIDE, Math.floor(count / 8) || 1)
  const side = (i: number) => (i === 0 ? register : `${register}_${i}`)
  const passed = alongRow(names, count, sides, (place) => {
    const raw = value(place)
    const x = reduction.before?.(raw) ?? raw
    return [
      set(
        side(place.side),
        reduction.combine(get(side(place.side)), filled(x, place.lanes, reduction)),
      ),
    ]
  })
  const joined = Array.from({ length: sides - 1 }, (_, i) =>
    set(register, reduction.combine(get(register), get(side(i + 1)))),
  )
  return [
    ...Array.from({ length: sides }, (_, i) => set(side(i), splat(reduction.identity))),
    ...passed,
    ...joined,
    ...horizontal(register, reduction),
    ...(reduction.after ? [set(register, reduction.after(get(register), count))] : []),
  ]
}

// Lanes beyond the row hold what changes nothing.
function filled(x: TileExpr, lanes: Lanes, { identity }: Reduction): TileExpr {
  const pick = (lane: number) => (lane < lanes ? lane : 4 + lane)
  return lanes === 4 ? x : shuffle(x, splat(identity), [pick(0), pick(1), pick(2), pick(3)])
}
