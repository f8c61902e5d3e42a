// Command: one entry of the command line, declared as data plus a few lines over the library.
import { number, type OptionSet, type OptionsOf, option, toggle } from '../util/options.ts'
import type { Terminal } from './terminal.ts'

/** Options every command has. */
export const commonOptions = {
  seed: option(number({ integer: true }).default(0), 'N', 'seed of everything random'),
  json: toggle('print one JSON document to stdout'),
} satisfies OptionSet

/** A positional argument. */
export interface ArgumentSpec {
  /** As help shows it: `MODEL`. */
  readonly name: string
  readonly help: string
  readonly optional?: boolean
  /** Takes all remaining words. */
  readonly variadic?: boolean
}

/** A command; `run` returns the exit code. */
export interface CommandSpec<Set extends OptionSet = OptionSet> {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  readonly arguments: readonly ArgumentSpec[]
  readonly options: Set
  /** A command line that works, shown by `--help`. */
  readonly example: string
  run(
    words: readonly string[],
    options: OptionsOf<Set & typeof commonOptions>,
    terminal: Terminal,
  ): Promise<number>
}

/** Declares a command; the options' types reach `run`. */
export function defineCommand<const Set extends OptionSet>(spec: CommandSpec<Set>): CommandSpec {
  return spec
}
