// The errors of the runtime.

/** The bundle is malformed, truncated or altered, or its version is unknown. */
export class BundleError extends Error {
  override name = 'BundleError'
}

/** The caller's input does not fit the model. */
export class InputError extends Error {
  override name = 'InputError'
}
