// Names of what a command reads and writes.
import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { MANIFEST_FILE } from '@tersor/runtime/format'
import { OptionError } from '../util/errors.ts'

/** `models/resnet20.onnx` → `resnet20`. */
export function nameOf(path: string): string {
  return basename(path, extname(path))
}

/** True for a bundle folder or a single-file bundle. */
export function isBundle(path: string): boolean {
  return path.endsWith('.tersor') && isFile(path) ? true : existsSync(join(path, MANIFEST_FILE))
}

/** Throws OptionError when writing `out` would replace the input. */
export function checkOutput(out: string, input: string): void {
  if (existsSync(out) && existsSync(input) && realpathSync(out) === realpathSync(input))
    throw new OptionError(`Cannot write "${out}": it is the input, which stays as it is`)
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile()
}
