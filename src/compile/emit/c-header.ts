// The public face of a model in C: its header.
import type { BoundValue } from '@tersor/runtime/format'
import { commentText, stringLiteral } from './c-names.ts'

/** An input or output, and where it lies. */
export interface CValue extends BoundValue {
  readonly identifier: string
  readonly region: 'arena' | 'weights'
  /** Bytes from the start of its region. */
  readonly offset: number
}

/** What the header declares. */
export interface CInterface {
  /** Prefix of public names. */
  readonly name: string
  /** The model's own name. */
  readonly model: string
  readonly inputs: readonly CValue[]
  readonly outputs: readonly CValue[]
  readonly arenaBytes: number
  readonly weightBytes: number
  readonly weights: 'source' | 'file'
  /** Some inputs are what the last run left. */
  readonly hasState: boolean
}

/** Writes the header: sizes, init, run, a pointer per input and output, and tables of them. */
export function cHeader(face: CInterface): string {
  const { name, inputs, outputs } = face
  const upper = name.toUpperCase()
  const external = face.weights === 'file'
  return `/* ${commentText(face.model)}: written by tersor.
 *
 *   ${name} model;
 *   if (${name}_init(&model, NULL, 0${external ? ', weights, weight_bytes' : ''}) != 0) return 1;
 *   fill ${list(inputs, name, 'input')}
 *   ${name}_run(&model);
 *   read ${list(outputs, name, 'output')}
 *
 * Values are row-major. ${
   face.hasState
     ? 'Inputs that are state are what the last run left, zero before the first; the others stay'
     : 'Inputs stay'
 } as they are; outputs are valid until the next run. */
#ifndef ${upper}_H
#define ${upper}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(TERSOR_ALIGN)
#define TERSOR_ALIGN __attribute__((aligned(64)))
#elif !defined(TERSOR_ALIGN)
#define TERSOR_ALIGN
#endif

/* Bytes of working memory; aligned to 64 it is fastest, any multiple of 4 works. */
#define ${upper}_ARENA_BYTES ((size_t)${face.arenaBytes})
/* Bytes of constants${external ? ', as in the weights file: four-byte little-endian words' : ''}. */
#define ${upper}_WEIGHT_BYTES ((size_t)${face.weightBytes})

/* One instance; threads that run at once need one each, with an arena of its own. */
typedef struct ${name} {
  unsigned char *arena;
  const unsigned char *weights;
} ${name};

#ifndef TERSOR_VALUE
#define TERSOR_VALUE
/* An input or output: its name, its type in the model, its shape, and how it lies in memory. */
typedef struct tersor_value {
  const char *name;
  const char *dtype;
  /* 'f' float, 'i' int32_t; narrower integers and truth values lie as float, int64 as int32_t. */
  char storage;
  int rank;
  const long *shape;
  size_t count;
} tersor_value;
#endif

#define ${upper}_INPUT_COUNT ${inputs.length}
#define ${upper}_OUTPUT_COUNT ${outputs.length}

/* Binds memory and clears it: ${upper}_ARENA_BYTES at \`arena\`, or a static block when it is NULL
 * (one instance only; absent if compiled with -DTERSOR_NO_STATIC_ARENA).${
   external ? ' The weights must outlive the model.' : ''
 }
 * Returns 0, or 1 when the arena is too small or missing${external ? ', 2 when the weights have another size' : ''}. */
int ${name}_init(${name} *model, void *arena, size_t arena_bytes${external ? ',\n    const void *weights, size_t weight_bytes' : ''});

/* Computes the outputs from the inputs. */
void ${name}_run(${name} *model);
${face.hasState ? `\n/* Sets all state to zero: the next run starts a new sequence. */\nvoid ${name}_reset(${name} *model);\n` : ''}
${inputs.map((value) => accessor(value, name, 'input')).join('\n')}
${outputs.map((value) => accessor(value, name, 'output')).join('\n')}

/* The same by number, with a description. */
${byNumber(name, 'input')}
${byNumber(name, 'output')}

#ifdef __cplusplus
}
#endif

#endif
`
}

/** Writes the definitions of what the header declares beside init and run. */
export function cAccessors({ name, inputs, outputs }: CInterface): string {
  const both = [
    ...inputs.map((value) => ({ value, role: 'input' as const })),
    ...outputs.map((value) => ({ value, role: 'output' as const })),
  ]
  const parts = both.map(
    ({ value, role }) => `${signature(value, name, role)} {
  return (${elementPointer(value, role)})(model->${value.region} + ${value.offset});
}`,
  )
  for (const [role, values] of [
    ['input', inputs],
    ['output', outputs],
  ] as const) {
    values.forEach(({ shape }, i) => {
      parts.push(
        `static const long ${role}_shape_${i}[] = {${shape.length > 0 ? shape.join(', ') : '1'}};`,
      )
    })
    const rows = values.map(
      (value, i) =>
        `  {${stringLiteral(value.name)}, "${value.dtype}", '${value.storage === 'float32' ? 'f' : 'i'}', ${value.shape.length}, ${role}_shape_${i}, ${countOf(value)}}`,
    )
    parts.push(`static const tersor_value ${role}_values[] = {
${rows.length > 0 ? rows.join(',\n') : '  {"", "", 0, 0, NULL, 0}'}
};`)
    const pointers = values.map(
      (value, i) => `  if (index == ${i}) return ${name}_${role}_${value.identifier}(model);`,
    )
    const pointer = role === 'input' ? 'void *' : 'const void *'
    const model = role === 'input' ? name : `const ${name}`
    parts.push(`const tersor_value *${name}_describe_${role}(int index) {
  return index >= 0 && index < ${values.length} ? &${role}_values[index] : NULL;
}`)
    parts.push(`${pointer}${name}_get_${role}(${model} *model, int index) {
${pointers.join('\n')}
  (void)model;
  (void)index;
  return NULL;
}`)
  }
  return parts.join('\n\n')
}

type Role = 'input' | 'output'

function elementPointer({ storage }: CValue, role: Role): string {
  const element = storage === 'float32' ? 'float' : 'int32_t'
  return role === 'input' ? `${element} *` : `const ${element} *`
}

function signature(value: CValue, name: string, role: Role): string {
  const model = role === 'input' ? name : `const ${name}`
  return `${elementPointer(value, role)}${name}_${role}_${value.identifier}(${model} *model)`
}

function accessor(value: CValue, name: string, role: Role): string {
  const shape = commentText(`${role} "${value.name}": ${value.dtype}[${value.shape}]`)
  const count = `${name}_${role}_${value.identifier}`.toUpperCase()
  return `/* ${shape} */
#define ${count}_COUNT ${countOf(value)}
${signature(value, name, role)};`
}

function byNumber(name: string, role: Role): string {
  const [pointer, model] = role === 'input' ? ['void *', name] : ['const void *', `const ${name}`]
  return `const tersor_value *${name}_describe_${role}(int index);
${pointer}${name}_get_${role}(${model} *model, int index);`
}

function list(values: readonly CValue[], name: string, role: Role): string {
  return commentText(
    values
      .map((value) => `${name}_${role}_${value.identifier}(&model)[0 .. ${countOf(value) - 1}]`)
      .join(', '),
  )
}

function countOf({ shape }: CValue): number {
  return shape.reduce((product, size) => product * size, 1)
}
