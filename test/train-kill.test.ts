import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createEngine } from '../src/exec/create.ts'
import type { Model } from '../src/ir/graph.ts'
import { floatData } from '../src/tensor/tensor.ts'
import { train } from '../src/train/train.ts'
import { killedNet, killedRequest } from './support/killed-request.ts'

const STEPS = 150

test('a run killed with SIGKILL resumes to the weights of an uninterrupted one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tersor-kill-'))
  const path = join(folder, 'run.ckpt')
  const script = fileURLToPath(new URL('./support/train-killed.ts', import.meta.url))
  const flags = ['--conditions=source', '--import=tsx']
  const child = spawn(process.execPath, [...flags, script, path, `${STEPS}`], { stdio: 'inherit' })
  const ended = new Promise<NodeJS.Signals | null>((resolve) => {
    child.on('exit', (_, signal) => resolve(signal))
  })
  while (!existsSync(path) && child.exitCode === null) await setTimeout(5)
  child.kill('SIGKILL')
  expect(await ended).toBe('SIGKILL')

  const engine = await createEngine({ threads: 1 })
  const seen: number[] = []
  const onProgress = ({ step }: { step: number }) => seen.push(step)
  const request = { ...killedRequest(STEPS), engine }
  const checkpoint = { path, everySteps: 3 }
  const resumed = await train(killedNet(), { ...request, checkpoint, onProgress })
  const whole = await train(killedNet(), request)
  await engine.close()
  rmSync(folder, { recursive: true })
  // It continued from a checkpoint, not from the start.
  expect(seen[0]! % 3).toBe(1)
  expect(seen[0]).toBeGreaterThan(1)
  expect(weightsOf(resumed.model)).toEqual(weightsOf(whole.model))
})

function weightsOf({ graph, weights }: Model): Record<string, Float32Array> {
  const trained = graph.constants.filter(({ dtype }) => dtype === 'float32')
  return Object.fromEntries(trained.map(({ name }) => [name, floatData(weights.get(name))]))
}
