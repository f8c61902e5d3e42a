// Run → one self-contained report.html: the built page with the record injected as data.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { invariant, OptionError } from '../util/errors.ts'
import type { Run } from './run.ts'

/** Where the page expects its data; the build leaves exactly one. */
const SLOT = '"__TERSOR_RUN__"'

/** Returns the report as one HTML document that loads nothing from anywhere. */
export function renderReport(run: Run, page: string = readPage()): string {
  return injectRun(page, run)
}

/** Returns the built page without its data. Throws OptionError where it was not built: ask before long work. */
export function readPage(path: string = fileURLToPath(pageUrl())): string {
  if (!existsSync(path))
    throw new OptionError(`Cannot write a report: its page "${path}" is missing; run npm run build`)
  return readFileSync(path, 'utf8')
}

/** Puts a run into a page; names in it cannot end the script element they travel in. */
export function injectRun(page: string, run: Run): string {
  const parts = page.split(SLOT)
  invariant(parts.length === 2, `the report page holds ${parts.length - 1} data slots instead of 1`)
  return parts.join(escapeForScript(JSON.stringify(run)))
}

/** JSON that stays inert inside a script element: no tag, comment or line separator survives. */
export function escapeForScript(json: string): string {
  return json.replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

// Beside the built file; when the sources run directly, where the build put it.
function pageUrl(): URL {
  return import.meta.url.endsWith('.ts')
    ? new URL('../../dist/report/page.html', import.meta.url)
    : new URL('./page.html', import.meta.url)
}
