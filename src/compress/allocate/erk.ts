// Erdős–Rényi kernel: a weight keeps in proportion to (Σ sizes) ÷ (Π sizes) of its axes, so that small
// layers stay dense. Evci et al. 2020, RigL (arXiv 1911.11134).
import { sizeOf } from '../../tensor/tensor.ts'
import { OptionError } from '../../util/errors.ts'
import type { Allocator } from '../contracts.ts'
import { densityOf, firstWithin, planAt, sitesOf } from './sites.ts'
import { sparsestAbove } from './uniform.ts'

/** Allots by shape alone; `shapes` must hold every class and weight. */
export const erk: Allocator = {
  name: 'erk',
  paper: 'https://arxiv.org/abs/1911.11134',
  allocate(problem) {
    const sites = sitesOf(problem)
    const factors = sites.map(({ name }) => {
      const shape = problem.shapes?.[name]
      if (shape === undefined)
        throw new OptionError(`Cannot allot "${name}" by shape: the problem gives none`)
      return shape.reduce((sum, size) => sum + size, 0) / sizeOf(shape)
    })
    // ε at which a site would just be allowed each of its choices.
    const scales = sites.flatMap((site, i) =>
      site.choices.map((choice) => densityOf(site, choice) / factors[i]!),
    )
    const stages = [...new Set(scales)].sort((a, b) => b - a)
    return firstWithin(problem, stages, (scale) =>
      planAt(
        sites,
        sites.map((site, i) => sparsestAbove(site, Math.min(1, scale * factors[i]!))),
      ),
    )
  },
}
