// What the compiler decided, as printed tables: the program, and per node the offers and refusals.
import type { PlacedProgram } from './place.ts'
import type { NodeReport } from './select.ts'

/** Returns the program: one line per call with kernel, nodes and addresses. */
export function printProgram(program: PlacedProgram): string {
  const rows = program.steps.map(({ kernel, nodes, function: { name }, addresses }, i) => [
    String(i),
    kernel,
    name,
    nodes.join(' + ') || '–',
    addresses.join(' '),
  ])
  const sizes = `constants ${program.constants.length} bytes, arena ${program.arenaBytes} bytes`
  return `${table([['step', 'kernel', 'code', 'nodes', 'addresses'], ...rows])}\n${sizes}`
}

/** Returns per node the chosen kernel, the other offers with their costs, and the refusals. */
export function printReport(report: readonly NodeReport[]): string {
  const rows = report.map(({ node, op, kernel, note, absorbed, offers, refusals }) => [
    node,
    op,
    kernel === undefined ? 'no code' : absorbed ? `absorbed by ${kernel}` : kernel,
    note?.() ?? '',
    offers.map((offer) => `${offer.kernel} ${Math.round(offer.cost)}`).join(', '),
    refusals.map((refusal) => `${refusal.kernel}: ${refusal.reason}`).join('; '),
  ])
  return table([['node', 'op', 'kernel', 'notes', 'offers by cost', 'refusals'], ...rows])
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const last = widths.length - 1
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === last ? cell : cell.padEnd(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
