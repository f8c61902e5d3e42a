// Stored results → Markdown. Nothing here measures or rounds up: every figure comes from the JSON.
import type {
  CompressResult,
  KernelsResult,
  ModelsResult,
  PapersResult,
  PlansResult,
  Result,
  ResultSize,
  ResultTiming,
  SharingResult,
} from './results.ts'

const START = '<!-- bench:start -->'
const END = '<!-- bench:end -->'

/** Above this load per core others shared the processor, and times are no longer the model's own. */
const BUSY = 1.25

/** Returns bench/RESULTS.md. */
export function renderResults(results: ReadonlyMap<string, Result>): string {
  const sections = [...results].map(([name, result]) => {
    switch (result.kind) {
      case 'models':
        return modelsSection(name, result)
      case 'kernels':
        return kernelsSection(name, result)
      case 'compress':
        return compressSection(name, result)
      case 'papers':
        return papersSection(name, result)
      case 'plans':
        return plansSection(name, result)
      case 'sharing':
        return sharingSection(name, result)
      default:
        return result satisfies never
    }
  })
  const intro = `# Results

Written by \`npm run bench:report\` from the files in [results](results); how they were taken: [benchmarks](../docs/benchmarks.md).
Times are medians of single runs, contenders interleaved in one run. A ratio is the time of onnxruntime-web (or of the first column) ÷ the time in question, the median over rounds, with the lowest and the highest round in brackets.`
  return `${[intro, ...sections].join('\n\n')}\n`
}

/** Returns the README with the part between its markers renewed. Throws when it has none. */
export function renderReadme(readme: string, results: ReadonlyMap<string, Result>): string {
  const [start, end] = [readme.indexOf(START), readme.indexOf(END)]
  if (start < 0 || end < start) throw new Error(`The README has no ${START} … ${END}`)
  const parts: string[] = []
  for (const [name, result] of results)
    if (result.kind === 'compress' && name.startsWith('compress-')) parts.push(beforeAfter(result))
  const models = [...results.values()].filter(
    (result) => result.kind === 'models' && !isPage(result),
  )
  if (models.length > 0) parts.push(modelsSummary(models as ModelsResult[]))
  const body = parts.length > 0 ? `${parts.join('\n\n')}\n` : ''
  return `${readme.slice(0, start + START.length)}\n${body}${readme.slice(end)}`
}

function beforeAfter(result: CompressResult): string {
  const { before, after, quality } = result
  const rows = [
    ...pairs(result).map(({ target, was, now, speedup }) => [
      `${target}, ms`,
      ms(was),
      ms(now),
      spread({ speedup }),
    ]),
    ['model file', bytes(before.sizeBytes), bytes(after.sizeBytes), ''],
    ['multiply-adds', millions(before.macs), millions(after.macs), ''],
    ...(quality
      ? [
          [
            `${quality.kind}, ${quality.samples} images`,
            percent(quality.before),
            percent(quality.after),
            '',
          ],
        ]
      : []),
  ]
  return `\`${result.name}\`, compressed by \`${result.command}\` (Node ${result.device.node}, ${threads(result)}):

${table(['', 'before', 'after', 'faster'], rows)}`
}

function modelsSummary(results: readonly ModelsResult[]): string {
  const names = [...new Set(results.flatMap(({ rows }) => rows.map((row) => row.model)))]
  const rows = names.map((name) => {
    const found = results.map(({ rows }) => rows.find((row) => row.model === name))
    return [
      name,
      found.find(Boolean)?.input ?? '',
      ...found.flatMap((row, i) => {
        const [theirs, ours] = ['ort-web', 'tersor'].map((who) => timing(row?.timings, who))
        const time = (one?: ResultTiming) => ms(isBusy(results[i]!) ? one?.minMs : one?.medianMs)
        return [
          time(theirs),
          time(ours),
          ours && theirs ? faster(ours, theirs, isBusy(results[i]!)) : '–',
        ]
      }),
    ]
  })
  const heads = results.flatMap(({ device: { node } }) => {
    const major = `Node ${node.split('.')[0]}`
    return [`ort-web, ${major}`, `Tersor, ${major}`, 'faster']
  })
  const first = results[0]!
  return `Models as they are, uncompressed unless the name says \`sparse\`, against onnxruntime-web ${version(first, 'ort-web')}, ${threads(first)}, milliseconds (${busy(results)}${first.device.cpu}; [all figures](bench/RESULTS.md)):

${table(['model', 'input', ...heads], rows)}`
}

