// The commands, in the order help lists them; the first is the default.
import type { CommandSpec } from '../command.ts'
import { inspect } from './inspect.ts'

/** All commands. */
export const commands: readonly CommandSpec[] = [inspect]
