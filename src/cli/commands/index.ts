// The commands, in the order help lists them; the first is the default.
import type { CommandSpec } from '../command.ts'
import { bench } from './bench.ts'
import { compile } from './compile.ts'
import { compress } from './compress.ts'
import { demo } from './demo.ts'
import { evaluate } from './eval.ts'
import { inspect } from './inspect.ts'
import { simplify } from './simplify.ts'

/** All commands. */
export const commands: readonly CommandSpec[] = [
  compress,
  inspect,
  simplify,
  compile,
  bench,
  evaluate,
  demo,
]