function modelsSection(name: string, result: ModelsResult): string {
  const who = [...new Set(result.rows.flatMap(({ timings }) => timings.map((t) => t.name)))]
  const times = result.rows.map(({ model, input, macs, timings }) => [
    model,
    input,
    millions(macs),
    ...who.flatMap((one) => {
      const found = timing(timings, one)
      return one === timings[0]!.name
        ? [cell(found)]
        : [cell(found), found ? faster(found, timings[0]!, isBusy(result)) : '–']
    }),
  ])
  const heads = who.flatMap((one, i) => (i === 0 ? [`${one}, ms`] : [`${one}, ms`, 'faster']))
  const parts = [
    `## ${name}: whole models`,
    facts(result),
    table(['model', 'input', 'MACs', ...heads], times),
  ]
  const skipped = result.rows.flatMap(({ model, skipped }) =>
    skipped.map((one) => `- ${model} on ${one.name} was not timed: ${one.reason}.`),
  )
  if (skipped.length > 0) parts.push(skipped.join('\n'))
  if (result.rows.some(({ cold }) => cold.length > 0)) parts.push(coldTable(result))
  parts.push(sizesTable(result))
  return parts.join('\n\n')
}

function coldTable({ rows }: ModelsResult): string {
  const lines = rows.flatMap(({ model, cold }) =>
    cold.map((one) => [
      model,
      one.name,
      ms(one.importMs),
      ms(one.readyMs),
      ms(one.firstMs),
      ms(one.readyMs + one.firstMs),
    ]),
  )
  const processes = rows.find(({ cold }) => cold.length > 0)?.cold[0]?.processes
  return `Cold start, milliseconds, medians of ${processes} fresh processes that import the runtime, then read the file: import, bytes in memory → ready, first run, and bytes → first result.

${table(['model', 'runtime', 'import', 'ready', 'first run', 'to first result'], lines)}`
}

function sizesTable({ rows, runtimeSizes }: ModelsResult): string {
  const size = (found: ResultSize | undefined) =>
    found ? `${bytes(found.bytes)} (${bytes(found.gzipBytes)})` : '–'
  const models = rows.map(({ model, sizes, compileMs }) => [
    model,
    size(sizes.onnx),
    size(sizes.bundle),
    size(sizes.code),
    compileMs === undefined ? '–' : ms(compileMs),
  ])
  const runtimes = Object.entries(runtimeSizes).map(([name, found]) => `${name} ${size(found)}`)
  return `Sizes, raw (gzip). Runtimes, as a page loads them: ${runtimes.join(', ')}.

${table(['model', 'ONNX file', 'bundle', 'its code', 'compile, ms'], models)}`
}

function kernelsSection(name: string, result: KernelsResult): string {
  const models = [...new Set(result.rows.map(({ model }) => model))].map((model) => {
    const rows = result.rows.filter((row) => row.model === model)
    const hasDense = rows.some(({ timings }) => timing(timings, 'tersor-dense') !== undefined)
    const lines = rows.map(({ layer, kernel, count, macs, timings }) => {
      const [theirs, ours] = ['ort-web', 'tersor'].map((one) => timing(timings, one))
      const time = isBusy(result) ? ours?.minMs : ours?.medianMs
      const rate = time ? ((2 * macs) / time / 1e6).toFixed(1) : '–'
      return [
        layer,
        String(count),
        kernel,
        cell(theirs),
        ...(hasDense ? [cell(timing(timings, 'tersor-dense'))] : []),
        cell(ours),
        ours && theirs ? faster(ours, theirs, isBusy(result)) : '–',
        rate,
      ]
    })
    return `### ${model}, layer by layer

${table(['layer', 'count', 'kernel', 'ort-web, ms', ...(hasDense ? ['our dense, ms'] : []), 'Tersor, ms', 'faster', 'GFLOP/s'], lines)}`
  })
  return [`## ${name}: single layers`, facts(result), ...models].join('\n\n')
}

