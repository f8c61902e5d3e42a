// Runs the instructions of a program on bytes: the oracle for what the emitters make of them.
import { invariant } from '../../util/errors.ts'
import type { Instruction } from '../program.ts'
import { type InterpretOptions, interpret } from './interpret.ts'
import type { TileFunction } from './nodes.ts'

/** What instructions refer to. */
export interface ProgramParts extends InterpretOptions {
  readonly functions: readonly TileFunction[]
  /** Called with the number of a host operation. */
  readonly host?: (call: number) => void
}

/** Runs a program once. Throws where a kernel touches what is not its own. */
export function interpretProgram(
  run: readonly Instruction[],
  memory: ArrayBuffer,
  { functions, host, ...options }: ProgramParts,
): void {
  const bytes = new Uint8Array(memory)
  const words = new DataView(memory)
  const word = (address: number) => words.getInt32(address, true)
  const byName = new Map(functions.map((fn) => [fn.name, fn]))
  const ends = closings(run)
  const from = (start: number, stop: number): void => {
    for (let i = start; i < stop; i++) {
      const step = run[i]!
      switch (step.kind) {
        case 'call': {
          const fn = byName.get(step.function)
          invariant(fn !== undefined, `no function "${step.function}" to call`)
          interpret(fn, memory, step.args, options)
          break
        }
        case 'clear':
          bytes.fill(0, step.address, step.address + step.bytes)
          break
        case 'copy':
          copy(bytes, step, word)
          break
        case 'if': {
          const { middle, end } = ends.get(i)!
          if (word(step.condition) !== 0) from(i + 1, middle ?? end)
          else if (middle !== undefined) from(middle + 1, end)
          i = end
          break
        }
        case 'loop': {
          const { end } = ends.get(i)!
          for (let turn = 0; ; turn++) {
            words.setInt32(step.counter, turn, true)
            if (turn >= word(step.trips) || (step.go !== undefined && word(step.go) === 0)) break
            from(i + 1, end)
          }
          i = end
          break
        }
        case 'host':
          invariant(host !== undefined, 'the program calls a host there is none of')
          host(step.call)
          break
        case 'else':
        case 'end':
          throw new Error('internal: a branch or loop is closed that was not opened')
        default:
          step satisfies never
      }
    }
  }
  from(0, run.length)
}

function copy(
  bytes: Uint8Array,
  { from, to, bytes: length, row }: Extract<Instruction, { kind: 'copy' }>,
  word: (address: number) => number,
): void {
  if (row === undefined) {
    bytes.copyWithin(to, from, from + length)
    return
  }
  const given = word(row.index)
  const at = Math.min(Math.max(given < 0 ? given + row.rows : given, 0), row.rows - 1)
  for (let i = 0; i < row.count; i++) {
    const source = from + at * row.fromStride + i * row.fromStep
    bytes.copyWithin(to + at * row.toStride + i * row.toStep, source, source + length)
  }
}

// Where every `if` and `loop` ends, and where its other side begins.
function closings(run: readonly Instruction[]) {
  const found = new Map<number, { middle?: number; end: number }>()
  const open: { start: number; middle?: number }[] = []
  run.forEach(({ kind }, i) => {
    if (kind === 'if' || kind === 'loop') open.push({ start: i })
    if (kind === 'else') open.at(-1)!.middle = i
    if (kind !== 'end') return
    const { start, ...sides } = open.pop()!
    found.set(start, { ...sides, end: i })
  })
  return found
}
