// C sources → files. Node only.
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { OptionError } from '../../util/errors.ts'
import { type CInput, type COptions, emitC } from './c.ts'

/** Files that were written, with their sizes. */
export interface WrittenC {
  /** The C file; the header, and the weights if they are a file, lie beside it. */
  readonly path: string
  readonly header: string
  readonly weights?: string
  readonly sizeBytes: number
}

/**
 * Writes a compiled model as `path` (which ends in `.c`), the header beside it, and with
 * `weights: 'file'` a `.bin`. The name of the file is the prefix of every public name. Each file
 * appears complete or not at all.
 */
export async function writeC(
  compiled: CInput,
  path: string,
  options: Omit<COptions, 'name'> = {},
): Promise<WrittenC> {
  if (extname(path) !== '.c')
    throw new OptionError(`Cannot write C to "${path}": expected a file that ends in .c`)
  const folder = dirname(resolve(path))
  const stem = basename(path, '.c')
  const made = emitC(compiled, { ...options, name: stem })
  if (made.name !== stem)
    throw new OptionError(
      `Cannot write C to "${path}": public names start with the name of the file; call it "${made.name}.c"`,
    )
  await mkdir(folder, { recursive: true })
  const header = join(folder, `${stem}.h`)
  const weights = join(folder, `${stem}.bin`)
  const files: [string, string | Uint8Array][] = [
    [join(folder, `${stem}.c`), made.source],
    [header, made.header],
    ...(made.weights ? ([[weights, made.weights]] as [string, Uint8Array][]) : []),
  ]
  let sizeBytes = 0
  for (const [file, content] of files) {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
    sizeBytes += bytes.length
    await writeWhole(file, bytes)
  }
  return { path: files[0]![0], header, ...(made.weights && { weights }), sizeBytes }
}

async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    await writeFile(temporary, bytes)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}
