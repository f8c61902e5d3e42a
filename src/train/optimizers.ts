// Optimizers: one weight tensor and its gradient at a time, on the host; state is named moment tensors.

/** One update of one weight tensor. */
export interface Update {
  /** Changed in place. */
  readonly weight: Float32Array
  readonly gradient: Float32Array
  /** The optimizer's moments for this weight, in the order of `slots`, changed in place. */
  readonly slots: readonly Float32Array[]
  /** Learning rate of this step. */
  readonly rate: number
  /** Updates of this weight so far, this one included: 1, 2, … */
  readonly count: number
  /** True for weights that weight decay applies to. */
  readonly decays: boolean
}

/** How weights follow gradients. */
export interface Optimizer {
  readonly name: string
  /** Moment tensors kept per weight; they start at zero. */
  readonly slots: readonly string[]
  /** Settings, for the fingerprint of a checkpoint. */
  readonly settings: Readonly<Record<string, number | boolean | string>>
  /** Which weights decay: `matrices` spares biases and norms (rank below 2), `all` does not. */
  readonly decay: 'matrices' | 'all'
  updateInPlace(update: Update): void
}

/** Settings of `sgd`. */
export interface SgdOptions {
  readonly momentum?: number
  readonly nesterov?: boolean
  readonly weightDecay?: number
  readonly decay?: Optimizer['decay']
}

/** Stochastic gradient descent with momentum, PyTorch's form: v ← μv + g, w ← w − rate·v. */
export function sgd(options: SgdOptions = {}): Optimizer {
  const { momentum = 0.9, nesterov = false, weightDecay = 0, decay = 'matrices' } = options
  return {
    name: 'sgd',
    slots: momentum === 0 ? [] : ['momentum'],
    settings: { momentum, nesterov, weightDecay, decay },
    decay,
    updateInPlace: ({ weight, gradient, slots: [velocity], rate, decays }) => {
      const shrink = decays ? weightDecay : 0
      for (let i = 0; i < weight.length; i++) {
        const g = gradient[i]! + shrink * weight[i]!
        if (velocity === undefined) {
          weight[i] = weight[i]! - rate * g
          continue
        }
        const v = momentum * velocity[i]! + g
        velocity[i] = v
        weight[i] = weight[i]! - rate * (nesterov ? g + momentum * v : v)
      }
    },
  }
}

/** Settings of `adam`. */
export interface AdamOptions {
  readonly beta1?: number
  readonly beta2?: number
  readonly epsilon?: number
  /** Decoupled from the gradient (AdamW). */
  readonly weightDecay?: number
  readonly decay?: Optimizer['decay']
}

/** Adam with decoupled weight decay. @see Kingma and Ba 2015; Loshchilov and Hutter 2019 (AdamW) */
export function adam(options: AdamOptions = {}): Optimizer {
  const {
    beta1 = 0.9,
    beta2 = 0.999,
    epsilon = 1e-8,
    weightDecay = 0,
    decay = 'matrices',
  } = options
  return {
    name: 'adam',
    slots: ['first', 'second'],
    settings: { beta1, beta2, epsilon, weightDecay, decay },
    decay,
    updateInPlace: ({ weight, gradient, slots, rate, count, decays }) => {
      const [first, second] = slots as readonly [Float32Array, Float32Array]
      const shrink = decays ? 1 - rate * weightDecay : 1
      const correction1 = 1 - beta1 ** count
      const correction2 = 1 - beta2 ** count
      for (let i = 0; i < weight.length; i++) {
        const g = gradient[i]!
        const m = beta1 * first[i]! + (1 - beta1) * g
        const v = beta2 * second[i]! + (1 - beta2) * g * g
        first[i] = m
        second[i] = v
        const step = m / correction1 / (Math.sqrt(v / correction2) + epsilon)
        weight[i] = weight[i]! * shrink - rate * step
      }
    },
  }
}
