// What the compiler decided, as printed text: the program, and per step the offers and refusals.
import type { PlacedProgram } from './place.ts'
import type { Instruction } from './program.ts'
import type { NodeReport } from './select.ts'

/** Returns the program, entry by entry: one line per instruction with kernel, nodes and addresses. */
export function printProgram(program: PlacedProgram): string {
  const steps = program.steps.values()
  const rows = program.entries.flatMap(({ run }, entry) => {
    let depth = 0
    const lines = run.map((step, i) => {
      if (step.kind === 'else' || step.kind === 'end') depth--
      const indent = '  '.repeat(depth)
      if (step.kind === 'if' || step.kind === 'loop' || step.kind === 'else') depth++
      // Calls stand in the order of the steps.
      const call = step.kind === 'call' ? steps.next().value : undefined
      if (call === undefined)
        return [String(i), `${indent}${step.kind}`, ...placesOf(step, program)]
      const { kernel, nodes, function: fn, addresses } = call
      const names = nodes.join(' + ') || '–'
      return [String(i), `${indent}${kernel}`, fn.name, names, addresses.join(' ')]
    })
    return program.entries.length > 1 ? [[`entry ${entry}`, '', '', '', ''], ...lines] : lines
  })
  const sizes = `constants ${program.constants.length} bytes, arena ${program.arenaBytes} bytes`
  return `${table([['step', 'kernel', 'code', 'nodes', 'addresses'], ...rows])}\n${sizes}`
}

// What an instruction that is no call works on: code, what it is for, addresses.
function placesOf(step: Instruction, { hosts }: PlacedProgram): string[] {
  switch (step.kind) {
    case 'copy': {
      const rows = step.row ? `row of ${step.row.rows} by ${step.row.index}` : '–'
      return ['', rows, `${step.from} ${step.to}, ${step.bytes} bytes`]
    }
    case 'clear':
      return ['', '–', `${step.address}, ${step.bytes} bytes`]
    case 'if':
      return ['', '–', String(step.condition)]
    case 'loop':
      return ['', '–', [step.counter, step.trips, step.go].filter(Boolean).join(' ')]
    case 'host': {
      const { operation, node, inputs, outputs } = hosts[step.call]!
      const places = [...inputs, ...outputs].map((operand) => operand?.address ?? '–')
      return [operation, node, places.join(' ')]
    }
    default:
      return ['', '–', '']
  }
}

/**
 * Returns what was chosen: for every node with code of its own the nodes it absorbs, the kernel with
 * its layout and cost in multiply-adds, the other offers as multiples of that, and who
 * refused and why. Nodes without code come last.
 */
export function printReport(report: readonly NodeReport[]): string {
  const firstWith = new Map<string, string>()
  const blocks = report.flatMap((entry) => {
    const { node, op, kernel, absorbed, offers } = entry
    if (kernel === undefined || absorbed) return []
    const others = report.filter(({ absorbedBy }) => absorbedBy === node)
    // Nodes that came from expanding one carry its name.
    const names = new Set(others.map((other) => other.node).filter((name) => name !== node))
    const title = [node, ...[...names].map((name) => shortName(name, node))].join(' + ')
    const ops = [op, ...others.map((other) => other.op)].join(' + ')
    return [
      [`${title}  (${ops})`, ...chosen(entry, offers), ...refused(entry, firstWith)].join('\n'),
    ]
  })
  const idle = report.filter(({ kernel }) => kernel === undefined).map(({ node }) => node)
  const rest = idle.length > 0 ? [`no code: ${idle.join(', ')}`] : []
  return [...blocks, ...rest].join('\n')
}

function chosen({ kernel, layout, note }: NodeReport, offers: NodeReport['offers']): string[] {
  const isBest = (offer: NodeReport['offers'][number]) =>
    offer.kernel === kernel && offer.layout === layout
  const best = offers.find(isBest)
  const cost = best?.cost ?? 0
  const rivals = offers
    .filter((offer) => offer !== best)
    .map((offer) => {
      const times =
        cost > 0 && Number.isFinite(offer.cost) ? ` ×${(offer.cost / cost).toFixed(2)}` : ''
      return `${offer.kernel} ${offer.layout}${times}`
    })
  return [
    `  ${kernel} ${layout}, ${formatCost(cost)}`,
    ...(rivals.length > 0 ? [`    also offered: ${rivals.join(', ')}`] : []),
    ...(note ? [`    ${note()}`] : []),
  ]
}

function formatCost(cost: number): string {
  if (cost >= 1e6) return `${(cost / 1e6).toPrecision(3)} M`
  return cost >= 1e3 ? `${(cost / 1e3).toPrecision(3)} k` : String(Math.round(cost))
}

// Refusals in the same words are told once, and where they were told afterwards.
function refused({ node, refusals }: NodeReport, firstWith: Map<string, string>): string[] {
  if (refusals.length === 0) return []
  const byReason = new Map<string, string[]>()
  for (const { kernel, reason } of refusals)
    byReason.set(reason, [...(byReason.get(reason) ?? []), kernel])
  const text = [...byReason]
    .map(([reason, kernels]) => `${kernels.join(', ')}: ${reason}`)
    .join('; ')
  const before = firstWith.get(text)
  if (before === undefined) firstWith.set(text, node)
  return [`    refused: ${before === undefined ? text : `as for ${before}`}`]
}

// `block.relu` after `block` is `.relu`.
function shortName(name: string, after: string): string {
  return name.startsWith(`${after}.`) ? name.slice(after.length) : name
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
