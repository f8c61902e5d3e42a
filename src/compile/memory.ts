// Buffers with lifetimes → addresses in one arena: greedy by size (Pisarchyk and Lee 2020).

/** Every buffer starts on a cache line. */
export const ALIGNMENT = 64

/** A buffer to place: live from the step that writes it to the last that reads it, both included. */
export interface Lifetime {
  readonly id: number
  readonly bytes: number
  readonly start: number
  readonly end: number
}

/** Where everything lies. */
export interface Arena {
  /** Byte offset by buffer id, from the start of the arena. */
  readonly offsets: ReadonlyMap<number, number>
  readonly sizeBytes: number
}

/** Places buffers so that no two that live at once overlap. Deterministic. */
export function planArena(buffers: readonly Lifetime[]): Arena {
  const order = [...buffers].sort((a, b) => b.bytes - a.bytes || a.start - b.start || a.id - b.id)
  const placed: { lifetime: Lifetime; offset: number }[] = []
  const offsets = new Map<number, number>()
  let sizeBytes = 0
  for (const lifetime of order) {
    const size = align(lifetime.bytes)
    const rivals = placed
      .filter(({ lifetime: other }) => other.start <= lifetime.end && lifetime.start <= other.end)
      .sort((a, b) => a.offset - b.offset)
    const offset = bestGap(rivals, size)
    placed.push({ lifetime, offset })
    offsets.set(lifetime.id, offset)
    sizeBytes = Math.max(sizeBytes, offset + size)
  }
  return { offsets, sizeBytes }
}

/** Rounds a size up to the alignment of buffers. */
export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

// The smallest gap that fits, else the end.
function bestGap(rivals: readonly { lifetime: Lifetime; offset: number }[], size: number): number {
  let end = 0
  let best: { offset: number; room: number } | undefined
  for (const { lifetime, offset } of rivals) {
    const room = offset - end
    if (room >= size && (best === undefined || room < best.room)) best = { offset: end, room }
    end = Math.max(end, offset + align(lifetime.bytes))
  }
  return best?.offset ?? end
}
