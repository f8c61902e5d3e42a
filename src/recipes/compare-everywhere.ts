// The figures of a report: original and result on every target there is, interleaved in one run each.
import type { Model } from '../ir/graph.ts'
import { type Candidate, type Comparison, compare } from '../profile/measure.ts'
import type { Workbench } from '../profile/prepare.ts'
import { type TargetName, targetNames } from '../profile/target.ts'

/**
 * Times original and small together on the goal's target and in ONNX Runtime, all in one run for the
 * web targets (they share the question "what does a page gain") and one for onnxruntime-node.
 * Targets that do not run are left out with a note.
 */
export async function compareEverywhere(
  original: Model,
  small: Model,
  {
    bench,
    target,
    onProgress,
  }: {
    readonly bench: Workbench
    readonly target: TargetName
    readonly onProgress: (done: number, detail: string) => void
  },
): Promise<{ comparisons: Comparison[]; notes: string[] }> {
  const notes: string[] = []
  const comparisons: Comparison[] = []
  const families: readonly (readonly TargetName[])[] = [['ort-web', 'wasm'], ['ort-node']]
  for (const [i, family] of families.entries()) {
    onProgress(i / families.length, family.join(' and '))
    const candidates: Candidate[] = []
    for (const name of family) {
      try {
        candidates.push(await bench.candidate(original, name, labelOf('original', name)))
        candidates.push(await bench.candidate(small, name, labelOf('small', name)))
      } catch (error) {
        if (name === target) throw error
        notes.push(`Not timed on ${name}: ${(error as Error).message}`)
      }
    }
    if (candidates.length > 0)
      comparisons.push(
        await compare(`${family.join(' and ')}, one thread`, candidates, {
          rounds: 9,
          ...bench.timing,
        }),
      )
    for (const candidate of candidates) await candidate.close?.()
  }
  return { comparisons, notes }
}

/** Returns how much faster the small model is than the original on a target: median and range over rounds. */
export function speedupOn(
  comparisons: readonly Comparison[],
  target: TargetName,
): { median: number; low: number; high: number } {
  for (const { timings } of comparisons) {
    const before = timings.find(({ label }) => label === labelOf('original', target))
    const after = timings.find(({ label }) => label === labelOf('small', target))
    if (before === undefined || after === undefined) continue
    const ratios = before.rounds.map((ms, round) => ms / after.rounds[round]!).sort((a, b) => a - b)
    const middle = (ratios.length - 1) / 2
    const median = (ratios[Math.floor(middle)]! + ratios[Math.ceil(middle)]!) / 2
    return { median, low: ratios[0]!, high: ratios.at(-1)! }
  }
  throw new Error(`internal: no timing on ${target} among ${targetNames.join(', ')}`)
}

/** Label of a candidate in these comparisons. */
export function labelOf(which: 'original' | 'small', target: TargetName): string {
  return target === 'wasm' ? `${which}, compiled by Tersor` : `${which} on ${target}`
}
