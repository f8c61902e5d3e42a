// Where a bundle comes from: a folder or single file by path or URL, its bytes, or its parts.
import {
  type BundleContent,
  BundleError,
  checkManifest,
  hasRelaxedSimd,
  MANIFEST_FILE,
  parseManifest,
  unpackSingleFile,
} from './format.ts'
import { isNode, nodeModule } from './host.ts'
import type { BundleParts } from './instance.ts'

/** What `load` accepts. */
export type BundleSource = string | URL | Uint8Array | ArrayBuffer | BundleContent

/**
 * Reads and checks a bundle; of its codes only the one this engine runs best remains.
 * Throws BundleError when it cannot be read or is not one.
 */
export async function readBundle(source: BundleSource): Promise<BundleParts> {
  if (source instanceof ArrayBuffer) return choose(unpackSingleFile(new Uint8Array(source)))
  if (source instanceof Uint8Array) return choose(unpackSingleFile(source))
  if (typeof source === 'string' || source instanceof URL) return readFrom(String(source))
  return choose({ ...source, manifest: checkManifest(source.manifest) })
}

function choose({ manifest, code, relaxed, weights }: BundleContent): BundleParts {
  return relaxed && manifest.relaxed && hasRelaxedSimd()
    ? { manifest: { ...manifest, code: manifest.relaxed }, code: relaxed, weights }
    : { manifest, code, weights }
}

async function readFrom(place: string): Promise<BundleParts> {
  const read = /^(https?|data):/.test(place) || !isNode ? fetched : fileOf
  const isSingle = !/[/\\]$/.test(place) && /\.tersor(\?.*)?$/.test(place)
  if (isSingle && (read === fetched || (await isFile(place))))
    return choose(unpackSingleFile(await read(place)))
  const folder = place.replace(/[/\\]?(manifest\.json)?$/, '')
  const text = await read(`${folder}/${MANIFEST_FILE}`)
  const manifest = parseManifest(new TextDecoder().decode(text))
  const file = (manifest.relaxed && hasRelaxedSimd() && manifest.relaxed) || manifest.code
  const [code, weights] = await Promise.all([
    read(`${folder}/${file.file}`),
    read(`${folder}/${manifest.weights.file}`),
  ])
  return { manifest: { ...manifest, code: file }, code, weights }
}

async function fetched(url: string): Promise<Uint8Array> {
  let reason: string
  try {
    const response = await fetch(url)
    if (response.ok) return new Uint8Array(await response.arrayBuffer())
    reason = `status ${response.status}`
  } catch (error) {
    reason = (error as Error).message
  }
  throw new BundleError(`Cannot read "${url}": ${reason}`)
}

async function fileOf(path: string): Promise<Uint8Array> {
  const { readFile } = await nodeModule<typeof import('node:fs/promises')>('fs/promises')
  try {
    return await readFile(path.startsWith('file:') ? new URL(path) : path)
  } catch (error) {
    throw new BundleError(`Cannot read "${path}": ${(error as Error).message}`)
  }
}

async function isFile(path: string): Promise<boolean> {
  const { stat } = await nodeModule<typeof import('node:fs/promises')>('fs/promises')
  try {
    return (await stat(path.startsWith('file:') ? new URL(path) : path)).isFile()
  } catch {
    return false
  }
}
