// Activations: weights by the inputs they meet, units by how often they are active, heads by how surely they attend.
import { floatData, floats, stridesOf } from '../../tensor/tensor.ts'
import { invariant } from '../../util/errors.ts'
import type { Criterion } from '../contracts.ts'
import { magnitude } from './magnitude.ts'

/** |w| times the norm of the input it meets. Sun et al. 2023, Wanda; published per row (as N:M compares). */
export const wanda: Criterion = {
  name: 'wanda',
  paper: 'https://arxiv.org/abs/2306.11695',
  needs: ['input-power'],
  score({ name, weight, statistics }) {
    const power = statistics['input-power']
    invariant(power !== undefined, `no statistic "input-power" for "${name}"`)
    const norms = floatData(power).map(Math.sqrt)
    const strides = stridesOf(weight.shape)
    const steps = stridesOf(power.shape).map((step, axis) => (power.shape[axis] === 1 ? 0 : step))
    return floats(
      weight.shape,
      floatData(weight).map((value, i) => {
        let at = 0
        for (let axis = 0; axis < steps.length; axis++)
          at += steps[axis]! * (Math.floor(i / strides[axis]!) % weight.shape[axis]!)
        return Math.abs(value) * norms[at]!
      }),
    )
  },
  over: 'l2',
  scale: 'absolute',
}

/** How often a unit is not zero: one minus APoZ. Hu et al. 2016. Elements by magnitude. */
export const activity: Criterion = {
  ...magnitude,
  name: 'apoz',
  paper: 'https://arxiv.org/abs/1607.03250',
  unitStatistic: 'unit-activity',
  scale: 'relative',
}

/** How surely a head attends; for classes of heads. Voita et al. 2019. Elements by magnitude. */
export const attention: Criterion = {
  ...magnitude,
  name: 'attention',
  paper: 'https://arxiv.org/abs/1905.09418',
  unitStatistic: 'unit-attention',
  scale: 'relative',
}
