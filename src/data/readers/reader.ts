// Reader: the contract of a data format. One file per format, one line in index.ts.
import type { Dataset } from '../dataset.ts'

/** Where data may lie: a file, a folder with its entries, or a name that is no path. */
export interface Place {
  readonly path: string
  readonly kind: 'file' | 'folder' | 'none'
  /** Names in the folder; empty otherwise. */
  readonly entries: readonly string[]
}

/** How data is opened. */
export interface OpenOptions {
  /** Decides splits that a format does not state, and generated data. Default 0. */
  readonly seed?: number
  /** Shorter side that pictures of a folder are needed at; larger ones are reduced to twice that while decoding. Default 512. */
  readonly decodeSize?: number
}

/** Data with its two parts. */
export interface OpenedData {
  readonly format: string
  readonly train: Dataset
  readonly test: Dataset
  /** In one sentence, how train and test were told apart. */
  readonly splitRule: string
  /** The preset that is usual for this data: a proposal, never applied by itself. */
  readonly preset?: string
}

/** A data format. */
export interface Reader {
  readonly format: string
  /** What it takes, for the message when nothing fits. */
  readonly expects: string
  /** True when the place looks like this format, right or damaged. */
  matches(place: Place): boolean
  /** Throws DataError that says what was expected and found. */
  open(
    place: Place,
    options: Required<Pick<OpenOptions, 'seed'>> & OpenOptions,
  ): Promise<OpenedData>
}
