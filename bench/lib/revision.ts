// Which state of the code a result belongs to.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Returns the commit, marked where compiler or runtime differ from it; undefined without git. */
export function revision(): string | undefined {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  try {
    const isChanged = git('status', '--porcelain', '--', 'src', 'runtime') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${isChanged ? ' with changes' : ''}`
  } catch {
    return undefined
  }
}
