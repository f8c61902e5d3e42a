// Text by LSTM (Hochreiter and Schmidhuber, Long Short-Term Memory, 1997): the next token at every
// step, or a class for the whole text; untrained.
import { int, type Model, string } from '../ir/graph.ts'
import { Network } from './network.ts'

/** Size and initial weights of an LSTM text model. */
export interface LstmTextOptions {
  /** Tokens of a text. */
  readonly length?: number
  readonly vocabulary?: number
  readonly embedding?: number
  readonly hidden?: number
  readonly layers?: number
  /** With a number of classes the text is read in both directions and classified. */
  readonly classes?: number
  readonly seed?: number
}

/** Returns an LSTM `tokens` [batch, length] → `logits` [batch, length, vocabulary] or [batch, classes]. */
export function lstmText(options: LstmTextOptions = {}): Model {
  const { length = 64, vocabulary = 96, embedding = 32, hidden = 128, layers = 1 } = options
  const net = new Network(options.seed ?? 0)
  const directions = options.classes === undefined ? 1 : 2
  const tokens = net.tokens(length)
  const table = net.normal('embedding.weight', [vocabulary, embedding], 1)
  const embedded = net.node('embedding', 'Gather', [table, tokens], { axis: int(0) })
  let value = net.transpose('steps', embedded, [1, 0, 2])
  let last = value
  for (let layer = 1; layer <= layers; layer++) {
    const name = `lstm${layer}`
    const from = net.shape(value)[2]!
    // Uniform in ±1/√h in the frameworks: a normal of the same spread.
    const deviation = 1 / Math.sqrt(3 * hidden)
    const weights = [
      net.normal(`${name}.input`, [directions, 4 * hidden, from], deviation),
      net.normal(`${name}.hidden`, [directions, 4 * hidden, hidden], deviation),
      net.normal(`${name}.bias`, [directions, 8 * hidden], deviation),
    ]
    const direction = string(directions === 2 ? 'bidirectional' : 'forward')
    const [all, end] = net.nodes([`${name}.all`, `${name}.last`], 'LSTM', [value, ...weights], {
      hidden_size: int(hidden),
      direction,
    })
    const rows = net.transpose(`${name}.rows`, all!, [0, 2, 1, 3])
    value = net.reshape(name, rows, [length, -1, directions * hidden])
    last = end!
  }
  if (options.classes === undefined) {
    const scores = net.linear('scores', value, vocabulary)
    return net.finish(net.transpose('logits', scores, [1, 0, 2]))
  }
  const ends = net.transpose('ends', last, [1, 0, 2])
  const joined = net.reshape('joined', ends, [-1, 2 * hidden])
  return net.score(joined, 2 * hidden, options.classes)
}
