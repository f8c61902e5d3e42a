// Checks who imports whom against layers.json (a folder of src/, or the runtime, is a layer).
import { posix } from 'node:path'
import { files, finish, read } from './files.mjs'

const { layers, typesOnly, packages } = JSON.parse(read('layers.json'))
const findings = []

/** `src/compress/criteria/taylor.ts` → `compress/criteria/taylor`. */
function placeOf(path) {
  if (path.startsWith('runtime/')) return 'runtime'
  return path.replace(/^src\//, '').replace(/\.tsx?$/, '')
}

const layerOf = (place) => place.split('/')[0]

/** Every import of a source file: what is imported, whether only types are, and the line. */
function importsOf(source) {
  const found = []
  const statement =
    /(?:^|\n)\s*(import|export)\s+(type\s+)?([^'"`;]*?)\s*from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|\b(?:import|new URL)\(\s*['"]([^'"]+)['"]/g
  for (const match of source.matchAll(statement)) {
    const [, , typeWord, names = '', from] = match
    const specifier = from ?? match[5] ?? match[6]
    const listed = names
      .match(/^\{([\s\S]*)\}$/)?.[1]
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean)
    const typeOnly =
      typeWord !== undefined || (listed?.every((name) => name.startsWith('type ')) ?? false)
    const line =
      source.slice(0, match.index).split('\n').length + (match[0].startsWith('\n') ? 1 : 0)
    found.push({ specifier, typeOnly, line })
  }
  return found
}

/** Whether a table row allows a place: `*`, a layer, or a folder inside a layer. */
const covers = (row, place) =>
  (row ?? []).some((entry) => entry === '*' || place === entry || place.startsWith(`${entry}/`))

for (const path of files('src/*.ts', 'src/**/*.ts', 'runtime/src/*.ts', 'runtime/src/**/*.ts')) {
  const here = layerOf(placeOf(path))
  if (layers[here] === undefined) {
    findings.push(`${path}: "${here}" is not a layer of layers.json`)
    continue
  }
  for (const { specifier, typeOnly, line } of importsOf(read(path))) {
    const say = (message) => findings.push(`${path}:${line}: ${message}`)
    if (specifier.startsWith('.') && !/\.[jt]s$/.test(specifier)) {
      continue // a data file
    } else if (specifier.startsWith('.')) {
      const target = posix.join(posix.dirname(path), specifier)
      const place = placeOf(target.replace(/\.js$/, '.ts'))
      if (layerOf(place) === here) continue
      if (here === 'runtime') say(`the runtime may not leave its folder for ${specifier}`)
      else if (covers(layers[here], place)) continue
      else if (typeOnly && covers(typesOnly[here], place)) continue
      else
        say(
          `${here} may not import ${place}${covers(typesOnly[here], place) ? ' (types only)' : ''}`,
        )
    } else if (specifier.startsWith('node:')) {
      continue
    } else if (here === 'runtime') {
      say(`the runtime has no dependency, found "${specifier}"`)
    } else {
      const name = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/')
      const owners = packages[name]
      if (owners !== undefined && !owners.includes(here))
        say(`only ${owners.join(', ')} may import "${name}"`)
      if (name === '@tersor/runtime' && !covers(layers[here], specifier))
        say(`${here} may not import "${specifier}"`)
    }
  }
}

finish(findings, `${Object.keys(layers).length} layers`)
