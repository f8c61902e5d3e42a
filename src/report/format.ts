// Numbers as the command line and the report print them.

/** Milliseconds with three significant digits. */
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

/** Bytes in decimal units. */
export function formatBytes(bytes: number): string {
  return bytes < 1000 ? `${bytes} B` : scaled(bytes, ['kB', 'MB', 'GB', 'TB'])
}

/** Counts in thousands, millions, … */
export function formatCount(count: number): string {
  return count < 10_000 ? String(Math.round(count)) : scaled(count, ['k', 'M', 'G', 'T'])
}

/** A fraction in percent with one decimal. */
export function formatPercent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)} %`
}

/** A ratio with three digits: `1.83×`. */
export function formatRatio(ratio: number): string {
  return `${ratio.toFixed(ratio >= 10 ? 1 : 2)}×`
}

function scaled(value: number, units: readonly string[]): string {
  let scaledValue = value
  let unit = ''
  for (const next of units) {
    if (scaledValue < 999.5) break
    scaledValue /= 1000
    unit = next
  }
  return `${digits(scaledValue)} ${unit}`.trimEnd()
}

function digits(value: number): string {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)
}
