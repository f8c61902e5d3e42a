// Picks the engine: native where its optional package loads, WASM otherwise, and says why.
import { OptionError } from '../util/errors.ts'
import type { Engine } from './engine.ts'
import { createOrtNode } from './ort-node.ts'
import { createOrtWeb } from './ort-web.ts'

/** How an engine is chosen. */
export interface EngineOptions {
  /** Default: `ort-node` where onnxruntime-node loads, else `ort-web`. */
  readonly name?: Engine['name']
  /** Default: all cores on `ort-node`, 1 on `ort-web`. */
  readonly threads?: number
  /** Told in one sentence when the default falls back to `ort-web`. */
  readonly onFallback?: (reason: string) => void
}

/**
 * Starts an engine. Close it when done.
 * @example
 * const engine = await createEngine({ threads: 2 })
 * const session = await engine.session(model)
 * const { logits } = await session.run({ image })
 * await engine.close()
 */
export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const { name, threads, onFallback } = options
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1))
    throw new OptionError(`threads must be a whole number of at least 1, found ${threads}`)
  const settings = threads === undefined ? {} : { threads }
  switch (name) {
    case 'ort-node':
      return createOrtNode(settings)
    case 'ort-web':
      return createOrtWeb(settings)
    case undefined:
      try {
        return await createOrtNode(settings)
      } catch (error) {
        onFallback?.(
          `onnxruntime-node does not load here (${(error as Error).message}); using ort-web`,
        )
        return createOrtWeb(settings)
      }
    default:
      throw new OptionError(`Unknown engine "${name satisfies never}"; use ort-node or ort-web`)
  }
}
