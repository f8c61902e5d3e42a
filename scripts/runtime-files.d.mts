/** Returns the contents of the files that a page fetches of @tersor/runtime for a plain bundle. */
export function runtimeFiles(): Promise<Uint8Array[]>
