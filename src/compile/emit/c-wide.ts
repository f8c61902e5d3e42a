// Vectors of eight in generated C: one register where there is AVX, else two vectors of four.
import type { Helper } from './c-vectors.ts'

/** A function in both forms. */
type Wide = Pick<Helper, 'type' | 'parameters'> & {
  readonly whole: string
  readonly halves: string
}

const same = (name: string, sign: string): [string, Wide] => [
  `vf8_${name}`,
  {
    type: 'vf8',
    parameters: 'vf8 a, vf8 b',
    whole: `return a ${sign} b;`,
    halves: `return (vf8){vf4_${name}(a.low, b.low), vf4_${name}(a.high, b.high)};`,
  },
]
// As in the narrow forms: the second operand unless the first is strictly beyond.
const extreme = (name: string): [string, Wide] => [
  `vf8_${name}`,
  {
    type: 'vf8',
    parameters: 'vf8 a, vf8 b',
    whole: `return _mm256_${name}_ps(b, a);`,
    halves: `return (vf8){vf4_${name}(a.low, b.low), vf4_${name}(a.high, b.high)};`,
  },
]

const helpers = new Map<string, Wide>([
  [
    'vf8_load',
    {
      type: 'vf8',
      parameters: 'const unsigned char *p',
      whole: 'vf8 r;\n  memcpy(&r, p, 32);\n  return r;',
      halves: 'return (vf8){vf4_load(p), vf4_load(p + 16)};',
    },
  ],
  [
    'vf8_store',
    {
      type: 'void',
      parameters: 'unsigned char *p, vf8 x',
      whole: 'memcpy(p, &x, 32);',
      halves: 'vf4_store(p, x.low);\n  vf4_store(p + 16, x.high);',
    },
  ],
  [
    'vf8_splat',
    {
      type: 'vf8',
      parameters: 'float x',
      whole: 'return (vf8){x, x, x, x, x, x, x, x};',
      halves: 'return (vf8){vf4_splat(x), vf4_splat(x)};',
    },
  ],
  [
    'vf8_load_splat',
    {
      type: 'vf8',
      parameters: 'const unsigned char *p',
      whole: 'float x;\n  memcpy(&x, p, 4);\n  return (vf8){x, x, x, x, x, x, x, x};',
      halves: 'const vf4 x = vf4_load_splat(p);\n  return (vf8){x, x};',
    },
  ],
  [
    'vf8_low',
    {
      type: 'vf4',
      parameters: 'vf8 x',
      whole: 'return _mm256_castps256_ps128(x);',
      halves: 'return x.low;',
    },
  ],
  [
    'vf8_high',
    {
      type: 'vf4',
      parameters: 'vf8 x',
      whole: 'return _mm256_extractf128_ps(x, 1);',
      halves: 'return x.high;',
    },
  ],
  same('add', '+'),
  same('sub', '-'),
  same('mul', '*'),
  same('div', '/'),
  extreme('min'),
  extreme('max'),
  [
    'vf8_madd',
    {
      type: 'vf8',
      parameters: 'vf8 a, vf8 b, vf8 c',
      whole: `
#if TERSOR_FMA && defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif`,
      halves: 'return (vf8){vf4_madd(a.low, b.low, c.low), vf4_madd(a.high, b.high, c.high)};',
    },
  ],
])

/** Functions on vectors of four that those on eight need: the two halves. */
export function narrowNeeds(used: ReadonlySet<string>): string[] {
  return [...used]
    .filter((name) => helpers.has(name) && !/_(low|high)$/.test(name))
    .map((name) => name.replace('vf8', 'vf4'))
}

/** Returns the definitions of the functions on vectors of eight among those named. */
export function cWide(used: ReadonlySet<string>): string {
  const chosen = [...helpers].filter(([name]) => used.has(name))
  if (chosen.length === 0) return ''
  const part = (which: 'whole' | 'halves') =>
    chosen
      .map(
        ([name, helper]) =>
          `TERSOR_INLINE ${helper.type} ${name}(${helper.parameters}) {\n  ${helper[which]}\n}`,
      )
      .join('\n')
  return `#if defined(TERSOR_VECTORS) && defined(__AVX__)

typedef float vf8 __attribute__((vector_size(32)));
${part('whole')}

#else

typedef struct { vf4 low, high; } vf8;
${part('halves')}

#endif
`
}
