// What tests of training share: a small network, pictures as it wants them, an engine and a folder that
// live as long as the file's tests.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { presetImage } from '../../src/data/describe.ts'
import { createEngine } from '../../src/exec/create.ts'
import type { Engine } from '../../src/exec/engine.ts'
import type { Model } from '../../src/ir/graph.ts'
import { smallNet } from '../train-net.ts'

/** The network, its input, and what there is while tests run. */
export interface TrainingLab {
  readonly model: Model
  readonly description: ReturnType<typeof presetImage>
  /** Only inside tests. */
  readonly engine: Engine
  readonly folder: string
}

/** Opens an engine and a folder before the tests of a file, and closes them after. */
export function trainingLab({ threads }: { readonly threads: number }): TrainingLab {
  let engine: Engine
  let folder: string
  beforeAll(async () => {
    engine = await createEngine({ threads })
    folder = mkdtempSync(join(tmpdir(), 'tersor-training-'))
  })
  afterAll(async () => {
    await engine.close()
    rmSync(folder, { recursive: true })
  })
  return {
    model: smallNet({ seed: 1, width: 4 }),
    description: presetImage('imagenet-half', { shape: [1, 3, 32, 32] }),
    get engine() {
      return engine
    },
    get folder() {
      return folder
    },
  }
}
