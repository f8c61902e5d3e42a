// Mutates the bytes of a model and sends it down the reading line: read, decode, verify, clean, write.
import type { Model } from '../../src/ir/graph.ts'
import { readOnnx } from '../../src/onnx/read.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { clean, deploy, runPasses } from '../../src/passes/index.ts'
import { ModelError } from '../../src/util/errors.ts'
import { createRandom, deriveSeed, type Random } from '../../src/util/random.ts'

/** What happened to the mutants. */
export interface FuzzResult {
  readonly read: number
  readonly refused: number
  /** Mutants that ended in something else than a model or a ModelError, with its stack. */
  readonly failures: readonly { readonly index: number; readonly error: string }[]
  readonly slowestMs: number
}

/** Runs `count` mutants; mutant i of a seed is always the same. */
export function fuzz(
  bytes: Uint8Array,
  { count, seed }: { count: number; seed: number },
): FuzzResult {
  const structure = structurePositions(bytes)
  let read = 0
  let refused = 0
  let slowestMs = 0
  const failures: { index: number; error: string }[] = []
  for (let index = 0; index < count; index++) {
    const random = createRandom(deriveSeed(seed, `mutant ${index}`))
    const mutant = mutate(bytes, structure, random)
    // Time on the processor: a loaded machine makes no mutant slow.
    const start = process.cpuUsage()
    try {
      travel(readOnnx(mutant))
      read++
    } catch (error) {
      if (error instanceof ModelError) refused++
      else failures.push({ index, error: (error as Error).stack ?? String(error) })
    }
    const { user, system } = process.cpuUsage(start)
    slowestMs = Math.max(slowestMs, (user + system) / 1000)
  }
  return { read, refused, failures, slowestMs }
}

function travel(model: Model): void {
  for (const name of model.weights.names()) model.weights.get(name)
  writeOnnx(runPasses(model, [...clean, ...deploy]).model)
}

/** Returns a mutated copy: bytes flipped or replaced, ranges cut, doubled, or moved, or the end torn off. */
export function mutate(bytes: Uint8Array, structure: Int32Array, random: Random): Uint8Array {
  let result = new Uint8Array(bytes)
  const edits = 1 + random.integer(3)
  for (let i = 0; i < edits; i++) {
    const inStructure = structure.length > 0 && random.uniform() < 0.8
    const at = Math.min(
      inStructure ? structure[random.integer(structure.length)]! : random.integer(bytes.length),
      result.length - 1,
    )
    const span = 1 + random.integer(12)
    switch (random.integer(8)) {
      case 0:
        result[at] = result[at]! ^ (1 << random.integer(8))
        break
      case 1:
        result[at] = random.integer(256)
        break
      case 2:
        result[at] = [0, 1, 127, 128, 255][random.integer(5)]!
        break
      case 3:
        // A varint of all ones: a huge claim.
        result.fill(255, at, at + span)
        break
      case 4:
        result = join(result.subarray(0, at), result.subarray(at + span))
        break
      case 5:
        result = join(result.subarray(0, at + span), result.subarray(at))
        break
      case 6:
        result.copyWithin(at, structure[random.integer(structure.length)] ?? 0, at + span)
        break
      default:
        if (random.uniform() < 0.1) result = result.slice(0, at)
        else result[at] = result[at]! + 1
    }
    if (result.length === 0) break
  }
  return result
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(a.length + b.length)
  result.set(a)
  result.set(b, a.length)
  return result
}

/** Positions near text: names and messages rather than weights. */
export function structurePositions(bytes: Uint8Array): Int32Array {
  const reach = 12
  const letters = new Int32Array(bytes.length + 1)
  bytes.forEach((byte, i) => {
    letters[i + 1] = letters[i]! + (byte >= 46 && byte < 123 ? 1 : 0)
  })
  const positions: number[] = []
  for (let i = 0; i < bytes.length; i++) {
    const [from, to] = [Math.max(0, i - reach), Math.min(bytes.length, i + reach)]
    if (letters[to]! - letters[from]! >= (to - from) * 0.6) positions.push(i)
  }
  return Int32Array.from(positions)
}
