// Bytes that arrive bit by bit: from a URL, from a file of Node, or from memory.
import { BundleError } from './errors.ts'
import { isNode } from './host.ts'

/** Bytes in their order. */
export interface Reader {
  /** Returns the next so many bytes; throws BundleError when there are fewer, or reading fails. */
  read(size: number): Promise<Uint8Array>
  /** Returns all that is left. */
  rest(): Promise<Uint8Array>
  /** Stops reading. */
  close(): void
}

/** Where the next bytes come from; none at the end. */
export interface Pipe {
  next(): Promise<Uint8Array | undefined>
  close?(): unknown
}

/** Opens a URL, or in Node a path. Throws BundleError when there is nothing. */
export async function openPlace(place: string): Promise<Reader> {
  const isUrl = /^(https?|data|blob):/.test(place) || !isNode
  try {
    return readerOf(
      place,
      await (isUrl ? fetched(place) : (await import('./files.ts')).openFile(place)),
    )
  } catch (error) {
    throw unreadable(place, error)
  }
}

/** Reads from memory; `name` is for errors. */
export function openBytes(name: string, bytes: Uint8Array): Reader {
  // A view of its own: buffers of Node slice without copying.
  let left: Uint8Array | undefined = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  return readerOf(name, {
    next: async () => {
      const found = left
      left = undefined
      return found
    },
  })
}

function readerOf(name: string, pipe: Pipe): Reader {
  let left: Uint8Array = new Uint8Array()
  let total = 0
  const pull = async () => {
    const piece = await pipe.next().catch((error: unknown) => {
      throw unreadable(name, error)
    })
    total += piece?.length ?? 0
    return piece
  }
  return {
    read: async (size) => {
      const pieces = [left]
      let found = left.length
      while (found < size) {
        const piece = await pull()
        if (piece === undefined)
          throw new BundleError(
            `Cannot load the bundle: "${name}" ends after ${total} bytes: it is truncated or of another bundle`,
          )
        pieces.push(piece)
        found += piece.length
      }
      const last = pieces.at(-1)!
      left = last.subarray(last.length - (found - size))
      pieces[pieces.length - 1] = last.subarray(0, last.length - (found - size))
      const filled = pieces.filter(({ length }) => length > 0)
      return filled.length === 1 ? filled[0]! : joined(filled, size)
    },
    rest: async () => {
      const pieces = [left]
      for (let piece = await pull(); piece; piece = await pull()) pieces.push(piece)
      left = new Uint8Array()
      return joined(
        pieces,
        pieces.reduce((sum, { length }) => sum + length, 0),
      )
    },
    close: () => pipe.close?.(),
  }
}

function joined(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(size)
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}

async function fetched(url: string): Promise<Pipe> {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`status ${response.status}`)
  const body = response.body!.getReader()
  return {
    next: async () => (await body.read()).value,
    close: () => body.cancel().catch(() => {}),
  }
}

function unreadable(place: string, error: unknown): BundleError {
  return new BundleError(`Cannot read "${place}": ${(error as Error).message}`)
}
