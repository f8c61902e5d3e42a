// Builds the runtime, the library and the report page.
import { execFileSync } from 'node:child_process'

const run = (command, args) =>
  execFileSync(command, args, { stdio: 'inherit', shell: process.platform === 'win32' })

run('npx', ['tsc', '--build'])
