// Instructions of the program → C: calls, copies, branches, loops.
import { CompileError, invariant } from '../../util/errors.ts'
import type { Instruction } from '../program.ts'
import type { CFunction } from './c-function.ts'

/** Where an address lies in C: a pointer and a number of bytes. */
export type Place = (address: number) => { readonly base: string; readonly offset: number }

/** Returns the lines of instructions. Throws CompileError where one calls the host. */
export function emitCInstructions(
  run: readonly Instruction[],
  {
    functions,
    place,
  }: {
    readonly functions: ReadonlyMap<string, CFunction & { readonly name: string }>
    readonly place: Place
  },
): string[] {
  const at = (address: number) => {
    const { base, offset } = place(address)
    return `${base} + ${offset}`
  }
  const word = (address: number) => `tersor_word(${at(address)})`
  let depth = 1
  const line = (text: string) => `${'  '.repeat(depth)}${text}`
  return run.flatMap((step): string[] => {
    switch (step.kind) {
      case 'call': {
        const fn = functions.get(step.function)
        invariant(fn !== undefined, `no function "${step.function}" to call`)
        const args = step.args.map((address, i) => {
          invariant(
            place(address).base === 'a' || !fn.writes.has(i),
            `${fn.name} writes to constants`,
          )
          return at(address)
        })
        return [line(`${fn.name}(${args.join(', ')});`)]
      }
      case 'clear':
        return [line(`memset(${at(step.address)}, 0, ${step.bytes});`)]
      case 'copy': {
        const { from, to, bytes, row } = step
        if (row === undefined) return [line(`memmove(${at(to)}, ${at(from)}, ${bytes});`)]
        const index = `tersor_row(${word(row.index)}, ${row.rows})`
        const place = (address: number, stride: number, step: number) =>
          `${at(address)} + r * ${stride} + i * ${step}`
        const [source, target] = [
          place(from, row.fromStride, row.fromStep),
          place(to, row.toStride, row.toStep),
        ]
        return [
          line(`for (long i = 0, r = ${index}; i < ${row.count}; ++i)`),
          line(`  memmove(${target}, ${source}, ${bytes});`),
        ]
      }
      case 'if':
        depth++
        return [`${'  '.repeat(depth - 1)}if (${word(step.condition)} != 0) {`]
      case 'else':
        return [`${'  '.repeat(depth - 1)}} else {`]
      case 'loop': {
        const { trips, counter, go } = step
        const isGoing = go === undefined ? '' : ` && ${word(go)} != 0`
        const i = `i${depth}`
        depth++
        return [
          `${'  '.repeat(depth - 1)}for (int32_t ${i} = 0; ${i} < ${word(trips)}${isGoing}; ++${i}) {`,
          line(`memcpy(${at(counter)}, &${i}, 4);`),
        ]
      }
      case 'end':
        depth--
        return [line('}')]
      case 'host':
        throw new CompileError(
          'Cannot write C: the model has operations that only a host computes; compile it for wasm',
        )
      default:
        return step satisfies never
    }
  })
}

/** What instructions other than calls need: reading a number, and keeping a row inside those there are. */
export const C_CONTROL = `static int32_t tersor_word(const unsigned char *p) {
  int32_t x;
  memcpy(&x, p, 4);
  return x;
}

static long tersor_row(int32_t row, long rows) {
  long at = row < 0 ? row + rows : row;
  if (at < 0) at = 0;
  return at < rows ? at : rows - 1;
}
`

/** True where C_CONTROL is needed. */
export function usesControl(run: readonly Instruction[]): boolean {
  return run.some(({ kind, ...rest }) => kind === 'if' || kind === 'loop' || 'row' in rest)
}
