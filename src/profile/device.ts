// Facts about the machine and its engines, for reports and for the keys of price tables.
import { arch, cpus, platform, totalmem } from 'node:os'

/** What a timing depends on besides the model. */
export interface DeviceFacts {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly platform: string
  readonly architecture: string
  readonly node: string
  readonly v8: string
}

/** Returns the facts of this machine. */
export function deviceFacts(): DeviceFacts {
  const processors = cpus()
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    platform: platform(),
    architecture: arch(),
    node: process.versions.node,
    v8: process.versions.v8,
  }
}
