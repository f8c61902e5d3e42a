// Uniform: the same fraction stays everywhere, the largest that is within the budget.
import type { Allocator } from '../contracts.ts'
import { densityOf, firstWithin, planAt, sitesOf } from './sites.ts'

/** Every class and weight takes its sparsest choice that keeps at least the common fraction. */
export const uniform: Allocator = {
  name: 'uniform',
  paper: 'https://arxiv.org/abs/1710.01878',
  allocate(problem) {
    const sites = sitesOf(problem)
    const fractions = sites.flatMap((site) => site.choices.map((choice) => densityOf(site, choice)))
    const stages = [...new Set(fractions)].sort((a, b) => b - a)
    return firstWithin(problem, stages, (fraction) =>
      planAt(
        sites,
        sites.map((site) => sparsestAbove(site, fraction)),
      ),
    )
  },
}

/** Index of the choice of a site that keeps least of those that keep at least a fraction. */
export function sparsestAbove(site: Parameters<typeof densityOf>[0], fraction: number): number {
  let [best, least] = [0, Number.POSITIVE_INFINITY]
  site.choices.forEach((choice, i) => {
    const density = densityOf(site, choice)
    if (density >= fraction - 1e-9 && density < least) [best, least] = [i, density]
  })
  return best
}
