// Vector functions → opcodes.
import type { TileExpr, VectorType } from '../tile/nodes.ts'
import { invariant } from '../../util/errors.ts'
import { simd } from './assembler.ts'

const unaryOpcodes = {
  f32x4: { abs: 0xe0, neg: 0xe1, sqrt: 0xe3, ceil: 0x67, floor: 0x68, trunc: 0x69, nearest: 0x6a },
  i32x4: { abs: 0xa0, neg: 0xa1 },
} as const

/** Opcode of a function of one vector; throws where the machine has none. */
export function unaryOpcode(
  f: Extract<TileExpr, { kind: 'unary' }>['f'],
  type: VectorType,
): number {
  if (f === 'not') return simd.not
  const opcode = (unaryOpcodes[type] as Partial<Record<string, number>>)[f]
  invariant(opcode !== undefined, `no ${f} on ${type}`)
  return opcode
}

// min and max are pmin and pmax: one instruction on x64, where the NaN-exact forms take five.
const binaryOpcodes = {
  f32x4: {
    add: 0xe4,
    sub: 0xe5,
    mul: 0xe6,
    div: 0xe7,
    min: 0xea,
    max: 0xeb,
    eq: 0x41,
    lt: 0x43,
    gt: 0x44,
    le: 0x45,
    ge: 0x46,
  },
  i32x4: {
    add: 0xae,
    sub: 0xb1,
    mul: 0xb5,
    min: 0xb6,
    max: 0xb8,
    eq: 0x37,
    lt: 0x39,
    gt: 0x3b,
    le: 0x3d,
    ge: 0x3f,
    shl: 0xab,
    shr: 0xac,
  },
} as const

/** Opcode of a function of two vectors; throws where the machine has none. */
export function binaryOpcode(
  f: Extract<TileExpr, { kind: 'binary' }>['f'],
  type: VectorType,
): number {
  if (f === 'and') return simd.and
  if (f === 'or') return simd.or
  const opcode = (binaryOpcodes[type] as Partial<Record<string, number>>)[f]
  invariant(opcode !== undefined, `no ${f} on ${type}`)
  return opcode
}
