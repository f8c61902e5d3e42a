// Cold start: fresh processes that import a runtime, load a model from memory and run it once.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bindDims } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { median } from '../../src/profile/measure.ts'
import type { ResultCold } from './results.ts'

const script = fileURLToPath(new URL('../cold-process.mjs', import.meta.url))

interface Start {
  readonly importMs: number
  readonly readyMs: number
  readonly firstMs: number
}

/** Starts each runtime in `processes` fresh processes, taking turns. `files`: runtime → its bytes. */
export function coldStarts(
  model: Model,
  files: Readonly<Record<string, Uint8Array>>,
  processes: number,
): ResultCold[] {
  const folder = mkdtempSync(join(tmpdir(), 'tersor-cold-'))
  try {
    const paths = Object.entries(files).map(([name, bytes]) => {
      const path = join(folder, name)
      writeFileSync(path, bytes)
      return { name, path, starts: [] as Start[] }
    })
    const inputs = model.graph.inputs.map(({ name, shape }) => [name, bindDims(shape ?? [], {})])
    const json = JSON.stringify(Object.fromEntries(inputs))
    for (let round = 0; round < processes; round++)
      for (const { name, path, starts } of paths) {
        const output = execFileSync(process.execPath, [script, name, path, json], {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        })
        starts.push(JSON.parse(output) as Start)
      }
    return paths.map(({ name, starts }) => ({
      name,
      importMs: median(starts.map((start) => start.importMs)),
      readyMs: median(starts.map((start) => start.readyMs)),
      firstMs: median(starts.map((start) => start.firstMs)),
      processes,
    }))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
