// Compiled model → one C99 file and its header, without dependencies: the same kernels, natively.
import type { BoundValue, BundleState, Manifest } from '@tersor/runtime/format'
import { CompileError } from '../../util/errors.ts'
import type { PlacedProgram } from '../place.ts'
import { C_CONTROL, emitCInstructions, type Place, usesControl } from './c-control.ts'
import type { TileFunction } from '../tile/nodes.ts'
import { type CFunction, emitCFunction } from './c-function.ts'
import { cAccessors, cHeader, type CInterface, type CValue } from './c-header.ts'
import { commentText, identifier, uniqueIdentifiers } from './c-names.ts'
import { cPrelude } from './c-prelude.ts'

/** How C is written. */
export interface COptions {
  /** Prefix of every public name and of the files; by default the model's name. */
  readonly name?: string
  /** `source`: weights are arrays in the C file. `file`: the caller passes them at init. */
  readonly weights?: 'source' | 'file'
  /** Multiply-add with one rounding where the processor has it; `-DTERSOR_FMA=0` or `1` overrides. */
  readonly fma?: boolean
}

/** The files of a model in C. */
export interface CSource {
  /** Prefix of every public name. */
  readonly name: string
  readonly header: string
  readonly source: string
  /** Contents of the weights file, where the weights are not in the source. Little-endian. */
  readonly weights?: Uint8Array
}

/** Parts of a compiled model that C is written from. */
export interface CInput {
  readonly manifest: Pick<
    Manifest,
    'name' | 'inputs' | 'outputs' | 'memoryBytes' | 'state' | 'sizes' | 'further'
  >
  readonly program: PlacedProgram
}

/**
 * Writes a compiled model as C99: `NAME.h` with init, run and a pointer per input and output, and
 * `NAME.c` with every kernel. Bit for bit what the WebAssembly module computes, unless `fma`.
 *
 * @example
 * const { header, source } = emitC(compile(model), { name: 'resnet20' })
 */
export function emitC({ manifest, program }: CInput, options: COptions = {}): CSource {
  const { weights = 'source', fma = false } = options
  if (manifest.further !== undefined)
    throw new CompileError(
      'Cannot write C: it has one entry; compile each entry to a file of its own',
    )
  if (manifest.sizes !== undefined)
    throw new CompileError('Cannot write C: its sizes are fixed; bind them with --bind or --batch')
  const name = identifier(options.name ?? manifest.name)
  const arenaAddress = manifest.memoryBytes - program.arenaBytes
  const values = (list: readonly BoundValue[]): CValue[] => {
    const names = uniqueIdentifiers(list.map((value) => value.name))
    return list.map((value, i) => ({
      ...value,
      identifier: names[i]!,
      ...(value.address >= arenaAddress
        ? { region: 'arena', offset: value.address - arenaAddress }
        : { region: 'weights', offset: value.address - program.constantsAddress }),
    }))
  }
  const face: CInterface = {
    name,
    model: manifest.name,
    inputs: values(manifest.inputs),
    outputs: values(manifest.outputs),
    arenaBytes: Math.max(64, program.arenaBytes),
    weightBytes: program.constants.length,
    weights,
    hasState: manifest.state !== undefined,
  }
  for (const { name: input, region } of face.inputs)
    if (region !== 'arena')
      throw new CompileError(`Cannot write C: the input "${input}" is constant`)
  const place = (address: number) =>
    address >= arenaAddress
      ? { base: 'a', offset: address - arenaAddress }
      : { base: 'w', offset: address - program.constantsAddress }
  const { functions, calls } = writeProgram(program, place)
  const uses = new Set([...functions.values()].flatMap((fn) => [...fn.uses]))
  const source = [
    `/* ${commentText(manifest.name)}: written by tersor. Compile with -O3 -march=native -std=c99, link with -lm. */`,
    `#include "${name}.h"`,
    '#include <math.h>',
    '#include <string.h>',
    '',
    '/* 1: multiply-add with one rounding where the processor has it; 0: with two, as in WebAssembly. */',
    '#ifndef TERSOR_FMA',
    `#define TERSOR_FMA ${fma ? 1 : 0}`,
    '#endif',
    '',
    cPrelude(uses),
    ...(usesControl(program.entries[0]!.run) ? [C_CONTROL] : []),
    ...[...functions.values()].map((fn) => `${fn.text}\n`),
    ...(weights === 'source' ? [weightsArray(program.constants), ''] : []),
    staticArena(face.arenaBytes),
    '',
    ...initFunction(face),
    '',
    cAccessors(face),
    '',
    `void ${name}_run(${name} *model) {`,
    '  unsigned char *const a = model->arena;',
    '  const unsigned char *const w = model->weights;',
    ...calls,
    ...(manifest.state ?? []).flatMap((state) => keepState(state, face)),
    '  (void)a;',
    '  (void)w;',
    '}',
    ...(manifest.state ? ['', ...resetFunction(manifest.state, face)] : []),
    '',
  ].join('\n')
  return {
    name,
    header: cHeader(face),
    source,
    ...(weights === 'file' && { weights: program.constants }),
  }
}

