// The engine on onnxruntime-web (WASM): what a page gets; runs everywhere, in Node too.
import type { Engine } from './engine.ts'
import { startEngine } from './remote.ts'

/** Starts onnxruntime-web in a worker thread, single-threaded unless asked otherwise. */
export function createOrtWeb({ threads = 1 }: { threads?: number } = {}): Promise<Engine> {
  return startEngine('ort-web', { runtime: 'onnxruntime-web', threads })
}
