// The engine on onnxruntime-node: native speed, an optional package.
import { availableParallelism } from 'node:os'
import type { Engine } from './engine.ts'
import { startEngine } from './remote.ts'

/** Starts onnxruntime-node in a worker thread; `threads` defaults to the cores there are. Throws when the package cannot load. */
export function createOrtNode({ threads }: { threads?: number } = {}): Promise<Engine> {
  return startEngine('ort-node', {
    runtime: 'onnxruntime-node',
    threads: threads ?? availableParallelism(),
  })
}
