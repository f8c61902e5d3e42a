// Target: where a model is to run, and how a model is prepared and timed there.

/** Runtimes a model can be measured on. */
export type TargetName = 'wasm' | 'ort-node' | 'ort-web'

/** All targets, in the order reports list them. */
export const targetNames: readonly TargetName[] = ['wasm', 'ort-web', 'ort-node']
