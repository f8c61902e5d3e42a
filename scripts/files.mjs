// Lists the repository's own files: what git tracks or would track.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Paths relative to the root, tracked or new, not ignored, that exist. */
export function files(...patterns) {
  const listed = execFileSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', ...patterns],
    { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 },
  )
  const unique = [...new Set(listed.split('\0').filter(Boolean))].sort()
  return unique.filter((path) => existsSync(join(root, path)))
}

/** Text of a file relative to the root. */
export function read(path) {
  return readFileSync(join(root, path), 'utf8')
}

/** Prints findings and ends the process: exit code 1 when there are any. */
export function finish(findings, summary) {
  for (const finding of findings) console.error(finding)
  if (findings.length > 0) process.exit(1)
  console.log(summary)
}