function writeProgram(
  program: PlacedProgram,
  place: Place,
): { functions: ReadonlyMap<TileFunction, CFunction & { name: string }>; calls: string[] } {
  const functions = new Map<TileFunction, CFunction & { name: string }>()
  const used = [...new Set(program.steps.map((step) => step.function))]
  const names = uniqueIdentifiers(used.map((fn) => fn.name))
  used.forEach((fn, i) => {
    const name = `kernel_${names[i]!}`
    const steps = program.steps.filter((step) => step.function === fn)
    const nodes = steps.flatMap((step) => step.nodes)
    const comment = commentText(
      `${steps[0]!.kernel}${nodes.length > 0 ? `: ${listed(nodes)}` : ''}`,
    )
    functions.set(fn, { ...emitCFunction(fn, name, comment), name })
  })
  const byName = new Map([...functions].map(([{ name }, fn]) => [name, fn]))
  const calls = emitCInstructions(program.entries[0]!.run, { functions: byName, place })
  return { functions, calls }
}

// What the next run reads; an output that lies where the input does is there already.
function keepState({ input, output }: BundleState, { inputs, outputs }: CInterface): string[] {
  const to = inputs.find((value) => value.name === input)!
  const from = outputs.find((value) => value.name === output)!
  if (from.region === to.region && from.offset === to.offset) return []
  const source = `${from.region === 'arena' ? 'a' : 'w'} + ${from.offset}`
  return [`  memmove(a + ${to.offset}, ${source}, ${bytesOf(to)});`]
}

function resetFunction(state: readonly BundleState[], { name, inputs }: CInterface): string[] {
  return [
    `void ${name}_reset(${name} *model) {`,
    ...state.map(({ input }) => {
      const value = inputs.find((each) => each.name === input)!
      return `  memset(model->arena + ${value.offset}, 0, ${bytesOf(value)});`
    }),
    '}',
  ]
}

function bytesOf({ shape }: CValue): number {
  return shape.reduce((product, size) => product * size, 4)
}

function listed(names: readonly string[]): string {
  const first = names.slice(0, 3).join(', ')
  return names.length > 3 ? `${first} and ${names.length - 3} more` : first
}

// Words instead of bytes: shorter, aligned, and in the byte order of the machine that reads them.
function weightsArray(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = Math.ceil(bytes.length / 4)
  if (count === 0) return 'static const uint32_t weights_data[1] = {0};'
  const lines: string[] = []
  for (let start = 0; start < count; start += 8) {
    const words: string[] = []
    for (let i = start; i < Math.min(count, start + 8); i++)
      words.push(hexWord(view.getUint32(i * 4, true)))
    lines.push(`  ${words.join(',')}`)
  }
  return `static const uint32_t weights_data[${count}] TERSOR_ALIGN = {\n${lines.join(',\n')}\n};`
}

function hexWord(word: number): string {
  return word < 10 ? String(word) : `0x${word.toString(16)}`
}

function staticArena(bytes: number): string {
  return `#ifndef TERSOR_NO_STATIC_ARENA
static union { float f[${bytes / 4}]; int32_t i[${bytes / 4}]; unsigned char b[${bytes}]; } arena_data TERSOR_ALIGN;
#endif`
}

function initFunction({ name, weights }: CInterface): string[] {
  const upper = name.toUpperCase()
  const external = weights === 'file'
  return [
    `int ${name}_init(${name} *model, void *arena, size_t arena_bytes${external ? ', const void *weights, size_t weight_bytes' : ''}) {`,
    '  if (arena == NULL) {',
    '#ifdef TERSOR_NO_STATIC_ARENA',
    '    return 1;',
    '#else',
    '    arena = arena_data.b;',
    '    arena_bytes = sizeof arena_data.b;',
    '#endif',
    '  }',
    `  if (arena_bytes < ${upper}_ARENA_BYTES) return 1;`,
    ...(external
      ? [
          `  if (weights == NULL || weight_bytes != ${upper}_WEIGHT_BYTES) return 2;`,
          '  model->weights = (const unsigned char *)weights;',
        ]
      : ['  model->weights = (const unsigned char *)weights_data;']),
    '  model->arena = (unsigned char *)arena;',
    `  memset(model->arena, 0, ${upper}_ARENA_BYTES);`,
    '  return 0;',
    '}',
  ]
}
