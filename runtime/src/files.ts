// Files of Node; pages never fetch this.
import { nodeModule } from './host.ts'
import type { Pipe } from './reader.ts'

/** How much is read at a time. */
const CHUNK = 1 << 20

const fs = () => nodeModule<typeof import('node:fs/promises')>('fs/promises')
const placeOf = (path: string) => (path.startsWith('file:') ? new URL(path) : path)

/** Opens a file by path or file: URL. Throws the error of Node when there is none. */
export async function openFile(path: string): Promise<Pipe> {
  const file = await (await fs()).open(placeOf(path))
  return {
    next: async () => {
      const { bytesRead, buffer } = await file.read(new Uint8Array(CHUNK))
      return bytesRead > 0 ? buffer.subarray(0, bytesRead) : undefined
    },
    close: () => file.close().catch(() => {}),
  }
}

/** True for a folder that exists. */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await (await fs()).stat(placeOf(path))).isDirectory()
  } catch {
    return false
  }
}
