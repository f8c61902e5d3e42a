// Builds the runtime, the library, the command, and the report page.
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'vite'
import { root } from './files.mjs'

const tsc = join(root, 'node_modules/typescript/bin/tsc')
execFileSync(process.execPath, [tsc, '--build'], { cwd: root, stdio: 'inherit' })
chmodSync(join(root, 'dist/cli/main.js'), 0o755)
linkCommand()

await build({
  configFile: join(root, 'studio/vite.config.ts'),
  root: join(root, 'studio'),
  logLevel: 'warn',
})
mkdirSync(join(root, 'dist/report'), { recursive: true })
copyFileSync(join(root, 'studio/dist/index.html'), join(root, 'dist/report/page.html'))

// npm links the commands of dependencies, not the root's own: with this, `npx tersor` works in a clone.
function linkCommand() {
  const folder = join(root, 'node_modules/.bin')
  if (process.platform === 'win32' || !existsSync(folder)) return
  const link = join(folder, 'tersor')
  rmSync(link, { force: true })
  symlinkSync('../../dist/cli/main.js', link)
}