function compressSection(name: string, result: CompressResult): string {
  const all = result.comparisons.map(({ title, timings }) => {
    const lines = timings.map((t) => [t.name, cell(t), spread(t)])
    return `${title}:\n\n${table(['what', 'ms', 'faster than the first'], lines)}`
  })
  const goal = result.goal === undefined ? [] : [`Goal: ${result.goal}.`]
  return [
    `## ${name}: a compression, end to end`,
    facts(result),
    ...goal,
    beforeAfter(result),
    ...all,
  ].join('\n\n')
}

function papersSection(name: string, result: PapersResult): string {
  const { device, engines, revision } = result
  const rows = result.rows.map((row) => [
    `[${row.spec}](${row.paper}) ${row.name}`,
    row.claim,
    row.check,
    Object.entries(row.figures).map(figure).join('<br>'),
    `${row.holds ? 'holds' : '**does not hold**'}${row.note ? ` (${row.note})` : ''}${row.revision ? `<br>commit ${row.revision}` : ''}`,
  ])
  const held = result.rows.filter(({ holds }) => holds).length
  return [
    `## ${name}: what the papers claim, checked at our scale`,
    `${held} of ${rows.length} claims hold. Mean ± standard deviation over seeds (lowest to highest); ${device.cpu}, Node ${device.node}, ${engines.map((one) => `${one.name} ${one.version}`).join(', ')}${revision ? `, commit ${revision}` : ''}. Written by \`npm run bench:papers\`.`,
    table(['paper', 'claim', 'our check', 'figures', 'verdict'], rows),
  ].join('\n\n')
}

function plansSection(name: string, result: PlansResult): string {
  const rows = result.rows.map(
    ({ model, wholeMs, points, measuredPoints, tableMs, planMs, plans }) => {
      const off = plans.map(({ predictedMs, measuredMs }) => predictedMs / measuredMs - 1)
      const mean = off.reduce((sum, value) => sum + Math.abs(value), 0) / off.length
      const range = `${percent(Math.min(...off))} to ${percent(Math.max(...off))}`
      const table = `${(tableMs / 1000).toFixed(1)} s, ${measuredPoints} of ${points} points measured`
      return [model, ms(wholeMs), table, `${(planMs / 1000).toFixed(1)} s`, percent(mean), range]
    },
  )
  return [
    `## ${name}: plans priced and measured`,
    facts(result),
    `Ten random plans each, of widths and masks: how far the predicted time is from the measured one.`,
    table(['model', 'now, ms', 'price table', 'planning', 'off by', 'range'], rows),
  ].join('\n\n')
}

function sharingSection(name: string, result: SharingResult): string {
  const { model, kernel, steps, seed, dense, samples } = result
  const isBusyRun = isBusy(result)
  const time = (one: ResultTiming) => ms(isBusyRun ? one.minMs : one.medianMs)
  const lines = result.rows.map((row) => [
    row.structure,
    `${row.factor.toFixed(2)}×${row.like ? `, the time of ${row.like}` : ''}`,
    String(row.weights),
    percent(row.accuracy),
    time(row.timing),
    faster(row.timing, dense.timing, isBusyRun),
  ])
  return [
    `## ${name}: zeros that outputs share or not`,
    facts(result),
    `${model}, ${kernel}×${kernel} convolutions but the first; one shot by magnitude, sharing outputs grouped by similarity, ${steps} steps of training, seed ${seed}, ${samples} pictures judged. Dense ${percent(dense.accuracy)}, ${time(dense.timing)} ms, both compiled by Tersor.`,
    table(['zeros', 'fewer weights', 'weights left', 'accuracy', 'ms', 'faster than dense'], lines),
  ].join('\n\n')
}

function figure([name, values]: [string, readonly number[]]): string {
  const isShare = name.endsWith('%')
  const text = (value: number) =>
    isShare ? (100 * value).toFixed(1) : String(Number(value.toPrecision(3)))
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  const spread =
    values.length < 2 || variance === 0
      ? ''
      : ` ± ${text(Math.sqrt(variance / (values.length - 1)))} (${text(Math.min(...values))} to ${text(Math.max(...values))})`
  return `${isShare ? name.slice(0, -1).trim() : name} ${text(mean)}${spread}${isShare ? ' %' : ''}`
}

/**
 * Original and small on each target, then the original on the first runtime against the small one on
 * the last of the same comparison. Labels are alike but for their first word.
 */
