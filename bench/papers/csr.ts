// Sparse convolution as plain executors run it, to compare with: lists of columns and weights, one vector
// of pixels at a time, whatever the zeros have in common. And counts of what compiled loops execute.
import { emitModule } from '../../src/compile/emit/wasm.ts'
import { packTable, planTable, type TablePlan } from '../../src/compile/kernels/spmm-table.ts'
import {
  at,
  get,
  load,
  loadSplat,
  loop,
  madd,
  nnz,
  operandsOf,
  set,
  splat,
  store,
  tripsOf,
} from '../../src/compile/tile/build.ts'
import type {
  TileExpr,
  TileFunction,
  TileLeaf,
  TileStatement,
} from '../../src/compile/tile/nodes.ts'
import { type GroupWidth, groupings } from '../../src/ir/grouping.ts'
import type { SparseWeight } from '../../src/ir/sparsity.ts'
import { type Candidate, candidateOf } from '../../src/profile/measure.ts'
import { createRandom } from '../../src/util/random.ts'

/** Pixels of a side, a multiple of 4; kernels are 3 × 3 at stride 1 with a halo of one pixel. */
interface Layer {
  readonly weight: SparseWeight
  readonly side: number
}

/**
 * Returns the loops of CSR over padded planes: for each output, or group of outputs that share columns, and
 * for each four pixels all entries of its row. Parameters: planes, table, results.
 */
export function csrLoops({ weight, side }: Layer, width: GroupWidth): TileFunction {
  const plan = planTable(weight, groupings(weight)[width])
  const { padded, plane, bytes } = sizesOf({ weight, side })
  const section = plan.sections[0]!
  const { rows, start, entries, entryBytes, blocks, outputs } = section
  const members = Array.from({ length: width }, (_, i) => i)
  const pixel = { y: padded * 4, v: 16 }
  const result = (i: number, strides: Readonly<Record<string, number>>, first: number) =>
    store(at(2, first, { ...strides, y: side * 4, v: 16 }), get(`s${i}`)) as TileLeaf
  const body: TileStatement[] = [
    ...members.map((i) => set(`s${i}`, splat(0))),
    nnz({
      name: 'e',
      cursors: ['p'],
      rows: at(1, rows, { o: 4 }),
      table: at(1, start),
      entryBytes,
      entries,
      range: [0, placesOf({ weight, side })(weight.columns - 1)],
      body: [
        set('x', load(at(0, 0, { p: 1, ...pixel }))) as TileLeaf,
        ...members.flatMap((i) => [
          set(`w${i}`, loadSplat(at(1, start + 4 + i * 4, { e: entryBytes }))) as TileLeaf,
          set(`s${i}`, madd(get('x'), get(`w${i}`), get(`s${i}`))) as TileLeaf,
        ]),
      ],
    }),
    ...members.map((i) =>
      outputs === undefined
        ? result(i, { o: width * side ** 2 * 4 }, i * side ** 2 * 4)
        : nnz({
            name: 'i',
            cursors: ['q'],
            table: at(1, outputs + i * 4, { o: width * 4 }),
            entryBytes: 4,
            entries: 1,
            range: [0, weight.outputs - 1],
            body: [result(i, { q: side ** 2 * 4 }, 0)],
          }),
    ),
  ]
  return {
    name: `csr${width}`,
    parameters: ['x', 'table', 'y'],
    extents: [bytes, plan.bytes, weight.outputs * plane],
    body: [loop('o', blocks, [loop('y', side, [loop('v', side / 4, body)])])],
  }
}

/**
 * Returns CSR as WebAssembly and as JavaScript, to be timed; both leave padding to the caller. Throws where
 * their results differ.
 */
