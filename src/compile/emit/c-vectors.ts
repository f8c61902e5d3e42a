// The functions on vectors that generated C may call, each with native vectors and with structs.

/** A function in both forms. */
export interface Helper {
  readonly needs?: readonly string[]
  /** Result type. */
  readonly type: string
  /** Parameters, as declared. */
  readonly parameters: string
  /** Body with native vectors; a macro's replacement if it starts with `#`. */
  readonly vector: string
  /** Body with structs, or an expression for lane `i` of the result. */
  readonly scalar: string | { readonly lane: string }
}

/** Every function by name, in an order in which what others need comes first. */
export const helpers = new Map<string, Helper>()

function memory(): void {
  const integer = 'int32_t x;\n  memcpy(&x, p, 4);\n  return x;'
  helpers.set('i32_at', {
    type: 'int32_t',
    parameters: 'const unsigned char *p',
    vector: integer,
    scalar: integer,
  })
  for (const [type, element] of [
    ['vf4', 'float'],
    ['vi4', 'int32_t'],
  ] as const) {
    const whole = `${type} r;\n  memcpy(&r, p, 16);\n  return r;`
    const from = 'const unsigned char *p'
    helpers.set(`${type}_load`, { type, parameters: from, vector: whole, scalar: whole })
    const one = `${element} x;\n  memcpy(&x, p, 4);\n  `
    const lanes = (count: number) =>
      [0, 1, 2, 3].map((i) => (i < count ? `x[${i}]` : '0')).join(', ')
    helpers.set(`${type}_load_splat`, {
      type,
      parameters: from,
      vector: `${one}return (${type}){x, x, x, x};`,
      scalar: `${one}return (${type}){{x, x, x, x}};`,
    })
    for (const count of [1, 2, 3]) {
      const read = `${element} x[${count}];\n  memcpy(x, p, ${count * 4});\n  `
      helpers.set(`${type}_load${count}`, {
        type,
        parameters: from,
        vector: `${read}return (${type}){${lanes(count)}};`,
        scalar: `${read}return (${type}){{${lanes(count)}}};`,
      })
    }
    helpers.set(`${type}_store`, {
      type: 'void',
      parameters: `unsigned char *p, ${type} x`,
      vector: 'memcpy(p, &x, 16);',
      scalar: 'memcpy(p, &x, 16);',
    })
    for (const count of [1, 2, 3]) {
      const values = (lane: (i: number) => string) =>
        `const ${element} y[${count}] = {${[0, 1, 2].slice(0, count).map(lane).join(', ')}};\n  memcpy(p, y, ${count * 4});`
      helpers.set(`${type}_store${count}`, {
        type: 'void',
        parameters: `unsigned char *p, ${type} x`,
        vector: values((i) => `x[${i}]`),
        scalar: values((i) => `x.v[${i}]`),
      })
    }
    helpers.set(`${type}_splat`, {
      type,
      parameters: `${element} x`,
      vector: `return (${type}){x, x, x, x};`,
      scalar: `return (${type}){{x, x, x, x}};`,
    })
  }
}

