// Multi-head self-attention and the feed-forward block of transformers (Vaswani et al., Attention Is
// All You Need, 2017), on rows of tokens [n, t, width].
import { int } from '../ir/graph.ts'
import type { Network } from './network.ts'

/** What a self-attention needs beside its input. */
export interface AttentionShape {
  /** A divisor of the width. */
  readonly heads: number
  /** Added to the scores [n, heads, t, t] before the softmax. */
  readonly bias?: (scores: string) => string
}

/** Adds `${name}.qkv` (one fused projection), the attention, and `${name}.out`. */
export function attention(
  net: Network,
  name: string,
  value: string,
  { heads, bias }: AttentionShape,
): string {
  const [, tokens, width] = net.shape(value) as [number, number, number]
  const fused = net.linear(`${name}.qkv`, value, 3 * width)
  const split = net.reshape(`${name}.split`, fused, [-1, tokens, 3, heads, width / heads])
  const parts = net.transpose(`${name}.parts`, split, [2, 0, 3, 1, 4])
  const [q, k, v] = ['q', 'k', 'v'].map((part, index) => {
    const at = net.constant({ dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(index)) })
    return net.node(`${name}.${part}`, 'Gather', [parts, at], { axis: int(0) })
  }) as [string, string, string]
  const turned = net.transpose(`${name}.turned`, k, [0, 1, 3, 2])
  const product = net.node(`${name}.product`, 'MatMul', [q, turned])
  const scale = net.scalar(Math.sqrt(heads / width))
  const scores = net.node(`${name}.scores`, 'Mul', [product, scale])
  const share = net.node(`${name}.softmax`, 'Softmax', [bias?.(scores) ?? scores], {
    axis: int(-1),
  })
  const mixed = net.node(`${name}.mixed`, 'MatMul', [share, v])
  const merged = net.transpose(`${name}.rows`, mixed, [0, 2, 1, 3])
  const rows = net.reshape(`${name}.merged`, merged, [-1, tokens, width])
  return net.linear(`${name}.out`, rows, width)
}

/** Two layers with a GELU between; the second returns to the width of the input. */
export function feedForward(net: Network, name: string, value: string, inner: number): string {
  const width = net.shape(value).at(-1)!
  const wide = net.gelu(`${name}.gelu`, net.linear(`${name}.expand`, value, inner))
  return net.linear(`${name}.project`, wide, width)
}

/** Squares of a picture as rows: [n, 3, size, size] → [n, tokens, width]. */
export function embedPatches(
  net: Network,
  image: string,
  { patch, width }: { patch: number; width: number },
): string {
  const channels = net.shape(image)[1]!
  const tiles = { from: channels, to: width, kernel: patch, stride: patch }
  const embedded = net.bareConv('patches', image, tiles, { bias: true })
  const rows = net.reshape('patches.rows', embedded, [0, 0, -1])
  return net.transpose('patches.tokens', rows, [0, 2, 1])
}
