// The registry of kernels: one line per file.
import type { Kernel } from '../kernel.ts'

const kernels: readonly Kernel[] = []

/** All kernels, in the order in which their offers are compared. */
export function allKernels(): readonly Kernel[] {
  return kernels
}
