// The registry of kernels: one line per file.
import type { Kernel } from '../kernel.ts'
import { attention } from './attention.ts'
import { branch } from './branch.ts'
import { cacheWrite } from './cache-write.ts'
import { convGemm, convTransposeGemm } from './conv-gemm.ts'
import { copyRow } from './copy-row.ts'
import { depthwise } from './depthwise.ts'
import { depthwisePlanes } from './depthwise-planes.ts'
import { host } from './host.ts'
import { integers } from './integers.ts'
import { argExtreme, gatherScan } from './lookup.ts'
import { loopKernel } from './loop.ts'
import { gemm, matmul } from './matmul.ts'
import { move } from './move.ts'
import { pointwise } from './pointwise.ts'
import { averagePool, globalAveragePool, globalMaxPool, maxPool } from './pool.ts'
import { recurrent } from './recurrent.ts'
import { reduce } from './reduce.ts'
import { rowFused } from './row-fused.ts'
import { softmax } from './softmax.ts'
import { spmm } from './spmm.ts'
import { spmmLast } from './spmm-last.ts'
import { spmmMatmul } from './spmm-matmul.ts'
import { view } from './view.ts'
import { winograd } from './winograd.ts'

const kernels: readonly Kernel[] = [
  attention,
  winograd,
  convGemm,
  convTransposeGemm,
  spmm,
  spmmLast,
  depthwise,
  depthwisePlanes,
  matmul,
  gemm,
  spmmMatmul,
  maxPool,
  averagePool,
  globalAveragePool,
  globalMaxPool,
  view,
  pointwise,
  integers,
  move,
  copyRow,
  gatherScan,
  argExtreme,
  reduce,
  rowFused,
  recurrent,
  softmax,
  branch,
  loopKernel,
  cacheWrite,
]

/** What computes the nodes that all others decline, where a bundle may call the host. */
export function lastKernels(): readonly Kernel[] {
  return [...kernels, host]
}

/** All kernels, in the order in which their offers are compared. */
export function allKernels(): readonly Kernel[] {
  return kernels
}
