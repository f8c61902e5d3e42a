// Whether this engine runs relaxed SIMD: our code is compiled for it where it does.

// f32x4.relaxed_madd of three parameters.
const MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0],
  ...[10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253, 133, 2, 11],
)

/** True when this engine runs relaxed SIMD: Node 22 and newer. */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(MODULE)
}
