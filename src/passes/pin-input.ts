// Input → constant: what depends on it alone folds away.
import { Editor } from '../ir/edit.ts'
import type { Model } from '../ir/graph.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { didYouMean, OptionError } from '../util/errors.ts'

/** Returns the model with an input fixed to a value (run `simplify` after). Throws OptionError on a wrong name, type or shape. */
export function pinInput(model: Model, name: string, value: Tensor): Model {
  const input = model.graph.inputs.find((candidate) => candidate.name === name)
  if (input === undefined) {
    const names = model.graph.inputs.map((candidate) => candidate.name)
    throw new OptionError(`The model has no input "${name}"${didYouMean(name, names)}`)
  }
  const fits =
    input.shape === undefined ||
    (input.shape.length === value.shape.length &&
      input.shape.every((dim, i) => typeof dim === 'string' || dim === value.shape[i]))
  if (input.dtype !== value.dtype || !fits)
    throw new OptionError(
      `Cannot pin "${name}" (${input.dtype}[${input.shape}]) to a value of type ${value.dtype}[${value.shape}]`,
    )
  const editor = new Editor(model)
  editor.makeConstant(name, value)
  return editor.finish()
}
