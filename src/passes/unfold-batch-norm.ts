// Conv | ConvTranspose → Conv + BatchNormalization that changes nothing: γ = √(σ² + ε), β = μ.
import { Editor } from '../ir/edit.ts'
import { float, type Model, type Node } from '../ir/graph.ts'
import { floats } from '../tensor/tensor.ts'
import { type Moments, type Pass, Tally } from './pass.ts'

const EPSILON = 1e-5
const ops: ReadonlySet<string> = new Set(['Conv', 'ConvTranspose'])

/** Returns the values whose moments `unfoldBatchNorm` needs: convolutions without a norm behind them. */
export function unfoldTargets(model: Model): string[] {
  const editor = new Editor(model)
  return [...editor.nodes]
    .filter((node) => ops.has(node.op) && refusal(editor, node) === undefined)
    .map((node) => node.outputs[0]!)
}

/** Puts back the norms that an export folded, from moments measured on calibration inputs. */
export const unfoldBatchNorm: Pass = {
  name: 'unfold-batch-norm',
  summary: 'Conv → Conv + BatchNormalization, the function unchanged',
  run: (model, { moments = {} }) => {
    const editor = new Editor(model)
    const tally = new Tally()
    for (const node of editor.nodes) {
      if (!ops.has(node.op) || node.domain !== '') continue
      const value = node.outputs[0]!
      const found = moments[value]
      const reason =
        refusal(editor, node) ?? (found === undefined ? `no moments of "${value}"` : undefined)
      if (reason === undefined && found !== undefined) {
        insertNorm(editor, node, found)
        tally.change()
      } else if (reason !== undefined) tally.skip(node.name || value, reason)
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

function refusal(editor: Editor, node: Node): string | undefined {
  const value = node.outputs[0]!
  if (editor.isOutput(value)) return `"${value}" is an output of the model`
  const readers = editor.consumers(value)
  return readers.some((reader) => reader.op === 'BatchNormalization' && reader.inputs[0] === value)
    ? 'a norm follows it already'
    : undefined
}

function insertNorm(editor: Editor, node: Node, { mean, variance }: Moments): void {
  const value = node.outputs[0]!
  const name = editor.fresh(`${value}_bn`)
  const add = (part: string, values: ArrayLike<number>) =>
    editor.addConstant(floats([values.length], values), `${name}.${part}`)
  const gamma = Array.from(variance, (v) => Math.sqrt(Math.fround(v) + EPSILON))
  const inputs = [
    value,
    add('weight', gamma),
    add('bias', Array.from(mean)),
    add('running_mean', Array.from(mean)),
    add('running_var', Array.from(variance)),
  ]
  const attributes = { epsilon: float(EPSILON) }
  const outputs = [name]
  const [first] = editor.consumers(value)
  const norm = { name, domain: '', op: 'BatchNormalization', inputs, outputs, attributes }
  editor.insert(norm, first === undefined ? {} : { before: first })
  editor.replaceValue(value, name)
}
