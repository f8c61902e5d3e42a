// The vector types of generated C and the functions on them, written out as far as a file uses them.
//
// With gcc or clang a type is a native vector; `TERSOR_SCALAR` or another compiler makes it four
// numbers in a struct. Every function computes bit for bit what its WebAssembly instruction does.
import type { TileExpr, VectorType } from '../tile/nodes.ts'
import { invariant } from '../../util/errors.ts'
import { type Helper, helpers } from './c-vectors.ts'
import { cWide, narrowNeeds } from './c-wide.ts'

/** C's name of a vector type. */
export function cType(type: VectorType): 'vf4' | 'vi4' {
  return type === 'f32x4' ? 'vf4' : 'vi4'
}

/** Returns the name of the function that computes an operation of an expression. */
export function cFunctionOf(e: TileExpr, type: VectorType): string {
  const prefix = cType(type)
  switch (e.kind) {
    case 'get':
      throw new Error('internal: a register is no function')
    case 'splat':
      return `${prefix}_splat`
    case 'load':
      return `${prefix}_load`
    case 'loadSplat':
      return `${prefix}_load_splat`
    case 'loadPart':
      return `${prefix}_load${e.count}`
    case 'unary':
      return `${cType(e.type)}_${e.f}`
    case 'binary':
      return `${cType(e.type)}_${e.f}`
    case 'madd':
      return 'vf4_madd'
    case 'select':
      return `${prefix}_select`
    case 'convert':
      return `${prefix}_${e.how === 'numeric' ? 'convert' : 'bits'}`
    case 'shuffle':
      return `${prefix}_shuffle`
    default:
      return e satisfies never
  }
}

/** Returns the definitions of the named functions and of what they need, in order. */
export function cPrelude(used: ReadonlySet<string>): string {
  const wanted = new Set<string>()
  const want = (name: string) => {
    if (wanted.has(name)) return
    wanted.add(name)
    const found = helpers.get(name)
    invariant(found !== undefined, `no C for "${name}"`)
    for (const other of found.needs ?? []) want(other)
  }
  for (const name of [...used, ...narrowNeeds(used)]) if (!name.startsWith('vf8')) want(name)
  const chosen = [...helpers].filter(([name]) => wanted.has(name))
  const part = (which: 'vector' | 'scalar') =>
    chosen.map(([name, helper]) => define(name, helper, which)).join('\n')
  return `${HEAD}\n${part('vector')}\n\n#else\n\n${SCALAR_TYPES}\n${part('scalar')}\n\n#endif\n\n${cWide(used)}`
}

const HEAD = `#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
#if defined(__GNUC__)
#define TERSOR_INLINE static inline __attribute__((unused))
#else
#define TERSOR_INLINE static inline
#endif

#if !defined(TERSOR_SCALAR) && (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 9))

#define TERSOR_VECTORS
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef float vf4 __attribute__((vector_size(16)));
typedef int32_t vi4 __attribute__((vector_size(16)));
typedef uint32_t vu4 __attribute__((vector_size(16)));
`

const SCALAR_TYPES = `typedef struct { float v[4]; } vf4;
typedef struct { int32_t v[4]; } vi4;
`

function define(name: string, helper: Helper, which: 'vector' | 'scalar'): string {
  const { type, parameters, vector, scalar } = helper
  if (which === 'vector' && vector.startsWith('#')) return vector
  const body =
    which === 'vector'
      ? vector
      : typeof scalar === 'string'
        ? scalar
        : `${type} r;\n  for (int i = 0; i < 4; i++) r.v[i] = ${scalar.lane};\n  return r;`
  return `TERSOR_INLINE ${type} ${name}(${parameters}) {\n  ${body}\n}`
}
