// The loops of RNN, GRU, LSTM: products over panels of weights, then gates and states vector by vector.
import type { Formula } from '../../ir/formula.ts'
import {
  add,
  at,
  get,
  keepLanes,
  load,
  loadLanes,
  loadSplat,
  loop,
  madd,
  max,
  min,
  mul,
  set,
  shift,
  splat,
  store,
  sub,
} from '../tile/build.ts'
import type { Address, TileExpr, TileStatement } from '../tile/nodes.ts'
import { lowerFormula } from './formula.ts'
import { createNames, type Names, vectorParts } from './nest.ts'
import {
  packedOffsets,
  type RecurrentPlan,
  scratchOffsets,
  stateColumns,
  type Tile,
} from './recurrent-plan.ts'

/** Which optional parameters the function has; outputs are 0 = Y, 1 = Y_h, 2 = Y_c. */
export interface RecurrentParameters {
  readonly hasHidden: boolean
  readonly hasCell: boolean
  readonly outputs: readonly number[]
}

type Statements = readonly TileStatement[]

/** Returns the body. Parameters: x, initial h, initial c, weights, outputs, scratch. */
export function recurrentBody(plan: RecurrentPlan, parameters: RecurrentParameters): Statements {
  const { hasHidden, hasCell, outputs } = parameters
  const weights = 1 + Number(hasHidden) + Number(hasCell)
  const output = (index: number) => {
    const position = outputs.indexOf(index)
    return position < 0 ? undefined : weights + 1 + position
  }
  const bases: Bases = {
    hidden0: hasHidden ? 1 : undefined,
    cell0: hasCell ? 1 + Number(hasHidden) : undefined,
    weights,
    y: output(0),
    hidden: output(1),
    cell: output(2),
    scratch: weights + outputs.length + 1,
  }
  const names = createNames()
  return plan.reversed.flatMap((_, direction) =>
    new Direction(plan, { names, bases, direction }).body(),
  )
}

interface Bases {
  readonly hidden0: number | undefined
  readonly cell0: number | undefined
  readonly weights: number
  readonly y: number | undefined
  readonly hidden: number | undefined
  readonly cell: number | undefined
  readonly scratch: number
}

/** One vector of units of one sequence at one step. */
interface Place {
  readonly sequence: string
  /** The loop over vectors; undefined in the tail. */
  readonly vector: string | undefined
  readonly start: number
  readonly lanes: 1 | 2 | 3 | 4
}

class Direction {
  readonly #plan: RecurrentPlan
  readonly #names: Names
  readonly #bases: Bases
  readonly #direction: number
  readonly #scratch
  readonly #packed

  constructor(plan: RecurrentPlan, at: { names: Names; bases: Bases; direction: number }) {
    this.#plan = plan
    this.#names = at.names
    this.#bases = at.bases
    this.#direction = at.direction
    this.#scratch = scratchOffsets(plan)
    this.#packed = packedOffsets(plan)
  }

