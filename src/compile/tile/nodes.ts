// Tile IR: the small loop language that kernels are written in. Frozen: additions are reviewed.

/** Register types: `f32x4` and `i32x4` are one 128-bit vector. */
export type VectorType = 'f32x4' | 'i32x4'

/** An address in bytes: a parameter, a constant, and a stride per enclosing loop variable. */
export interface Address {
  /** Index of the function's parameter that holds the base address. */
  readonly base: number
  readonly offset: number
  /** Loop name → bytes per unit of that loop's variable. */
  readonly strides: Readonly<Record<string, number>>
}

/**
 * Vector expressions. Registers are assigned by `set` and are local to the function. An expression
 * may be a DAG: within one statement a node reached twice is computed once.
 *
 * `min(a, b)` is `b < a ? b : a`, `max(a, b)` is `a < b ? b : a`: one instruction, and a NaN in `a`
 * stays NaN. Comparisons give masks of type `i32x4` whatever they compare. Shift counts are splats.
 */
export type TileExpr =
  | { readonly kind: 'get'; readonly register: string }
  | { readonly kind: 'splat'; readonly value: number; readonly type: VectorType }
  | { readonly kind: 'load'; readonly address: Address; readonly type: VectorType }
  /** One 32-bit element in all four lanes. */
  | { readonly kind: 'loadSplat'; readonly address: Address; readonly type: VectorType }
  /** `count` (1–3) elements in the low lanes, zeros above: reads no byte beyond them. */
  | {
      readonly kind: 'loadPart'
      readonly address: Address
      readonly count: 1 | 2 | 3
      readonly type: VectorType
    }
  | {
      readonly kind: 'unary'
      readonly f: 'neg' | 'abs' | 'sqrt' | 'floor' | 'ceil' | 'nearest' | 'trunc' | 'not'
      readonly x: TileExpr
      readonly type: VectorType
    }
  | {
      readonly kind: 'binary'
      readonly f:
        | 'add'
        | 'sub'
        | 'mul'
        | 'div'
        | 'min'
        | 'max'
        | 'lt'
        | 'le'
        | 'gt'
        | 'ge'
        | 'eq'
        | 'and'
        | 'or'
        | 'shl'
        | 'shr'
      readonly a: TileExpr
      readonly b: TileExpr
      readonly type: VectorType
    }
  /** a·b + c, fused or not as the target decides. */
  | { readonly kind: 'madd'; readonly a: TileExpr; readonly b: TileExpr; readonly c: TileExpr }
  /** Bitwise choice by a comparison's mask. */
  | { readonly kind: 'select'; readonly mask: TileExpr; readonly a: TileExpr; readonly b: TileExpr }
  /** Numeric conversion, or reinterpretation of the bits. */
  | {
      readonly kind: 'convert'
      readonly x: TileExpr
      readonly to: VectorType
      readonly how: 'numeric' | 'bits'
    }
  | {
      readonly kind: 'shuffle'
      readonly a: TileExpr
      readonly b: TileExpr
      readonly lanes: readonly [number, number, number, number]
    }

/** Statements. */
export type TileStatement =
  /** variable = 0, step, 2·step … below count; unrolled by the template, not here. */
  | {
      readonly kind: 'loop'
      readonly name: string
      readonly count: number
      readonly step: number
      readonly body: readonly TileStatement[]
      readonly parallel?: boolean
    }
  /**
   * A row of a table: entries from one number to another, both int32 that follow each other at `rows`.
   * `name` is the number of the entry. An entry takes `entryBytes` and begins with an int32 for each
   * of the variables `cursors`; entry 0 lies at `table`. The body is straight-line code. Without
   * `rows` the row is all `entries`: with one entry, what is stored where a table says.
   * Rows lie in 0…`entries` and cursors in `range`: promises about data, which `checkTables` keeps.
   */
  | {
      readonly kind: 'nnz'
      readonly name: string
      readonly cursors: readonly string[]
      readonly rows?: Address
      readonly table: Address
      readonly entryBytes: number
      readonly entries: number
      readonly range: readonly [low: number, high: number]
      readonly body: readonly TileLeaf[]
    }
  | {
      readonly kind: 'set'
      readonly register: string
      readonly type: VectorType
      readonly value: TileExpr
    }
  | {
      readonly kind: 'store'
      readonly address: Address
      readonly value: TileExpr
      readonly lanes: 1 | 2 | 3 | 4
    }

/** A statement that is no loop. */
export type TileLeaf = Extract<TileStatement, { kind: 'set' | 'store' }>

/** A kernel function: parameters are byte addresses; `extent[i]` bounds parameter i, in bytes. */
export interface TileFunction {
  readonly name: string
  readonly parameters: readonly string[]
  /** Bytes from each base that may be touched; the checker proves every access stays inside. */
  readonly extents: readonly number[]
  readonly body: readonly TileStatement[]
  /** The same computation where multiply-add is one instruction, if other tiles suit that better. */
  readonly relaxed?: readonly TileStatement[]
}
