// Compiled → files: a folder with manifest, code and weights, or one single file. Node only.
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import {
  hasRelaxedSimd,
  MANIFEST_FILE,
  type Manifest,
  packSingleFile,
} from '@tersor/runtime/format'
import type { Compiled } from './compile.ts'

/** Files that were written, with their sizes. */
export interface WrittenBundle {
  readonly path: string
  readonly sizeBytes: number
}

/** Writes a bundle folder. It appears complete or not at all; a bundle already there is replaced. */
export async function writeBundle(compiled: Compiled, folder: string): Promise<WrittenBundle> {
  const { manifest, code, relaxed, weights } = compiled
  const target = resolve(folder)
  const temporary = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`)
  const text = new TextEncoder().encode(manifestText(manifest))
  await rm(temporary, { recursive: true, force: true })
  await mkdir(temporary, { recursive: true })
  try {
    await writeFile(join(temporary, manifest.code.file), code)
    if (relaxed && manifest.relaxed)
      await writeFile(join(temporary, manifest.relaxed.file), relaxed)
    await writeFile(join(temporary, manifest.weights.file), weights)
    await writeFile(join(temporary, MANIFEST_FILE), text)
    await rm(target, { recursive: true, force: true })
    await rename(temporary, target)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error
  }
  const sizeBytes = text.length + code.length + (relaxed?.length ?? 0) + weights.length
  return { path: target, sizeBytes }
}

// Readable, with a line for each segment of the weights.
function manifestText(manifest: Manifest): string {
  const lines = manifest.weights.segments.map((segment) => `      ${JSON.stringify(segment)}`)
  const weights = { ...manifest.weights, segments: '@' }
  const text = JSON.stringify({ ...manifest, weights }, null, 2)
  return `${text.replace('"@"', () => (lines.length > 0 ? `[\n${lines.join(',\n')}\n    ]` : '[]'))}\n`
}

/** Returns a bundle as one file, for `load` or to be written as `name.tersor`. */
export function singleFile(compiled: Compiled): Uint8Array<ArrayBuffer> {
  return packSingleFile(compiled)
}

/** Returns the code that the runtime chooses in this engine. */
export function codeHere({ code, relaxed }: Compiled): Uint8Array {
  return relaxed && hasRelaxedSimd() ? relaxed : code
}

/** Writes a bundle as one file, under a temporary name first. */
export async function writeSingleFile(compiled: Compiled, path: string): Promise<WrittenBundle> {
  const bytes = singleFile(compiled)
  const target = resolve(path)
  const temporary = `${target}.${process.pid}.tmp`
  await mkdir(dirname(target), { recursive: true })
  try {
    await writeFile(temporary, bytes)
    await rename(temporary, target)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  return { path: target, sizeBytes: bytes.length }
}
