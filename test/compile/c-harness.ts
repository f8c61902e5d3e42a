// Builds generated C with the compilers of this machine and runs it on bytes.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CSource } from '../../src/compile/emit/c.ts'

/** C compilers found here, each once. */
export const compilers = ['cc', 'clang'].filter(
  (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
)
if (compilers.length === 0) console.log('C: skipped, there is no cc')

/** Warnings are errors; multiply-adds round as written. */
const strict = ['-std=c99', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-ffp-contract=off']

/** How to build. */
export interface BuildOptions {
  readonly compiler?: string
  /** Further flags, such as `-DTERSOR_SCALAR`. */
  readonly flags?: readonly string[]
  /** A main of its own instead of the one that maps standard input to standard output. */
  readonly main?: string
}

/** A built program, in a folder of its own. */
export interface Built {
  /** Feeds bytes to the inputs, one after another, runs, and returns the bytes of the outputs. */
  run(input: Uint8Array): Uint8Array
  remove(): void
}

/** Compiles a model's C with a main around it. Throws with the compiler's words. */
export function buildC(source: CSource, options: BuildOptions = {}): Built {
  const { compiler = compilers[0] ?? 'cc', flags = [] } = options
  const folder = mkdtempSync(join(tmpdir(), 'tersor-c-'))
  const { name } = source
  writeFileSync(join(folder, `${name}.c`), source.source)
  writeFileSync(join(folder, `${name}.h`), source.header)
  writeFileSync(join(folder, 'driver.c'), options.main ?? filter(source))
  if (source.weights) writeFileSync(join(folder, `${name}.bin`), source.weights)
  const files = ['driver.c', `${name}.c`]
  const args = [...strict, '-O1', ...flags, ...files, '-o', 'program', '-lm']
  const made = spawnSync(compiler, args, { cwd: folder, encoding: 'utf8' })
  if (made.status !== 0) {
    rmSync(folder, { recursive: true })
    throw new Error(`${compiler} ${args.join(' ')}:\n${made.stderr}`)
  }
  return {
    run: (input) =>
      new Uint8Array(
        execFileSync(join(folder, 'program'), { cwd: folder, input, maxBuffer: 2 ** 28 }),
      ),
    remove: () => rmSync(folder, { recursive: true }),
  }
}

// Reads all inputs from standard input, runs twice (a run must not spoil the next), writes all outputs.
function filter({ name, weights }: CSource): string {
  const upper = name.toUpperCase()
  const bytes = weights === undefined ? '' : ', bytes, sizeof bytes'
  return `#include <stdio.h>
#include "${name}.h"
static unsigned char arena[${upper}_ARENA_BYTES + 8];
${weights === undefined ? '' : `static unsigned char bytes[${upper}_WEIGHT_BYTES];`}
int main(void) {
  ${name} model;
  unsigned char *const place = arena + 4 - (size_t)arena % 4;
  ${weights === undefined ? '' : `FILE *f = fopen("${name}.bin", "rb");\n  if (f == NULL || fread(bytes, 1, sizeof bytes, f) != sizeof bytes) return 2;\n  fclose(f);`}
  if (${name}_init(&model, place, ${upper}_ARENA_BYTES - 1${bytes}) == 0) return 3;
  if (${name}_init(&model, place, ${upper}_ARENA_BYTES${bytes}) != 0) return 4;
  for (int i = 0; i < ${upper}_INPUT_COUNT; i++) {
    const size_t count = ${name}_describe_input(i)->count;
    if (fread(${name}_get_input(&model, i), 4, count, stdin) != count) return 5;
  }
  ${name}_run(&model);
  ${name}_run(&model);
  for (int i = 0; i < ${upper}_OUTPUT_COUNT; i++)
    fwrite(${name}_get_output(&model, i), 4, ${name}_describe_output(i)->count, stdout);
  return 0;
}
`
}
