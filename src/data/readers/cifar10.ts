// CIFAR-10, official binary version: records of a label byte and 3072 bytes of R, G, B planes.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DataError } from '../../util/errors.ts'
import { type Dataset, splitDataset } from '../dataset.ts'
import { openRecords } from './ranges.ts'
import type { OpenedData, Reader } from './reader.ts'

const SIZE = 32
const RECORD = 1 + 3 * SIZE * SIZE
const standardClasses = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
]
const isTrain = (name: string) => /^data_batch_\d+\.bin$/.test(name)
const isTest = (name: string) => name === 'test_batch.bin'

/** `data_batch_*.bin` and `test_batch.bin`; files may be missing or hold fewer records. */
export const cifar10: Reader = {
  format: 'cifar10',
  expects: 'a folder with data_batch_*.bin and test_batch.bin (CIFAR-10 binary)',
  matches: ({ entries }) => entries.some((name) => isTrain(name) || isTest(name)),
  open: async ({ path, entries }, { seed }): Promise<OpenedData> => {
    const classes = classesOf(path, entries)
    const part = (name: string, keep: (entry: string) => boolean) => {
      const files = entries.filter(keep).map((entry) => join(path, entry))
      return files.length === 0 ? undefined : openPart(`cifar10 ${name}`, files, classes)
    }
    const train = part('train', isTrain)
    const test = part('test', isTest)
    if (train !== undefined && test !== undefined)
      return { format: 'cifar10', train, test, splitRule: 'the official files', preset: 'cifar10' }
    const halves = splitDataset((train ?? test)!, { seed, share: 0.9 })
    const missing = train === undefined ? 'data_batch_*.bin' : 'test_batch.bin'
    const splitRule = `${missing} is missing: the rest split 90/10 with seed ${seed}`
    return { format: 'cifar10', ...halves, splitRule, preset: 'cifar10' }
  },
}

function openPart(name: string, files: readonly string[], classes: readonly string[]): Dataset {
  const records = openRecords(files, RECORD)
  return {
    name,
    length: records.length,
    labelled: true,
    classes,
    size: { width: SIZE, height: SIZE },
    variation: { shift: 1 / 8, mirror: true },
    read: (index) => {
      const record = records.read(index)
      const label = record[0]!
      if (label >= classes.length)
        throw new DataError(
          `Record ${index} of "${name}" has the label ${label}; expected one below ${classes.length}: is this the binary version of CIFAR-10?`,
        )
      const pixels = record.subarray(1)
      return { kind: 'image', width: SIZE, height: SIZE, channels: 3, pixels, label }
    },
    close: async () => records.close(),
  }
}

function classesOf(path: string, entries: readonly string[]): readonly string[] {
  if (!entries.includes('batches.meta.txt')) return standardClasses
  const lines = readFileSync(join(path, 'batches.meta.txt'), 'utf8').split('\n')
  const names = lines.map((line) => line.trim()).filter((line) => line !== '')
  return names.length === standardClasses.length ? names : standardClasses
}
