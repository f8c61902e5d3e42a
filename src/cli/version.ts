// The version of this package, from its own manifest.
import { readFileSync } from 'node:fs'

/** Returns the version, such as `0.1.0`. */
export function packageVersion(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version // our own file, shipped beside
}
