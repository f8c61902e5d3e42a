// Model + target → a candidate that can be timed, as a user would run it there.
import { compile } from '../compile/compile.ts'
import { createEngine } from '../exec/create.ts'
import type { Engine, Tensors } from '../exec/engine.ts'
import { bindDims } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import { deploy } from '../passes/index.ts'
import { runPasses } from '../passes/pass.ts'
import { arrayOf, type Dtype, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { OptionError } from '../util/errors.ts'
import { type Candidate, candidateOf, type MeasureOptions } from './measure.ts'
import { startProgram } from './program.ts'
import type { TargetName } from './target.ts'

/** Engines and programs opened for timing; close when done. */
export class Workbench {
  readonly threads: number
  /** How long to time, where a caller wants other than the defaults. */
  readonly timing: MeasureOptions
  readonly #engines = new Map<TargetName, Promise<Engine>>()

  constructor({ threads = 1, timing = {} }: { threads?: number; timing?: MeasureOptions } = {}) {
    this.threads = threads
    this.timing = timing
  }

  /** Returns a candidate that runs a model on a target with batch 1. */
  async candidate(model: Model, target: TargetName, label: string): Promise<Candidate> {
    if (target === 'wasm') {
      const { model: deployed } = runPasses(model, deploy)
      const program = await startProgram(compile(deployed))
      return candidateOf(label, () => program.run())
    }
    const engine = await this.engine(target)
    const session = await engine.session(model, { optimize: 'all' })
    const feeds = sampleFeeds(model)
    return {
      label,
      time: (runs) => session.time(feeds, { warmup: 0, runs }),
      close: () => session.release(),
    }
  }

  /** Returns why a target cannot run here, or undefined when it can. */
  async missing(target: TargetName): Promise<string | undefined> {
    if (target === 'wasm') return undefined
    try {
      await this.engine(target)
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }

  /** The engine of a foreign target, started at first use. */
  engine(target: TargetName): Promise<Engine> {
    if (target === 'wasm') throw new OptionError('The target wasm has no engine; compile for it')
    const found = this.#engines.get(target) ?? createEngine({ name: target, threads: this.threads })
    this.#engines.set(target, found)
    return found
  }

  async close(): Promise<void> {
    for (const engine of this.#engines.values()) await (await engine).close()
    this.#engines.clear()
  }
}

/** Returns one deterministic set of inputs with dynamic dimensions at 1. */
export function sampleFeeds(model: Model): Tensors {
  return Object.fromEntries(
    model.graph.inputs.map(({ name, dtype, shape }) => [
      name,
      noise(dtype, bindDims(shape ?? [], {})),
    ]),
  )
}

function noise(dtype: Dtype, shape: readonly number[]): Tensor {
  const size = sizeOf(shape)
  if (dtype === 'string') return { dtype, shape, data: new Array<string>(size).fill('') }
  const data = new (arrayOf(dtype))(size)
  if (data instanceof Float32Array)
    for (let i = 0; i < size; i++) data[i] = ((i * 2654435761) % 1000) / 1000 - 0.5
  return { dtype, shape, data }
}
