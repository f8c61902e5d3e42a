// Global ranking: units and weights of all layers in one list, the least important go first.
// Molchanov et al. 2019 (arXiv 1906.10771); needs gains that compare across layers.
import type { Allocator } from '../contracts.ts'
import { densityOf, firstWithin, planAt, type Site, sitesOf } from './sites.ts'

/** Each site drops what is worth less per unit (or element) than one common threshold, whatever it costs. */
export const globalRanking: Allocator = {
  name: 'global',
  paper: 'https://arxiv.org/abs/1906.10771',
  allocate(problem) {
    const sites = sitesOf(problem)
    const thresholds = new Set([Number.NEGATIVE_INFINITY, ...sites.flatMap(slopes)])
    const stages = [...thresholds].sort((a, b) => a - b)
    return firstWithin(problem, stages, (threshold) =>
      planAt(
        sites,
        sites.map((site) => bestAt(site, threshold)),
      ),
    )
  },
}

const countOf = (site: Site, index: number) => site.size * densityOf(site, site.choices[index]!)

// Worth per unit at which a site would leave each choice for a sparser one.
function slopes(site: Site): number[] {
  return site.choices.flatMap((choice, i) =>
    site.choices.slice(i + 1).flatMap((other, k) => {
      const removed = countOf(site, i) - countOf(site, i + 1 + k)
      return removed > 0 ? [(choice.gain - other.gain) / removed] : []
    }),
  )
}

// The choice of most gain − threshold · count; the sparser one on a tie.
function bestAt(site: Site, threshold: number): number {
  if (threshold === Number.NEGATIVE_INFINITY) return 0
  let [best, most] = [0, Number.NEGATIVE_INFINITY]
  site.choices.forEach(({ gain }, i) => {
    const value = gain - threshold * countOf(site, i)
    // What equals up to rounding is a tie.
    if (value < most - 1e-9 * Math.abs(most)) return
    best = i
    most = Math.max(most, value)
  })
  return best
}