function arithmetic(): void {
  const binary = (name: string, vector: string, lane: string) =>
    helpers.set(`vf4_${name}`, {
      type: 'vf4',
      parameters: 'vf4 a, vf4 b',
      vector: `return ${vector};`,
      scalar: { lane },
    })
  for (const [name, sign] of Object.entries({ add: '+', sub: '-', mul: '*', div: '/' }))
    binary(name, `a ${sign} b`, `a.v[i] ${sign} b.v[i]`)
  // The hardware's minimum and maximum return the second operand unless the first is strictly beyond.
  for (const [name, test] of [
    ['min', 'b.v[i] < a.v[i]'],
    ['max', 'a.v[i] < b.v[i]'],
  ] as const) {
    const compare = name === 'min' ? 'b < a' : 'a < b'
    helpers.set(`vf4_${name}`, {
      needs: ['vf4_select'],
      type: 'vf4',
      parameters: 'vf4 a, vf4 b',
      vector: `#if defined(__SSE2__)
TERSOR_INLINE vf4 vf4_${name}(vf4 a, vf4 b) {
  return _mm_${name}_ps(b, a);
}
#else
TERSOR_INLINE vf4 vf4_${name}(vf4 a, vf4 b) {
  return vf4_select(${compare}, b, a);
}
#endif`,
      scalar: { lane: `${test} ? b.v[i] : a.v[i]` },
    })
  }
  const integer = (name: string, vector: string, lane: string, parameters = 'vi4 a, vi4 b') =>
    helpers.set(`vi4_${name}`, {
      type: 'vi4',
      parameters,
      vector: `return ${vector};`,
      scalar: { lane },
    })
  // Unsigned, because signed overflow is undefined in C and wraps in WebAssembly.
  for (const [name, sign] of Object.entries({ add: '+', sub: '-', mul: '*' }))
    integer(
      name,
      `(vi4)((vu4)a ${sign} (vu4)b)`,
      `(int32_t)((uint32_t)a.v[i] ${sign} (uint32_t)b.v[i])`,
    )
  integer('shl', '(vi4)((vu4)a << n)', '(int32_t)((uint32_t)a.v[i] << n)', 'vi4 a, int n')
  integer('shr', 'a >> n', 'a.v[i] >> n', 'vi4 a, int n')
  for (const [name, sign] of Object.entries({ min: '<', max: '>' }))
    helpers.set(`vi4_${name}`, {
      needs: ['vi4_select'],
      type: 'vi4',
      parameters: 'vi4 a, vi4 b',
      vector: `return vi4_select(a ${sign} b, a, b);`,
      scalar: { lane: `a.v[i] ${sign} b.v[i] ? a.v[i] : b.v[i]` },
    })
  const unary = 'vi4 a'
  integer('neg', '(vi4)(0u - (vu4)a)', '(int32_t)(0u - (uint32_t)a.v[i])', unary)
  integer('not', '~a', '~a.v[i]', unary)
  helpers.set('vi4_abs', {
    needs: ['vi4_neg', 'vi4_select'],
    type: 'vi4',
    parameters: unary,
    vector: 'return vi4_select(a < 0, vi4_neg(a), a);',
    scalar: { lane: 'a.v[i] < 0 ? (int32_t)(0u - (uint32_t)a.v[i]) : a.v[i]' },
  })
  for (const [name, sign] of Object.entries({ lt: '<', le: '<=', gt: '>', ge: '>=', eq: '==' }))
    for (const type of ['vf4', 'vi4'])
      helpers.set(`${type}_${name}`, {
        type: 'vi4',
        parameters: `${type} a, ${type} b`,
        vector: `return a ${sign} b;`,
        scalar: { lane: `a.v[i] ${sign} b.v[i] ? -1 : 0` },
      })
  for (const [name, sign] of Object.entries({ and: '&', or: '|' })) {
    integer(name, `a ${sign} b`, `a.v[i] ${sign} b.v[i]`)
    const both = `return vf4_bits(vi4_${name}(vi4_bits(a), vi4_bits(b)));`
    helpers.set(`vf4_${name}`, {
      needs: [`vi4_${name}`, 'vi4_bits', 'vf4_bits'],
      type: 'vf4',
      parameters: 'vf4 a, vf4 b',
      vector: both,
      scalar: both,
    })
  }
}

function choices(): void {
  helpers.set('vf4_bits', {
    type: 'vf4',
    parameters: 'vi4 a',
    vector: 'return (vf4)a;',
    scalar: 'vf4 r;\n  memcpy(&r, &a, 16);\n  return r;',
  })
  helpers.set('vi4_bits', {
    type: 'vi4',
    parameters: 'vf4 a',
    vector: 'return (vi4)a;',
    scalar: 'vi4 r;\n  memcpy(&r, &a, 16);\n  return r;',
  })
  helpers.set('vi4_select', {
    type: 'vi4',
    parameters: 'vi4 mask, vi4 a, vi4 b',
    vector: 'return (a & mask) | (b & ~mask);',
    scalar: { lane: '(a.v[i] & mask.v[i]) | (b.v[i] & ~mask.v[i])' },
  })
  const throughBits = 'return vf4_bits(vi4_select(mask, vi4_bits(a), vi4_bits(b)));'
  helpers.set('vf4_select', {
    needs: ['vi4_select', 'vi4_bits', 'vf4_bits'],
    type: 'vf4',
    parameters: 'vi4 mask, vf4 a, vf4 b',
    vector: throughBits,
    scalar: throughBits,
  })
  for (const type of ['vf4', 'vi4'])
    helpers.set(`${type}_shuffle`, {
      type,
      parameters: `${type} a, ${type} b, int i0, int i1, int i2, int i3`,
      vector: `#if defined(__clang__)
#define ${type}_shuffle(a, b, i0, i1, i2, i3) __builtin_shufflevector(a, b, i0, i1, i2, i3)
#else
#define ${type}_shuffle(a, b, i0, i1, i2, i3) __builtin_shuffle(a, b, (vi4){i0, i1, i2, i3})
#endif`,
      scalar: `const int n[4] = {i0, i1, i2, i3};
  ${type} r;
  for (int i = 0; i < 4; i++) r.v[i] = n[i] < 4 ? a.v[n[i]] : b.v[n[i] - 4];
  return r;`,
    })
}