  body(): Statements {
    const { steps, cell } = this.#plan
    const { hidden0, cell0, hidden, cell: lastCell } = this.#bases
    const time = this.#names.fresh('t')
    return [
      ...this.#project(),
      ...this.#initial(this.#scratch.hidden, hidden0),
      ...(cell === 'LSTM' ? this.#initial(this.#scratch.cell, cell0) : []),
      loop(time, steps, this.#step(time)),
      ...this.#final(this.#scratch.hidden, hidden),
      ...(cell === 'LSTM' ? this.#final(this.#scratch.cell, lastCell) : []),
    ]
  }

  #weight(offset: number, strides: Readonly<Record<string, number>> = {}): Address {
    const own = this.#direction * this.#packed.size + offset
    return at(this.#bases.weights, own * 4, strides)
  }

  #inScratch(offset: number, strides: Readonly<Record<string, number>> = {}): Address {
    return at(this.#bases.scratch, offset * 4, strides)
  }

  #project(): Statements {
    const { steps, batch, inputSize, inputBlock, inputTile } = this.#plan
    return product(this.#names, {
      rows: steps * batch,
      depth: inputSize,
      columns: inputBlock.columns,
      tile: inputTile,
      from: at(0),
      rowBytes: inputSize * 4,
      panels: this.#weight(this.#packed.inputPanels),
      bias: this.#weight(this.#packed.inputBias),
      to: this.#inScratch(this.#scratch.projected),
      resultBytes: inputBlock.columns * 4,
    })
  }

  #initial(to: number, given: number | undefined): Statements {
    return this.#eachVector((place) => [
      store(
        this.#state(to, place),
        given === undefined ? splat(0) : loadLanes(this.#outer(given, place), place.lanes),
      ),
    ])
  }

  #final(from: number, to: number | undefined): Statements {
    if (to === undefined) return []
    return this.#eachVector((place) => [
      store(this.#outer(to, place), load(this.#state(from, place)), place.lanes),
    ])
  }

  #step(time: string): Statements {
    const { cell, linearBeforeReset } = this.#plan
    if (cell === 'GRU' && !linearBeforeReset)
      return [
        ...this.#recur(0, this.#scratch.hidden),
        ...this.#eachVector((place) => {
          const reset = this.#activated(0, this.#gate(time, place, 1))
          const held = load(this.#state(this.#scratch.hidden, place))
          return [store(this.#state(this.#scratch.reset, place), mul(reset, held))]
        }),
        ...this.#recur(1, this.#scratch.reset),
        ...this.#eachVector((place) => this.#gru(time, place)),
      ]
    return [
      ...this.#recur(0, this.#scratch.hidden),
      ...this.#eachVector((place) =>
        cell === 'LSTM'
          ? this.#lstm(time, place)
          : cell === 'GRU'
            ? this.#gru(time, place)
            : this.#next(time, place, this.#activated(0, this.#gate(time, place, 0))),
      ),
    ]
  }

  #recur(index: number, from: number): Statements {
    const { batch, hidden, width, stateTile, stateBlocks } = this.#plan
    const block = stateBlocks[index]!
    return product(this.#names, {
      rows: batch,
      depth: hidden,
      columns: block.columns,
      tile: stateTile,
      from: this.#inScratch(from),
      rowBytes: width * 4,
      panels: this.#weight(this.#packed.statePanels[index]!),
      bias: this.#weight(this.#packed.stateBias + block.start),
      to: this.#inScratch(this.#scratch.recurrent + block.start),
      resultBytes: stateColumns(this.#plan) * 4,
    })
  }

  #gru(time: string, place: Place): Statements {
    const [z, held] = [this.#names.fresh('z'), this.#names.fresh('h')]
    const inner = this.#plan.linearBeforeReset
      ? mul(this.#activated(0, this.#gate(time, place, 1)), this.#recurrent(place, 2))
      : this.#recurrent(place, 2)
    const candidate = this.#names.fresh('n')
    return [
      set(candidate, this.#activated(1, add(this.#projected(time, place, 2), inner))),
      set(z, this.#activated(0, this.#gate(time, place, 0))),
      set(held, load(this.#state(this.#scratch.hidden, place))),
      ...this.#next(
        time,
        place,
        add(mul(sub(splat(1), get(z)), get(candidate)), mul(get(z), get(held))),
      ),
    ]
  }

  #lstm(time: string, place: Place): Statements {
    const [i, f, c] = ['i', 'f', 'c'].map((name) => this.#names.fresh(name)) as [
      string,
      string,
      string,
    ]
    const cell = this.#state(this.#scratch.cell, place)
    const peep = (gate: TileExpr, index: number, state: TileExpr) =>
      this.#plan.hasPeepholes ? madd(load(this.#peephole(index, place)), state, gate) : gate
    const forget = this.#plan.inputForget
      ? sub(splat(1), get(i))
      : this.#activated(0, peep(this.#gate(time, place, 2), 2, get(c)))
    const input = this.#activated(0, peep(this.#gate(time, place, 0), 0, get(c)))
    const candidate = this.#activated(1, this.#gate(time, place, 3))
    const output = this.#activated(0, peep(this.#gate(time, place, 1), 1, get(c)))
    return [
      set(c, load(cell)),
      set(i, input),
      set(f, forget),
      set(c, mul(get(f), get(c))),
      set(c, add(get(c), mul(get(i), candidate))),
      store(cell, get(c)),
      set(i, output),
      ...this.#next(time, place, mul(get(i), this.#formula(2, get(c)))),
    ]
  }

  // The new state: kept for the next step, and written to the sequence. Lanes beyond the last stay zero.
  #next(time: string, place: Place, value: TileExpr): Statements {
    const { batch, steps, hidden, reversed, batchFirst } = this.#plan
    const held = this.#names.fresh('h')
    const statements: TileStatement[] = [
      set(held, keepLanes(value, place.lanes)),
      store(this.#state(this.#scratch.hidden, place), get(held)),
    ]
    const { y } = this.#bases
    if (y === undefined) return statements
    const directions = reversed.length
    const [perStep, perSequence, perDirection] = batchFirst
      ? [directions * hidden, steps * directions * hidden, hidden]
      : [directions * batch * hidden, hidden, batch * hidden]
    const sign = this.#isReversed ? -1 : 1
    const first = (this.#isReversed ? (steps - 1) * perStep : 0) + this.#direction * perDirection
    const address = at(y, (first + place.start) * 4, {
      [time]: sign * perStep * 4,
      [place.sequence]: perSequence * 4,
      ...(place.vector === undefined ? {} : { [place.vector]: 4 }),
    })
    return [...statements, store(address, get(held), place.lanes)]
  }

  get #isReversed(): boolean {
    return this.#plan.reversed[this.#direction]!
  }

  #gate(time: string, place: Place, gate: number): TileExpr {
    return add(this.#projected(time, place, gate), this.#recurrent(place, gate))
  }

  #projected(time: string, place: Place, gate: number): TileExpr {
    const { steps, batch, width, inputBlock, batchFirst } = this.#plan
    const rowBytes = inputBlock.columns * 4
    const [perStep, perSequence] = batchFirst
      ? [rowBytes, steps * rowBytes]
      : [batch * rowBytes, rowBytes]
    const sign = this.#isReversed ? -1 : 1
    const first = this.#isReversed ? (steps - 1) * perStep : 0
    const own = this.#inScratch(this.#scratch.projected + gate * width + place.start, {
      [time]: sign * perStep,
      [place.sequence]: perSequence,
      ...(place.vector === undefined ? {} : { [place.vector]: 4 }),
    })
    return load(shift(own, first))
  }

  #recurrent(place: Place, gate: number): TileExpr {
    const { width, stateBlocks } = this.#plan
    const block = stateBlocks.find(({ first, gates }) => gate >= first && gate < first + gates)!
    const column = block.start + (gate - block.first) * width
    return load(
      this.#inScratch(this.#scratch.recurrent + column + place.start, {
        [place.sequence]: stateColumns(this.#plan) * 4,
        ...(place.vector === undefined ? {} : { [place.vector]: 4 }),
      }),
    )
  }

  #peephole(index: number, place: Place): Address {
    const offset = this.#packed.peepholes + index * this.#plan.width + place.start
    return this.#weight(offset, place.vector === undefined ? {} : { [place.vector]: 4 })
  }

  #activated(index: number, value: TileExpr): TileExpr {
    const { clip } = this.#plan
    return this.#formula(
      index,
      Number.isFinite(clip) ? max(min(value, splat(clip)), splat(-clip)) : value,
    )
  }

  #formula(index: number, value: TileExpr): TileExpr {
    const formula: Formula = this.#plan.formulas[this.#direction]![index]!
    return lowerFormula(formula, [value])
  }

  /** A padded state in scratch memory. */
  #state(offset: number, place: Place): Address {
    return this.#inScratch(offset + place.start, {
      [place.sequence]: this.#plan.width * 4,
      ...(place.vector === undefined ? {} : { [place.vector]: 4 }),
    })
  }

  /** A state as the model gives or takes it. */
  #outer(base: number, place: Place): Address {
    const { hidden, batch, reversed, batchFirst } = this.#plan
    const [perSequence, perDirection] = batchFirst
      ? [reversed.length * hidden, hidden]
      : [hidden, batch * hidden]
    return at(base, (this.#direction * perDirection + place.start) * 4, {
      [place.sequence]: perSequence * 4,
      ...(place.vector === undefined ? {} : { [place.vector]: 4 }),
    })
  }

  #eachVector(body: (place: Place) => Statements): Statements {
    const { batch, hidden } = this.#plan
    const sequence = this.#names.fresh('n')
    const parts = vectorParts(hidden).flatMap(({ start, count, lanes }): Statements => {
      if (count === 1) return body({ sequence, vector: undefined, start, lanes })
      const vector = this.#names.fresh('v')
      return [loop(vector, count, body({ sequence, vector, start, lanes }), 4)]
    })
    return [loop(sequence, batch, parts)]
  }
}

