// An opened bundle → memory with its weights, and the code that runs on it.
import { BundleError } from './errors.ts'
import { type BundleWeights, HASH_BLOCK, isPlain } from './storage.ts'
import type { Manifest } from './format.ts'
import type { Reader } from './reader.ts'
import { type OpenBundle, type Verification, verify } from './source.ts'
import type { Team, TeamOptions } from './threads.ts'

/** 14 MB are ready 6 ms earlier than with all blocks at once, Node 20 on two cores. */
const CHECKS_AT_ONCE = 3

/** A program in memory. */
export interface Program extends Pick<Team, 'memory' | 'stop'> {
  /** Runs an entry once, by its number. */
  run(entry: number): void
  readonly threads: number
  /** Why there is one thread where more were asked for. */
  readonly onlyOne: string | undefined
}

/** Compiles the code while the weights arrive. Throws BundleError. */
export async function startProgram(
  { manifest, code, verified, weights }: OpenBundle,
  { threads, spawn, onProgress }: TeamOptions,
): Promise<Program> {
  let onlyOne = threads > 1 ? whyOneThread(manifest) : undefined
  let team: Team | undefined
  const checks = [verified]
  const failure = async () => (await Promise.all(checks)).find((found) => found !== undefined)
  try {
    const put = await decoder(manifest.weights)
    if (threads > 1 && onlyOne === undefined)
      try {
        const { startTeam } = await import('./threads.ts')
        team = await startTeam(manifest, code, { threads, spawn })
      } catch (error) {
        onlyOne = `the threads could not start: ${(error as Error).message}`
      }
    const memory = team?.memory ?? newMemory(manifest)
    const [run] = await Promise.all([
      team?.run ?? compileAlone(manifest, code, memory),
      fillWeights(manifest.weights, weights, {
        put: (block) => put(block, memory.buffer),
        checks,
        onProgress,
      }),
    ])
    // Nothing runs before all bytes are verified.
    const altered = await failure()
    if (altered) throw altered
    return {
      memory,
      run: (entry) => {
        try {
          run(entry)
        } catch (error) {
          // Tables of a damaged bundle may lead out of its memory, where the engine stops it.
          const isTrap = error instanceof WebAssembly.RuntimeError || error instanceof RangeError
          throw isTrap ? new BundleError(`Cannot run the bundle: ${error.message}`) : error
        }
      },
      stop: () => team?.stop(),
      threads: team ? threads : 1,
      onlyOne,
    }
  } catch (error) {
    team?.stop()
    throw (await failure()) ?? error
  } finally {
    weights.close()
  }
}

// Why a bundle can have only one thread here; undefined where it can have more.
function whyOneThread({ threads }: Manifest): string | undefined {
  if (threads === undefined) return 'its code is for one thread'
  if (typeof SharedArrayBuffer === 'undefined' || globalThis.crossOriginIsolated === false)
    return 'no shared memory: the page needs COOP and COEP'
  if (typeof document !== 'undefined') return 'a page must not wait: load with { worker: true }'
  return undefined
}

function newMemory({ memoryBytes }: Manifest): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: Math.ceil(memoryBytes / 65536) })
  } catch {
    throw new BundleError(`Cannot load the bundle: no room for its ${memoryBytes} bytes`)
  }
}

async function compileAlone(
  { code: { features }, further = [], hosts }: Manifest,
  code: Uint8Array,
  memory: WebAssembly.Memory,
): Promise<(entry: number) => void> {
  let exports: WebAssembly.Exports
  const host = hosts && (await import('./host-ops.ts')).hostOf(hosts, memory)
  try {
    // A view of unshared memory satisfies BufferSource; the types of TypeScript distinguish more.
    const imports: WebAssembly.Imports = { env: host ? { memory, host } : { memory } }
    const made = await WebAssembly.instantiate(code as Uint8Array<ArrayBuffer>, imports)
    exports = made.instance.exports
  } catch (error) {
    throw new BundleError(
      `Cannot load the bundle: this engine rejects its code, which needs ${features.join(' and ')} (${(error as Error).message})`,
    )
  }
  const runs = Array.from({ length: 1 + further.length }, (_, i) => exports[`run${i || ''}`])
  if (!runs.every((run) => typeof run === 'function'))
    throw new BundleError('Cannot load the bundle: its code has no run')
  return (entry) => (runs[entry] as () => void)()
}

interface Fill extends Pick<TeamOptions, 'onProgress'> {
  put(block: Uint8Array): void
  /** Takes the verification of every block. */
  readonly checks: Verification[]
}

// Blocks are decoded as they come and verified meanwhile.
async function fillWeights(
  { file, bytes, sha256 }: BundleWeights,
  reader: Reader,
  { put, checks, onProgress }: Fill,
): Promise<void> {
  const before = checks.length
  for (let i = 0, done = 0; done < bytes; i++) {
    const block = await reader.read(Math.min(HASH_BLOCK, bytes - done))
    checks.push(verify(block, sha256[i]!, file))
    put(block)
    done += block.length
    onProgress?.(done, bytes)
    // Each copies its block: few at a time reuse the memory of those before.
    if (i >= CHECKS_AT_ONCE) await checks[before + i - CHECKS_AT_ONCE]
  }
}

// Takes the weights file block by block; what one block does not complete is collected.
async function decoder(weights: BundleWeights) {
  const { segments } = weights
  const codecs = segments.every(isPlain) ? undefined : await import('./codecs.ts')
  for (const segment of segments) if (!isPlain(segment)) codecs!.checkSegment(segment, weights)
  let [index, filled] = [0, 0]
  let collected: Uint8Array | undefined
  return (block: Uint8Array, memory: ArrayBufferLike) => {
    for (let at = 0; at < block.length; ) {
      const segment = segments[index]!
      const { bytes, address } = segment
      const piece = block.subarray(at, at + bytes - filled)
      at += piece.length
      if (isPlain(segment)) new Uint8Array(memory, address + filled).set(piece)
      else {
        collected ??= piece.length === bytes ? piece : new Uint8Array(bytes)
        if (collected !== piece) collected.set(piece, filled)
      }
      filled += piece.length
      if (filled < bytes) continue
      if (collected) codecs!.decodeSegment(segment, collected, memory)
      collected = undefined
      ;[index, filled] = [index + 1, 0]
    }
  }
}
