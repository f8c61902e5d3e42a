// FPGM: filters near the geometric median of their layer can be replaced by others. He et al. 2019.
import { floatData, floats, sizeOf } from '../../tensor/tensor.ts'
import type { Criterion } from '../contracts.ts'

/** Sum of a unit's distances to all units of its class; per element the squared distance to the mean output. */
export const fpgm: Criterion = {
  name: 'fpgm',
  paper: 'https://arxiv.org/abs/1811.00250',
  needs: [],
  score({ weight }) {
    const values = floatData(weight)
    const outputs = weight.shape[0] ?? 1
    const inner = sizeOf(weight.shape.slice(1))
    const mean = new Float64Array(inner)
    for (let i = 0; i < values.length; i++) mean[i % inner]! += values[i]! / outputs
    return floats(
      weight.shape,
      values.map((value, i) => (value - mean[i % inner]!) ** 2),
    )
  },
  over: 'sum',
  // ‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b.
  scoreRows(rows) {
    const power = rows.map((row) => row.reduce((sum, value) => sum + value * value, 0))
    const sums = new Float32Array(rows.length)
    for (let i = 0; i < rows.length; i++)
      for (let j = i + 1; j < rows.length; j++) {
        let product = 0
        for (let k = 0; k < rows[i]!.length; k++) product += rows[i]![k]! * rows[j]![k]!
        const distance = Math.sqrt(Math.max(0, power[i]! + power[j]! - 2 * product))
        sums[i]! += distance
        sums[j]! += distance
      }
    return sums
  },
  scale: 'relative',
}
