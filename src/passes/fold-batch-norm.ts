// Conv | ConvTranspose | Gemm + BatchNormalization → the same op with scaled weights and bias.
import { Editor } from '../ir/edit.ts'
import { floatOf, intOf, type Node } from '../ir/graph.ts'
import { type Pass, Tally } from './pass.ts'
import { type Affine, scaleOutputs } from './scale-outputs.ts'

/** Folds inference BatchNormalization into the weights before it, computed in double precision. */
export const foldBatchNorm: Pass = {
  name: 'fold-batch-norm',
  summary: 'Conv + BatchNormalization → Conv',
  run: (model) => {
    const editor = new Editor(model)
    const tally = new Tally()
    for (const norm of editor.nodes) {
      if (norm.op !== 'BatchNormalization' || norm.domain !== '') continue
      const reason = fold(editor, norm)
      if (reason === undefined) tally.change()
      else tally.skip(norm.name || norm.outputs[0]!, reason)
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

// Folds one norm, or returns why not.
function fold(editor: Editor, norm: Node): string | undefined {
  if (intOf(norm, 'training_mode', 0) === 1) return 'it is in training mode'
  const affine = affineOf(editor, norm)
  if (affine === undefined) return 'its parameters are not float32 constants'
  const value = norm.inputs[0]!
  const reason = scaleOutputs(editor, value, affine)
  if (reason !== undefined) return reason
  editor.remove(norm)
  editor.replaceValue(norm.outputs[0]!, value)
  return undefined
}

function affineOf(editor: Editor, norm: Node): Affine | undefined {
  const parameters = norm.inputs.slice(1, 5).map((name) => editor.constant(name)?.data)
  const known = parameters.filter((data) => data instanceof Float32Array)
  if (known.length < 4) return undefined
  const [gamma, beta, mean, variance] = known as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ]
  const epsilon = floatOf(norm, 'epsilon', 1e-5)
  const scale = Float64Array.from(gamma, (g, o) => g / Math.sqrt(variance[o]! + epsilon))
  return { scale, shift: Float64Array.from(beta, (b, o) => b - mean[o]! * scale[o]!) }
}
