// Runs every example, each in its own process and an empty folder; an example that fails or prints nothing fails the check.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { files, finish, root } from './files.mjs'

const findings = []
const examples = files('examples/*.ts')
const loader = pathToFileURL(join(root, 'node_modules/tsx/dist/loader.mjs')).href
for (const path of examples) {
  const folder = mkdtempSync(join(tmpdir(), 'tersor-example-'))
  try {
    const output = execFileSync(process.execPath, [`--import=${loader}`, join(root, path)], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 120_000,
    })
    if (output.trim() === '') findings.push(`${path} printed nothing`)
  } catch (error) {
    findings.push(`${path} failed:\n${error.stderr || error.message}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
finish(findings, `${examples.length} examples`)
