// Where the code runs, and what Node has for it.

/** True in Node and in runtimes that look like it. */
export const isNode = typeof process !== 'undefined' && process.versions?.node !== undefined

/** Most threads that share a run. */
export const MOST_THREADS = 16

/** Returns a built-in module of Node. Its name is put together here so that bundlers for the browser see none. */
export function nodeModule<T>(name: string): Promise<T> {
  return import(/* @vite-ignore */ /* webpackIgnore: true */ ['node', name].join(':'))
}
