// Constants → graph inputs of the same name, so that a store feeds them at every run; and back.
import type { Model } from '../ir/graph.ts'
import { didYouMean, OptionError } from '../util/errors.ts'

/** Returns the model with the named constants as graph inputs (after the existing ones); their data leaves it. */
export function weightsToInputs(model: Model, names: readonly string[]): Model {
  if (names.length === 0) return model
  const { graph } = model
  const moved = new Set(names)
  const known = graph.constants.map((value) => value.name)
  for (const name of names)
    if (!known.includes(name))
      throw new OptionError(`No constant named "${name}" to feed${didYouMean(name, known)}`)
  const weights = model.weights.copy()
  for (const name of names) weights.delete(name)
  const taken = new Set(graph.inputs.map((value) => value.name))
  return {
    ...model,
    weights,
    graph: {
      ...graph,
      // A model of IR version 3 lists its constants among its inputs too.
      inputs: [
        ...graph.inputs,
        ...graph.constants.filter(({ name }) => moved.has(name) && !taken.has(name)),
      ],
      constants: graph.constants.filter((value) => !moved.has(value.name)),
    },
  }
}

/** Returns a model that came of `from` by `weightsToInputs` and additions, with the named inputs constants again. */
export function inputsToWeights(model: Model, from: Model, names: readonly string[]): Model {
  if (names.length === 0) return model
  const back = new Set(names)
  const wereInputs = new Set(from.graph.inputs.map((value) => value.name))
  const weights = model.weights.copy()
  for (const name of names) weights.set(name, from.weights.get(name))
  const { graph } = model
  return {
    ...model,
    weights,
    graph: {
      ...graph,
      inputs: graph.inputs.filter(({ name }) => !back.has(name) || wereInputs.has(name)),
      constants: [...from.graph.constants.filter(({ name }) => back.has(name)), ...graph.constants],
    },
  }
}