function rounding(): void {
  helpers.set('vf4_madd', {
    type: 'vf4',
    parameters: 'vf4 a, vf4 b, vf4 c',
    vector: `#if TERSOR_FMA && defined(__FMA__)
TERSOR_INLINE vf4 vf4_madd(vf4 a, vf4 b, vf4 c) {
  return _mm_fmadd_ps(a, b, c);
}
#elif TERSOR_FMA && defined(__aarch64__)
TERSOR_INLINE vf4 vf4_madd(vf4 a, vf4 b, vf4 c) {
  return vfmaq_f32(c, a, b);
}
#else
TERSOR_INLINE vf4 vf4_madd(vf4 a, vf4 b, vf4 c) {
  return a * b + c;
}
#endif`,
    scalar: { lane: 'a.v[i] * b.v[i] + c.v[i]' },
  })
  helpers.set('vf4_neg', {
    type: 'vf4',
    parameters: 'vf4 a',
    vector: 'return -a;',
    scalar: { lane: '-a.v[i]' },
  })
  helpers.set('vf4_not', {
    needs: ['vi4_not', 'vi4_bits', 'vf4_bits'],
    type: 'vf4',
    parameters: 'vf4 a',
    vector: 'return vf4_bits(vi4_not(vi4_bits(a)));',
    scalar: 'return vf4_bits(vi4_not(vi4_bits(a)));',
  })
  helpers.set('vf4_abs', {
    type: 'vf4',
    parameters: 'vf4 a',
    vector: 'return (vf4)((vi4)a & 0x7fffffff);',
    scalar: { lane: 'fabsf(a.v[i])' },
  })
  helpers.set('vf4_sqrt', {
    type: 'vf4',
    parameters: 'vf4 a',
    vector: `#if defined(__SSE2__)
TERSOR_INLINE vf4 vf4_sqrt(vf4 a) {
  return _mm_sqrt_ps(a);
}
#elif defined(__aarch64__)
TERSOR_INLINE vf4 vf4_sqrt(vf4 a) {
  return vsqrtq_f32(a);
}
#else
TERSOR_INLINE vf4 vf4_sqrt(vf4 a) {
  return (vf4){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])};
}
#endif`,
    scalar: { lane: 'sqrtf(a.v[i])' },
  })
  helpers.set('vf4_convert', {
    type: 'vf4',
    parameters: 'vi4 a',
    vector: 'return __builtin_convertvector(a, vf4);',
    scalar: { lane: '(float)a.v[i]' },
  })
  // Saturating, and NaN gives 0: only what is in range is converted, for the rest C defines nothing.
  helpers.set('vi4_convert', {
    needs: ['vi4_select'],
    type: 'vi4',
    parameters: 'vf4 a',
    vector: `const vi4 above = a >= 2147483648.0f;
  const vi4 inside = (a >= -2147483648.0f) & ~above;
  const vi4 low = (a < -2147483648.0f) & (vi4){INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN};
  const vi4 r = __builtin_convertvector((vf4)((vi4)a & inside), vi4);
  return r | low | (above & 0x7fffffff);`,
    scalar: {
      lane: `a.v[i] >= 2147483648.0f ? INT32_MAX
           : a.v[i] >= -2147483648.0f ? (int32_t)a.v[i]
           : a.v[i] < -2147483648.0f ? INT32_MIN : 0`,
    },
  })
  // From 2^23 on every float is whole. The sign is kept, so that -0.5 rounds up to -0.
  const rounded = (adjust: string) => `const vi4 sign = (vi4)a & INT32_MIN;
  const vi4 small = (vf4)((vi4)a & 0x7fffffff) < 8388608.0f;
  const vf4 whole = __builtin_convertvector(__builtin_convertvector((vf4)((vi4)a & small), vi4), vf4);
  ${adjust}
  return vf4_select(small, (vf4)((vi4)r | sign), a);`
  const one = '(vf4){1, 1, 1, 1}'
  const adjusts: Record<string, [vector: string, scalar: string]> = {
    trunc: ['const vf4 r = whole;', 'truncf'],
    floor: [`const vf4 r = whole - (vf4)((whole > a) & (vi4)${one});`, 'floorf'],
    ceil: [`const vf4 r = whole + (vf4)((whole < a) & (vi4)${one});`, 'ceilf'],
  }
  for (const [name, [adjust, call]] of Object.entries(adjusts))
    helpers.set(`vf4_${name}`, {
      needs: ['vf4_select'],
      type: 'vf4',
      parameters: 'vf4 a',
      vector: rounded(adjust),
      scalar: { lane: `${call}(a.v[i])` },
    })
  helpers.set('vf4_nearest', {
    needs: ['vf4_select'],
    type: 'vf4',
    parameters: 'vf4 a',
    vector: `const vi4 sign = (vi4)a & INT32_MIN;
  const vf4 size = (vf4)((vi4)a & 0x7fffffff);
  const vf4 r = (size + 8388608.0f) - 8388608.0f;
  return vf4_select(size < 8388608.0f, (vf4)((vi4)r | sign), a);`,
    scalar: { lane: 'nearbyintf(a.v[i])' },
  })
}

choices()
memory()
arithmetic()
rounding()
