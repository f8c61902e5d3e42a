// The command line: commander parses what the commands declare.
import { Command, CommanderError } from 'commander'
import colors from 'picocolors'
import { didYouMean, OptionError } from '../util/errors.ts'
import { flagsOf, parseOptions } from '../util/options.ts'
import { type CommandSpec, commonOptions } from './command.ts'
import { exitCodeOf, exitCodes, messageOf } from './exit.ts'
import { createTerminal } from './terminal.ts'

/** What a process hands to the command line. */
export interface ProgramContext {
  readonly version: string
  readonly signal: AbortSignal
}

/**
 * Runs the command line `words` (without node and script) and returns the exit code.
 * The first command is the default: `tersor MODEL` is `tersor compress MODEL`.
 */
export async function runProgram(
  commands: readonly CommandSpec[],
  words: readonly string[],
  context: ProgramContext,
): Promise<number> {
  let code: number = exitCodes.ok
  const program = new Command('tersor')
    .description('Make trained neural networks small and fast where JavaScript runs.')
    .version(context.version)
    .exitOverride()
    .showSuggestionAfterError(true)
    .configureOutput({ outputError: () => {} })
    .addHelpText('after', () => `\nExit codes:\n${exitText()}`)
  commands.forEach((spec, index) => {
    const command = program
      .command(spec.name, { isDefault: index === 0 })
      .description(spec.summary)
      .addHelpText('after', `\nExample:\n  ${spec.example}`)
      .exitOverride()
      .configureOutput({ outputError: () => {} })
    for (const { name, help, optional, variadic } of spec.arguments) {
      const word = variadic ? `${name}...` : name
      command.argument(optional ? `[${word}]` : `<${word}>`, help)
    }
    const set = { ...spec.options, ...commonOptions }
    for (const flag of flagsOf(set)) command.option(flag.usage, flag.help)
    command.action(async (...given: unknown[]) => {
      const raw = command.opts<Record<string, unknown>>()
      const options = parseOptions(set, raw)
      checkModelWord(spec, commands, command.args)
      const terminal = createTerminal(options.json, context.signal)
      try {
        code = await spec.run(
          given.slice(0, spec.arguments.length).flat() as string[],
          options,
          terminal,
        )
      } finally {
        terminal.finish()
      }
    })
  })
  try {
    await program.parseAsync(words, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return handleUsage(error, program)
    process.stderr.write(`${colors.red('tersor:')} ${messageOf(error)}\n`)
    return exitCodeOf(error)
  }
}

// `tersor inspekt model.onnx` reaches the default command with a word that is no file.
function checkModelWord(
  spec: CommandSpec,
  commands: readonly CommandSpec[],
  args: readonly string[],
): void {
  const first = args[0] ?? ''
  if (spec !== commands[0] || first.includes('.') || first.includes('/')) return
  const names = commands.map(({ name }) => name)
  const hint = didYouMean(first, names)
  if (hint !== '') throw new OptionError(`There is no command or model "${first}"${hint}`)
}

function handleUsage(error: CommanderError, program: Command): number {
  if (error.exitCode === 0) return exitCodes.ok // --help and --version have printed already
  if (error.code === 'commander.help') {
    program.outputHelp({ error: true })
    return exitCodes.usage
  }
  const text = error.message
    .replace(/^error: /, '')
    .replace(/\n\(Did you mean (.*?)\?\)$/, '; did you mean $1?')
  process.stderr.write(`${colors.red('tersor:')} ${text}\n`)
  return exitCodes.usage
}

function exitText(): string {
  return [
    '  0  done',
    '  1  a fault of Tersor itself',
    '  2  the command line is wrong',
    '  3  the model or the data cannot be used',
    '  4  the goal was missed; the best model found was written',
    '  130  stopped before there was a result',
  ].join('\n')
}
