#!/usr/bin/env node
// The `tersor` command: hands the words of the shell to the program.
import { commands } from './commands/index.ts'
import { exitCodes } from './exit.ts'
import { runProgram } from './program.ts'
import { packageVersion } from './version.ts'

// The first Ctrl-C asks a long run to stop at its next checkpoint and keep the best; the second ends.
const stop = new AbortController()
process.on('SIGINT', () => {
  if (stop.signal.aborted) process.exit(exitCodes.interrupted)
  stop.abort()
  process.stderr.write('\nstopping at the next checkpoint; Ctrl-C again ends at once\n')
})
process.exitCode = await runProgram(commands, process.argv.slice(2), {
  version: packageVersion(),
  signal: stop.signal,
})
