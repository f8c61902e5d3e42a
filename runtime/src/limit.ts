// A worker that must answer in time: what runs for ever is ended.
import { BundleError, InputError } from './errors.ts'
import type { Remote } from './remote.ts'

/**
 * Returns a worker that is stopped where it gives no sign of life for so long: an answer, or weights
 * that arrive. The question then ends in a BundleError. Throws InputError for no time at all.
 */
export function limited(remote: Remote, timeoutMs: number): Remote {
  if (!(timeoutMs > 0)) {
    remote.stop()
    throw new InputError(`Cannot load the bundle with timeoutMs ${timeoutMs}: expected more than 0`)
  }
  return {
    stop: remote.stop,
    ask: (question, heard) =>
      new Promise((resolve, reject) => {
        const end = () => {
          reject(
            new BundleError(
              `Cannot ${question.kind} the bundle: no sign of life for ${timeoutMs} ms, its worker was stopped`,
            ),
          )
          remote.stop()
        }
        let timer = setTimeout(end, timeoutMs)
        const again = (...progress: [number, number]) => {
          clearTimeout(timer)
          timer = setTimeout(end, timeoutMs)
          heard?.(...progress)
        }
        remote
          .ask(question, again)
          .then(resolve, reject)
          .finally(() => clearTimeout(timer))
      }),
  }
}
