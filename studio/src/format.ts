// Numbers as the report prints them.

/** Milliseconds with three significant digits: `1.84 ms`, `142 µs`, `3.20 s`. */
export function formatMs(ms: number): string {
  if (ms >= 1000) return `${digits(ms / 1000)} s`
  if (ms >= 0.1 || ms === 0) return `${digits(ms)} ms`
  return `${digits(ms * 1000)} µs`
}

/** A duration for people: `42 s`, `3 min 05 s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`
  if (seconds < 60) return `${seconds} s`
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
}

/** Bytes in decimal units: `272 kB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  if (bytes < 1e6) return `${digits(bytes / 1e3)} kB`
  if (bytes < 1e9) return `${digits(bytes / 1e6)} MB`
  return `${digits(bytes / 1e9)} GB`
}

/** Counts: `40.8 M`. */
export function formatCount(count: number): string {
  if (count < 1e4) return String(Math.round(count))
  if (count < 1e6) return `${digits(count / 1e3)} k`
  if (count < 1e9) return `${digits(count / 1e6)} M`
  return `${digits(count / 1e9)} G`
}

/** A fraction in percent with one decimal: `91.5 %`. */
export function formatPercent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)} %`
}

/** A ratio: `1.83×`. */
export function formatRatio(ratio: number): string {
  return `${ratio.toFixed(ratio >= 10 ? 1 : 2)}×`
}

function digits(value: number): string {
  if (value >= 100) return value.toFixed(0)
  if (value >= 10) return value.toFixed(1)
  return value.toFixed(2)
}
