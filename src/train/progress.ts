// Progress of a training run, with an estimate of the time left.
import { performance } from 'node:perf_hooks'

/** What a run tells while it goes. */
export interface TrainingProgress {
  /** Steps finished, resumed ones included. */
  readonly step: number
  readonly steps: number
  /** Passes over the data so far. */
  readonly epoch: number
  /** Loss, averaged over the last steps. */
  readonly loss: number
  readonly learningRate: number
  readonly samplesPerSecond: number
  /** Estimate; undefined until two steps are timed. */
  readonly leftMs: number | undefined
}

/** Measures steps: a recent average, so that the estimate follows a machine that slows down. */
export class StepClock {
  #last: number | undefined
  #stepMs: number | undefined

  /** Call at the end of each step. The first only starts the clock: it holds the session's warm-up. */
  tick(): void {
    const now = performance.now()
    if (this.#last !== undefined) {
      const took = now - this.#last
      this.#stepMs = this.#stepMs === undefined ? took : 0.95 * this.#stepMs + 0.05 * took
    }
    this.#last = now
  }

  /** Milliseconds of a step; undefined until known. */
  get stepMs(): number | undefined {
    return this.#stepMs
  }

  /** Milliseconds since the process started, for deciding when a checkpoint is due. */
  now(): number {
    return performance.now()
  }
}
