// Target: where a model is to run, and how a model is prepared and timed there.

/** Runtimes a model can be measured on. */
export type TargetName = 'wasm' | 'ort-node' | 'ort-web'

/** All targets, in the order reports list them. */
export const targetNames: readonly TargetName[] = ['wasm', 'ort-web', 'ort-node']

/**
 * Milliseconds that a single layer runs uncounted: enough for V8 to compile a kernel with its optimising
 * tier; native code needs only its caches.
 */
export const layerWarmupMs: Readonly<Record<TargetName, number>> = {
  wasm: 25,
  'ort-web': 25,
  'ort-node': 5,
}
