// Checks the exported names of the public entry points against api.txt; `--write` updates it.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { finish, read, root } from './files.mjs'

const entries = {
  tersor: 'src/index.ts',
  'tersor/extend': 'src/extend.ts',
  '@tersor/runtime': 'runtime/src/index.ts',
}

/** Exported names; entry points name every export (`export { a, type B } from`), which this requires. */
function exportedNames(path) {
  const source = read(path).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
  if (/export\s+\*/.test(source)) throw new Error(`${path} uses "export *"; name what is public`)
  const names = []
  for (const [, typeWord, list] of source.matchAll(/export\s+(type\s+)?\{([^}]*)\}/g))
    for (const item of list
      .split(',')
      .map((word) => word.trim())
      .filter(Boolean)) {
      const isType = typeWord !== undefined || item.startsWith('type ')
      const name = item
        .replace(/^type\s+/, '')
        .split(/\s+as\s+/)
        .at(-1)
      names.push(isType ? `type ${name}` : name)
    }
  for (const [, kind, name] of source.matchAll(
    /export\s+(?:declare\s+)?(?:async\s+)?(interface|type|const|function\*?|class)\s+(\w+)/g,
  ))
    names.push(kind === 'interface' || kind === 'type' ? `type ${name}` : name)
  return names.sort()
}

const text = Object.entries(entries)
  .map(([name, path]) => [`[${name}]`, ...exportedNames(path)].join('\n'))
  .join('\n\n')
const now = `${text}\n`
const count = now.split('\n').filter((line) => line !== '' && !line.startsWith('[')).length
if (process.argv.includes('--write')) writeFileSync(join(root, 'api.txt'), now)
const recorded = existsSync(join(root, 'api.txt')) ? read('api.txt') : ''
const difference = (from, to, sign) => {
  const others = new Set(to.split('\n'))
  return from
    .split('\n')
    .filter((line) => !others.has(line))
    .map((line) => `${sign} ${line}`)
}
finish(
  now === recorded
    ? []
    : [
        'The public names differ from api.txt (node scripts/check-api.mjs --write accepts them):',
        ...difference(recorded, now, '-'),
        ...difference(now, recorded, '+'),
      ],
  `${count} public names`,
)
