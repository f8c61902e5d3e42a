// The little of the zip format that .npz needs: stored and deflated entries, zip64 sizes.
import { inflateRawSync } from 'node:zlib'
import { DataError } from '../../util/errors.ts'

/** An entry; `read` unpacks it. */
export interface ZipEntry {
  readonly name: string
  read(): Uint8Array
}

/** Lists the entries of a zip archive. Throws DataError when it is malformed. */
export function readZip(bytes: Buffer, file: string): ZipEntry[] {
  const wrong = (reason: string) =>
    new DataError(`"${file}" cannot be read as an archive: ${reason}`)
  const end = bytes.lastIndexOf('PK\x05\x06', undefined, 'latin1')
  if (end < 0 || end + 22 > bytes.length) throw wrong('it has no directory; is it truncated?')
  const entries: ZipEntry[] = []
  let at = bytes.readUInt32LE(end + 16)
  for (let i = 0; i < bytes.readUInt16LE(end + 10); i++) {
    if (at + 46 > end || bytes.readUInt32LE(at) !== 0x02014b50)
      throw wrong('its directory is damaged')
    const method = bytes.readUInt16LE(at + 10)
    const nameLength = bytes.readUInt16LE(at + 28)
    const extraLength = bytes.readUInt16LE(at + 30)
    const name = bytes.toString('utf8', at + 46, at + 46 + nameLength)
    const extra = bytes.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength)
    const sizes = wideSizes(extra, {
      unpacked: bytes.readUInt32LE(at + 24),
      packed: bytes.readUInt32LE(at + 20),
      offset: bytes.readUInt32LE(at + 42),
    })
    entries.push({ name, read: () => unpack(bytes, { ...sizes, method, name }, wrong) })
    at += 46 + nameLength + extraLength + bytes.readUInt16LE(at + 32)
  }
  return entries
}

interface Sizes {
  readonly unpacked: number
  readonly packed: number
  readonly offset: number
}

function unpack(
  bytes: Buffer,
  { offset, packed, unpacked, method, name }: Sizes & { method: number; name: string },
  wrong: (reason: string) => DataError,
): Uint8Array {
  if (offset + 30 > bytes.length) throw wrong(`"${name}" lies outside the file`)
  const start = offset + 30 + bytes.readUInt16LE(offset + 26) + bytes.readUInt16LE(offset + 28)
  if (start + packed > bytes.length) throw wrong(`"${name}" lies outside the file`)
  const body = bytes.subarray(start, start + packed)
  if (method === 0) return body
  if (method !== 8)
    throw wrong(`"${name}" is packed with method ${method}; expected stored or deflate`)
  try {
    // The limit keeps a hostile archive from unpacking into more than it declares.
    return inflateRawSync(body, { maxOutputLength: Math.max(1, unpacked) })
  } catch (error) {
    throw wrong(`"${name}": ${(error as Error).message}`)
  }
}

/** numpy writes zip64 fields; each is present where the plain field is all ones. */
function wideSizes(extra: Buffer, plain: Sizes): Sizes {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue
    let field = at + 4
    const widen = (value: number) => {
      if (value !== 0xffffffff || field + 8 > extra.length) return value
      const wide = Number(extra.readBigUInt64LE(field))
      field += 8
      return wide
    }
    const unpacked = widen(plain.unpacked)
    const packed = widen(plain.packed)
    return { unpacked, packed, offset: widen(plain.offset) }
  }
  return plain
}
