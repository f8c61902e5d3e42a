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

/** Says what is wrong with an import of our own file, or nothing. */
function judgeOwn({ specifier, typeOnly }, path, here) {
  const place = placeOf(posix.join(posix.dirname(path), specifier).replace(/\.js$/, '.ts'))
  if (layerOf(place) === here || covers(layers[here], place)) return
  if (here === 'runtime') return `the runtime may not leave its folder for ${specifier}`
  const types = covers(typesOnly[here], place)
  if (types && typeOnly) return
  return `${here} may not import ${place}${types ? ' (types only)' : ''}`
}

/** Says what is wrong with an import of a package, or nothing. */
function judgePackage({ specifier }, here) {
  if (specifier.startsWith('node:')) return
  if (here === 'runtime') return `the runtime has no dependency, found "${specifier}"`
  const parts = specifier.split('/')
  const name = parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
  const owners = packages[name]
  if (owners !== undefined && !owners.includes(here))
    return `only ${owners.join(', ')} may import "${name}"`
  if (name === '@tersor/runtime' && !covers(layers[here], specifier))
    return `${here} may not import "${specifier}"`
}

for (const path of files('src/*.ts', 'src/**/*.ts', 'runtime/src/*.ts', 'runtime/src/**/*.ts')) {
  const here = layerOf(placeOf(path))
  if (layers[here] === undefined) findings.push(`${path}: "${here}" is not a layer of layers.json`)
  // An import that is relative but no source file is data.
  const judged = importsOf(read(path)).filter(
    ({ specifier }) => !specifier.startsWith('.') || /\.[jt]s$/.test(specifier),
  )
  for (const found of judged) {
    const wrong = found.specifier.startsWith('.')
      ? judgeOwn(found, path, here)
      : judgePackage(found, here)
    if (wrong !== undefined) findings.push(`${path}:${found.line}: ${wrong}`)
  }
}

finish(findings, `${Object.keys(layers).length} layers`)