function pairs({ comparisons }: CompressResult) {
  const split = ({ name }: ResultTiming) => /^(original|small),? (?:on )?(.+)$/.exec(name)
  return comparisons.flatMap(({ timings }) => {
    const sides = (word: string) => timings.filter((one) => split(one)?.[1] === word)
    const [originals, smalls] = [sides('original'), sides('small')]
    const alike = smalls.flatMap((small) => {
      const where = split(small)![2]!
      const original = originals.find((one) => split(one)![2] === where)
      return original ? [pair(where, original, small)] : []
    })
    const [first, last] = [originals[0], smalls.at(-1)]
    if (alike.length < 2 || first === undefined || last === undefined) return alike
    return [...alike, pair(`${split(first)![2]} → ${split(last)![2]}`, first, last)]
  })
}

function pair(target: string, original: ResultTiming, small: ResultTiming) {
  const ratios = original.rounds.map((time, i) => time / small.rounds[i]!).sort((a, b) => a - b)
  const speedup = {
    median: ratios[Math.floor(ratios.length / 2)]!,
    low: ratios[0]!,
    high: ratios.at(-1)!,
  }
  return { target, was: original.medianMs, now: small.medianMs, speedup }
}

function facts(result: Result): string {
  const { device, engines, conditions, startedAt, revision } = result
  const { rounds, roundMs, load } = conditions
  const engineList = engines.map(({ name, version }) => `${name} ${version}`).join(', ')
  const sampling = roundMs > 0 ? `${rounds} rounds of ${roundMs} ms` : `${rounds} rounds`
  const loads = load ? `, load ${load.map((value) => value.toFixed(1)).join(' → ')}` : ''
  const note = isBusy(result)
    ? ' **Others used the processor during this run: ratios are of the least times, and medians in milliseconds say little.**'
    : ''
  return `${startedAt.slice(0, 10)}, ${device.cpu}, ${device.cores} cores, ${runtimeOf(result)}, ${threads(result)}, ${engineList}; ${sampling}${loads}${revision ? `; code ${revision}` : ''}.${note}`
}

function runtimeOf({ device: { node, v8 } }: Result): string {
  return v8 === '' ? node : `Node ${node} (V8 ${v8})`
}

function isPage({ device }: Result): boolean {
  return device.v8 === ''
}

function isBusy({ conditions: { load }, device: { cores } }: Result): boolean {
  return load !== undefined && Math.max(...load) > BUSY * cores
}

function busy(results: readonly Result[]): string {
  return results.some(isBusy)
    ? 'others used the processor meanwhile, so these are the least times; '
    : ''
}

function threads({ conditions }: Result): string {
  return conditions.threads === 1 ? 'one thread' : `${conditions.threads} threads`
}

function version({ engines }: Result, name: string): string {
  return engines.find((engine) => engine.name === name)?.version ?? ''
}

function timing(timings: readonly ResultTiming[] | undefined, name: string) {
  return timings?.find((one) => one.name === name)
}

/** Median with the 10th and 90th percentile. */
function cell(found: ResultTiming | undefined): string {
  return found ? `${ms(found.medianMs)} (${ms(found.lowMs)}–${ms(found.highMs)})` : '–'
}

// Where others took the processor away, medians say who was interrupted: the least times say more.
function faster(found: ResultTiming, base: ResultTiming, isBusyRun: boolean): string {
  return isBusyRun
    ? `${(base.minMs / found.minMs).toFixed(2)}× (least ${ms(found.minMs)})`
    : spread(found)
}

function spread({ speedup: { median, low, high } }: Pick<ResultTiming, 'speedup'>): string {
  return `${median.toFixed(2)}× (${low.toFixed(2)}–${high.toFixed(2)})`
}

function ms(value: number | undefined): string {
  if (value === undefined) return '–'
  if (value < 0.1) return value.toPrecision(2)
  return value < 1 ? value.toFixed(3) : value < 100 ? value.toFixed(2) : value.toFixed(0)
}

function bytes(value: number): string {
  return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(2)} MB`
}

function millions(value: number): string {
  return `${(value / 1e6).toFixed(1)} M`
}

function percent(value: number): string {
  return `${(value * 100).toFixed(1)} %`
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n')
}
