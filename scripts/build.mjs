// Builds the runtime, the library, the command, and the report page.
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'vite'
import { root } from './files.mjs'

const tsc = join(root, 'node_modules/typescript/bin/tsc')
execFileSync(process.execPath, [tsc, '--build'], { cwd: root, stdio: 'inherit' })
chmodSync(join(root, 'dist/cli/main.js'), 0o755)

await build({
  configFile: join(root, 'studio/vite.config.ts'),
  root: join(root, 'studio'),
  logLevel: 'warn',
})
mkdirSync(join(root, 'dist/report'), { recursive: true })
copyFileSync(join(root, 'studio/dist/index.html'), join(root, 'dist/report/page.html'))
