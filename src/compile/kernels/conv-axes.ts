// One spatial axis of a convolution as the loops of a kernel see it.
import type { Window } from '../../ir/ops/shared/window.ts'

/**
 * Output position `outStart + j·outStep` (j below `count`) reads input position
 * `inStart + j·inStep + t·tapStep` under kernel element `kernelStart + t·kernelStep` (t below `taps`).
 * Input positions outside the axis lie in the halo.
 */
export interface AxisPlan {
  readonly count: number
  readonly outStart: number
  readonly outStep: number
  readonly taps: number
  readonly inStart: number
  readonly inStep: number
  readonly tapStep: number
  readonly kernelStart: number
  readonly kernelStep: number
}

/** Returns the plan of an axis of a convolution or pool. */
export function convolutionAxis(window: Window, axis: number): AxisPlan {
  return {
    count: window.output[axis]!,
    outStart: 0,
    outStep: 1,
    taps: window.kernel[axis]!,
    inStart: -window.begin[axis]!,
    inStep: window.strides[axis]!,
    tapStep: window.dilations[axis]!,
    kernelStart: 0,
    kernelStep: 1,
  }
}

/** Returns the plans of an axis of a transposed convolution: one per phase of the stride. */
export function transposedAxes(window: Window, axis: number): AxisPlan[] {
  const size = window.output[axis]!
  const stride = window.strides[axis]!
  const dilation = window.dilations[axis]!
  const begin = window.begin[axis]!
  const plans: AxisPlan[] = []
  for (let phase = 0; phase < Math.min(stride, size); phase++) {
    // Output o reads input i under kernel element k where o + begin = i·stride + k·dilation.
    const elements: number[] = []
    for (let k = 0; k < window.kernel[axis]!; k++)
      if ((((phase + begin - k * dilation) % stride) + stride) % stride === 0) elements.push(k)
    // The input position falls as k rises: walk k downwards, so that reading goes forward.
    elements.reverse()
    const [first, second] = elements
    const at = (k: number) => (phase + begin - k * dilation) / stride
    plans.push({
      count: Math.ceil((size - phase) / stride),
      outStart: phase,
      outStep: stride,
      taps: elements.length,
      inStart: first === undefined ? 0 : at(first),
      inStep: 1,
      tapStep: first === undefined || second === undefined ? 1 : at(second) - at(first),
      kernelStart: first ?? 0,
      kernelStep: first === undefined || second === undefined ? 1 : second - first,
    })
  }
  return plans
}

/** Returns how far the plans reach before and after an axis of `size` elements. */
export function haloOf(plans: readonly AxisPlan[], size: number): [before: number, after: number] {
  let [before, after] = [0, 0]
  for (const plan of plans) {
    if (plan.taps === 0 || plan.count === 0) continue
    const last = (plan.count - 1) * plan.inStep + (plan.taps - 1) * plan.tapStep
    before = Math.max(before, -plan.inStart)
    after = Math.max(after, plan.inStart + last - (size - 1))
  }
  return [before, after]
}