interface Product {
  readonly rows: number
  readonly depth: number
  readonly columns: number
  readonly tile: Tile
  readonly from: Address
  readonly rowBytes: number
  /** [columns / tile.columns, depth, tile.columns] */
  readonly panels: Address
  readonly bias: Address
  readonly to: Address
  readonly resultBytes: number
}

/** from · panels + bias, a tile at a time. */
function product(names: Names, p: Product): Statements {
  const { rows, tile } = p
  const full = rows - (rows % tile.rows)
  return [
    { first: 0, count: full, height: tile.rows },
    { first: full, count: rows - full, height: rows - full },
  ]
    .filter(({ count }) => count > 0)
    .flatMap(({ first, count, height }) => {
      const row = names.fresh('r')
      return [loop(row, count, tileOf(names, p, { row, first, height }), height)]
    })
}

function tileOf(
  names: Names,
  p: Product,
  { row, first, height }: { row: string; first: number; height: number },
): Statements {
  const { depth, columns, tile } = p
  const [panel, k] = [names.fresh('p'), names.fresh('k')]
  const panelBytes = depth * tile.columns * 4
  const vectors = Array.from({ length: tile.columns / 4 }, (_, v) => v)
  const lines = Array.from({ length: height }, (_, i) => i)
  const sums = lines.map(() => vectors.map(() => names.fresh('a')))
  const moved = (address: Address, offset: number, strides: Address['strides']): Address => ({
    ...address,
    offset: address.offset + offset,
    strides: { ...address.strides, ...strides },
  })
  const biasAt = (v: number) => moved(p.bias, v * 16, { [panel]: tile.columns * 4 })
  const weightAt = (v: number) =>
    load(moved(p.panels, v * 16, { [panel]: panelBytes, [k]: tile.columns * 4 }))
  const inputAt = (i: number) =>
    loadSplat(moved(p.from, (first + i) * p.rowBytes, { [row]: p.rowBytes, [k]: 4 }))
  const splats = lines.map(() => names.fresh('x'))
  const weight = names.fresh('w')
  const body =
    height === 1
      ? [
          set(splats[0]!, inputAt(0)),
          ...vectors.map((v) =>
            set(sums[0]![v]!, madd(get(splats[0]!), weightAt(v), get(sums[0]![v]!))),
          ),
        ]
      : [
          ...lines.map((i) => set(splats[i]!, inputAt(i))),
          ...vectors.flatMap((v) => [
            set(weight, weightAt(v)),
            ...lines.map((i) =>
              set(sums[i]![v]!, madd(get(splats[i]!), get(weight), get(sums[i]![v]!))),
            ),
          ]),
        ]
  return [
    loop(panel, columns / tile.columns, [
      ...lines.flatMap((i) => vectors.map((v) => set(sums[i]![v]!, load(biasAt(v))))),
      loop(k, depth, body),
      ...lines.flatMap((i) =>
        vectors.map((v) =>
          store(
            moved(p.to, (first + i) * p.resultBytes + v * 16, {
              [row]: p.resultBytes,
              [panel]: tile.columns * 4,
            }),
            get(sums[i]![v]!),
          ),
        ),
      ),
    ]),
  ]
}
