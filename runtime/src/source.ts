// Where a bundle comes from: a folder or single file by path or URL, its bytes, or its parts.

import { fail } from './check.ts'
import { BundleError } from './errors.ts'
import {
  type BundleContent,
  checkManifest,
  hasRelaxedSimd,
  MANIFEST_FILE,
  type Manifest,
  parseManifest,
  SINGLE_MAGIC,
} from './format.ts'
import { isNode } from './host.ts'
import { openBytes, openPlace, type Reader } from './reader.ts'

/** What `load` accepts. */
export type BundleSource = string | URL | Uint8Array | ArrayBuffer | BundleContent

/** What is wrong with bytes, once that is known; it never rejects, so it may be left waiting. */
export type Verification = Promise<BundleError | undefined>

/** A bundle whose weights are still to be read. */
export interface OpenBundle {
  /** Checked; of the two codes, `code` is the one this engine runs best. */
  readonly manifest: Manifest
  readonly code: Uint8Array
  /** Settles once the code is verified. */
  readonly verified: Verification
  /** From the first byte of the weights to the end. */
  readonly weights: Reader
}

/** Opens a bundle. Throws BundleError when it cannot be read or is not one. */
export async function openBundle(source: BundleSource): Promise<OpenBundle> {
  if (source instanceof ArrayBuffer) return openBundle(new Uint8Array(source))
  if (source instanceof Uint8Array) return single(openBytes('the bundle', source))
  if (typeof source === 'string' || source instanceof URL) return openAt(String(source))
  const { code, relaxed, weights } = source
  const manifest = checkManifest(source.manifest)
  const chosen = relaxed && manifest.relaxed && hasRelaxedSimd() ? manifest.relaxed : manifest.code
  const reader = openBytes(chosen.file, chosen === manifest.relaxed ? relaxed! : code)
  return {
    manifest: { ...manifest, code: chosen },
    ...(await whole(reader, chosen)),
    weights: openBytes(manifest.weights.file, weights),
  }
}

async function openAt(place: string): Promise<OpenBundle> {
  const isSingle = !/[/\\]$/.test(place) && /\.tersor([?#].*)?$/.test(place)
  if (isSingle && !(await isFolderHere(place))) return single(await openPlace(place))
  const folder = place.replace(/[/\\]?(manifest\.json)?$/, '')
  const text = await openPlace(`${folder}/${MANIFEST_FILE}`)
  const manifest = parseManifest(
    new TextDecoder().decode(await text.rest().finally(() => text.close())),
  )
  const chosen = (hasRelaxedSimd() && manifest.relaxed) || manifest.code
  const weights = openPlace(`${folder}/${manifest.weights.file}`)
  try {
    const found = await whole(await openPlace(`${folder}/${chosen.file}`), chosen)
    return { manifest: { ...manifest, code: chosen }, ...found, weights: await weights }
  } catch (error) {
    weights.then(({ close }) => close()).catch(() => {})
    throw error
  }
}

// Mark, length of the manifest, manifest, code, relaxed code, weights.
async function single(file: Reader): Promise<OpenBundle> {
  try {
    const header = (await file.read(8)).slice()
    const [mark, length] = new Uint32Array(header.buffer)
    if (mark !== SINGLE_MAGIC) fail('the file does not start with the mark of a bundle')
    const manifest = parseManifest(new TextDecoder().decode(await file.read(length!)))
    const base = await file.read(manifest.code.bytes)
    const relaxed = manifest.relaxed && (await file.read(manifest.relaxed.bytes))
    const isRelaxed = relaxed !== undefined && hasRelaxedSimd()
    const chosen = isRelaxed ? manifest.relaxed! : manifest.code
    const code = isRelaxed ? relaxed : base
    const verified = verify(code, chosen.sha256, chosen.file)
    return { manifest: { ...manifest, code: chosen }, code, verified, weights: file }
  } catch (error) {
    file.close()
    throw error
  }
}

async function whole(reader: Reader, { bytes, sha256, file }: Manifest['code']) {
  try {
    const code = await reader.read(bytes)
    return { code, verified: verify(code, sha256, file) }
  } finally {
    reader.close()
  }
}

/** Compares bytes with those that a manifest was made for. */
export async function verify(bytes: Uint8Array, sha256: string, name: string): Verification {
  // Pages served over plain http have no digest; lengths must do there.
  const subtle = globalThis.crypto?.subtle
  if (subtle === undefined) return undefined
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>))
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
  if (hex === sha256) return undefined
  return new BundleError(
    `Cannot load the bundle: "${name}" was altered (SHA-256 ${hex}, the manifest says ${sha256})`,
  )
}

// Only Node has folders that may end in .tersor.
async function isFolderHere(place: string): Promise<boolean> {
  if (!isNode || /^https?:/.test(place)) return false
  return (await import('./files.ts')).isFolder(place)
}
