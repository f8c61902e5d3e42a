// Compiled → a running program in this process: whole runs and single steps, for timing.
import { performance } from 'node:perf_hooks'
import { codeHere } from '../compile/bundle.ts'
import type { Compiled } from '../compile/compile.ts'
import { invariant } from '../util/errors.ts'

/** A program in memory. */
export interface RunningProgram {
  readonly memory: WebAssembly.Memory
  run(): void
  /** Runs the steps that compute nodes of the graph (no conversions); needs `exportKernels`. */
  runSteps(): void
  /** Least milliseconds of the step that computes each node, by name, over runs of all steps in order; needs `exportKernels`. */
  timeSteps(runs: number): ReadonlyMap<string, number>
}

/** Instantiates a compiled model and fills its weights in. Inputs hold small random numbers. */
export async function startProgram(compiled: Compiled): Promise<RunningProgram> {
  const { manifest, program } = compiled
  const memory = new WebAssembly.Memory({ initial: Math.ceil(manifest.memoryBytes / 65536) })
  // A Uint8Array is a BufferSource; the DOM types doubt it for shared buffers only.
  const module = await WebAssembly.compile(codeHere(compiled) as BufferSource)
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } })
  new Uint8Array(memory.buffer).set(program.constants, program.constantsAddress)
  for (const { address, shape, storage } of manifest.inputs) {
    if (storage === 'float32') fillNoise(memory, address, shape)
  }
  const all = program.steps.map(({ nodes, function: { name }, addresses }) => ({
    nodes,
    call: exports[name] as ((...addresses: number[]) => void) | undefined,
    addresses,
  }))
  const steps = all.filter(({ nodes }) => nodes.length > 0)
  const run = exports.run
  invariant(typeof run === 'function', 'a compiled module exports run')
  // Steps timed alone find converted inputs in place, and no page of memory untouched: those are all
  // one page of zeros to the processor, and its cache then misses where it need not (25 % on Zen 4).
  run()
  return {
    memory,
    run: () => run(),
    runSteps: () => {
      for (const { call, addresses } of steps) call!(...addresses)
    },
    timeSteps: (runs) => {
      const least = new Map<string, number>()
      for (let i = 0; i < runs; i++)
        for (const { nodes, call, addresses } of all) {
          const start = performance.now()
          call!(...addresses)
          const ms = performance.now() - start
          for (const node of nodes) least.set(node, Math.min(ms, least.get(node) ?? ms))
        }
      return least
    },
  }
}

// Timing depends on values only through subnormals: keep the numbers ordinary.
function fillNoise(memory: WebAssembly.Memory, address: number, shape: readonly number[]): void {
  const size = shape.reduce((product, dim) => product * dim, 1)
  const data = new Float32Array(memory.buffer, address, size)
  for (let i = 0; i < size; i++) data[i] = ((i * 2654435761) % 1000) / 1000 - 0.5
}
