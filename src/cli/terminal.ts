// Terminal: results to stdout, progress and notes to stderr; tables and one progress bar.
import { Presets, SingleBar } from 'cli-progress'
import colors from 'picocolors'

/** A log that no one watches gets a line of progress this often. */
const LOG_EVERY_MS = 15_000

/** A cell, or a cell aligned to the right. */
export type Cell = string | number

/** Where a command prints. */
export interface Terminal {
  /** True when stdout carries one JSON document and nothing else. */
  readonly json: boolean
  /** Stops a long run at its next checkpoint. */
  readonly signal: AbortSignal
  /** Prints a result line; nothing with `--json`. */
  print(line?: string): void
  /** Prints the result as JSON; nothing without `--json`. */
  emit(value: unknown): void
  /** Prints a note beside the result. */
  note(line: string): void
  /** Shows progress, 0…1; `finish` removes the bar. */
  progress(done: number, text: string): void
  finish(): void
}

/** Returns the terminal of this process. */
export function createTerminal(json: boolean, signal: AbortSignal): Terminal {
  let bar: SingleBar | undefined
  let notedAt = -Infinity
  const interactive = process.stderr.isTTY === true
  const finish = () => {
    bar?.stop()
    bar = undefined
  }
  return {
    json,
    signal,
    print: (line = '') => {
      if (json) return
      finish()
      process.stdout.write(`${line}\n`)
    },
    emit: (value) => {
      if (json) process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
    },
    note: (line) => {
      finish()
      process.stderr.write(`${line}\n`)
    },
    progress: (done, text) => {
      if (interactive) {
        bar ??= startBar()
        bar.update(Math.min(1, done), { text })
      } else if (Date.now() - notedAt > LOG_EVERY_MS) {
        notedAt = Date.now()
        process.stderr.write(`  ${String(Math.round(done * 100)).padStart(3)} %  ${text}\n`)
      }
    },
    finish,
  }
}

/** Returns a table as text: numbers and columns listed in `right` align right. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  right: readonly number[] = [],
): string {
  const cells = [head, ...rows].map((row) => row.map(String))
  const widths = head.map((_, column) => Math.max(...cells.map((row) => widthOf(row[column]!))))
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => {
        const space = ' '.repeat(widths[column]! - widthOf(cell))
        if (right.includes(column)) return space + cell
        return column === row.length - 1 ? cell : cell + space
      })
      .join('  ')
      .trimEnd()
  const [first, ...others] = cells.map(line)
  return [colors.dim(first!), ...others].join('\n')
}

/** Cuts a text to a width, with an ellipsis in the middle so that both ends stay readable. */
export function shorten(text: string, width: number): string {
  if (text.length <= width) return text
  const tail = Math.floor((width - 1) / 2)
  return `${text.slice(0, width - 1 - tail)}…${text.slice(text.length - tail)}`
}

/** Cuts a sentence to a width, with an ellipsis at its end. */
export function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1).trimEnd()}…`
}

function startBar(): SingleBar {
  const bar = new SingleBar(
    {
      format: '  {bar} {percentage} %  {text}',
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
      barsize: 28,
    },
    Presets.shades_classic,
  )
  bar.start(1, 0, { text: '' })
  return bar
}

// Escape sequences of colours take no room.
function widthOf(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character starts a colour
  return [...text.replace(/\u001b\[\d+m/g, '')].length
}