export function csrCandidates(layer: Layer, seed: number): readonly Candidate[] {
  const { weight, side } = layer
  const { bytes } = sizesOf(layer)
  const fn = csrLoops(layer, 1)
  const plan = planTable(weight, groupings(weight)[1])
  const [x, table, y] = [1024, 1024 + bytes, 1024 + bytes + Math.ceil(plan.bytes / 64) * 64]
  const pages = Math.ceil((y! + fn.extents[2]!) / 65536)
  const code = emitModule({
    functions: [fn],
    run: [{ kind: 'call', function: fn.name, args: [x!, table!, y!] }],
    memory: { kind: 'export', pages },
  })
  const instance = new WebAssembly.Instance(new WebAssembly.Module(code as BufferSource))
  const { memory, run } = instance.exports as { memory: WebAssembly.Memory; run: () => void }
  const random = createRandom(seed)
  const input = new Float32Array(memory.buffer, x, bytes / 4)
  for (let i = 0; i < input.length; i++) input[i] = random.normal()
  new Uint8Array(memory.buffer).set(packTable(plan, placesOf(layer)), table)
  const output = new Float32Array(weight.outputs * side ** 2)
  const plain = () => plainCsr(layer, { plan, input, output })
  run()
  plain()
  const compiled = new Float32Array(memory.buffer, y, output.length)
  const worst = output.reduce((most, value, i) => Math.max(most, Math.abs(value - compiled[i]!)), 0)
  if (!(worst <= 1e-4)) throw new Error(`CSR as WebAssembly is off by ${worst}`)
  return [candidateOf('CSR', run), candidateOf('CSR in JavaScript', plain)]
}

// The product as one writes it down: weight by weight, each over all pixels.
function plainCsr(
  layer: Layer,
  { plan, input, output }: { plan: TablePlan; input: Float32Array; output: Float32Array },
): void {
  const { side } = layer
  const padded = side + 2
  const { offset, columns, weights } = plan.lists[0]!
  const placeOf = placesOf(layer)
  const places = columns.map((column) => placeOf(column) / 4)
  output.fill(0)
  for (let row = 0; row + 1 < offset.length; row++) {
    const to = plan.order[row]! * side ** 2
    for (let e = offset[row]!; e < offset[row + 1]!; e++) {
      const [from, w] = [places[e]!, weights[e]!]
      for (let y = 0; y < side; y++)
        for (let x = 0; x < side; x++)
          output[to + y * side + x]! += w * input[from + y * padded + x]!
    }
  }
}

/** What loops execute: loads, each of a vector, a weight or a number of the table, and multiply-adds by lane. */
export interface Counts {
  readonly loads: number
  readonly macs: number
}

/** Returns how many loads and multiply-adds statements execute, from their text and the lengths of tables. */
export function countsOf(statements: readonly TileStatement[]): Counts {
  let [loads, macs] = [0, 0]
  const visit = (list: readonly TileStatement[], loops: ReadonlyMap<string, number>) => {
    const times = [...loops.values()].reduce((product, trips) => product * trips, 1)
    for (const s of list) {
      if (s.kind === 'loop') {
        visit(s.body, new Map([...loops, [s.name, tripsOf(s.count, s.step)]]))
      } else if (s.kind === 'nnz') {
        // The rows of one pass over the table hold all its entries together.
        const rows = Object.keys(s.rows?.strides ?? {})
        const passes = rows.reduce((all, name) => all / (loops.get(name) ?? 1), times)
        loads += (s.rows === undefined ? 0 : 2 * times) + passes * s.entries * s.cursors.length
        visit(s.body, new Map([['passes', passes * s.entries]]))
      } else {
        const found = [...nodesOf(s.value)]
        loads += times * found.filter(({ kind }) => kind.startsWith('load')).length
        macs += times * 4 * found.filter(({ kind }) => kind === 'madd').length
      }
    }
  }
  visit(statements, new Map())
  return { loads, macs }
}

// Every node of an expression once, as it is computed.
function nodesOf(root: TileExpr, found = new Set<TileExpr>()): Set<TileExpr> {
  if (found.has(root)) return found
  found.add(root)
  for (const operand of operandsOf(root)) nodesOf(operand, found)
  return found
}

function sizesOf({ weight, side }: Layer) {
  const padded = side + 2
  const channels = weight.columns / weight.taps
  return { padded, plane: side ** 2 * 4, bytes: channels * padded ** 2 * 4 }
}

// At which byte of the padded planes a column's element of pixel (0, 0) lies.
function placesOf({ side }: Layer): (column: number) => number {
  const padded = side + 2
  return (column) => {
    const tap = column % 9
    return 4 * (Math.floor(column / 9) * padded ** 2 + Math.floor(tap / 3) * padded + (tap % 3))
  }
}
