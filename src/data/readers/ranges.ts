// Reads fixed-size records from files without loading them.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { DataError } from '../../util/errors.ts'

/** Records of equal size, in one or more files. */
export interface Records {
  readonly length: number
  /** Returns a record's bytes, freshly allocated. */
  read(index: number): Uint8Array
  close(): void
}

/** Opens files that hold records of `size` bytes each. Throws DataError when one is not a whole number of records. */
export function openRecords(paths: readonly string[], size: number): Records {
  const files: { descriptor: number; first: number; count: number }[] = []
  let length = 0
  const close = () => {
    for (const { descriptor } of files.splice(0)) closeSync(descriptor)
  }
  for (const path of paths) {
    const descriptor = openSync(path, 'r')
    const bytes = fstatSync(descriptor).size
    const count = bytes / size
    files.push({ descriptor, first: length, count })
    if (!Number.isInteger(count) || count === 0) {
      close()
      throw new DataError(
        `"${basename(path)}" has ${bytes} bytes; expected a whole number of records of ${size} bytes`,
      )
    }
    length += count
  }
  const read = (index: number): Uint8Array => {
    const file = files.findLast(({ first }) => first <= index)
    const record = new Uint8Array(size)
    const position = (index - (file?.first ?? 0)) * size
    const found = file === undefined ? 0 : readSync(file.descriptor, record, 0, size, position)
    if (found !== size) throw new DataError(`Cannot read record ${index} of ${length}`)
    return record
  }
  return { length, read, close }
}
