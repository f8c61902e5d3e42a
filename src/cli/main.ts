#!/usr/bin/env node
// The `tersor` command: hands the words of the shell to the program.
import { readFileSync } from 'node:fs'
import { commands } from './commands/index.ts'
import { exitCodes } from './exit.ts'
import { runProgram } from './program.ts'

const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
const { version } = JSON.parse(manifest) as { version: string }

// The first Ctrl-C asks a long run to stop at its next checkpoint and keep the best; the second ends.
const stop = new AbortController()
process.on('SIGINT', () => {
  if (stop.signal.aborted) process.exit(exitCodes.interrupted)
  stop.abort()
  process.stderr.write('\nstopping at the next checkpoint; Ctrl-C again ends at once\n')
})
process.exitCode = await runProgram(commands, process.argv.slice(2), {
  version,
  signal: stop.signal,
})
