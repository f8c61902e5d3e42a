// Names of a model → identifiers of C.
const reserved: ReadonlySet<string> = new Set(
  `auto break case char const continue default do double else enum extern float for goto if inline int
  long register restrict return short signed sizeof static struct switch typedef union unsigned void
  volatile while alignas alignof and bool catch class delete explicit export false friend mutable
  namespace new not operator or private protected public template this throw true try typename using
  virtual xor main`.split(/\s+/),
)

/** Returns a C (and C++) identifier that resembles `name`. */
export function identifier(name: string): string {
  const plain = name.replace(/\W+/g, '_').replace(/^_+|_+$/g, '')
  const safe = plain === '' || /^\d/.test(plain) ? `x${plain}` : plain
  return reserved.has(safe) ? `${safe}_` : safe
}

/** Returns an identifier for every name; no two differ in case alone, as macros are upper case. */
export function uniqueIdentifiers(names: readonly string[]): string[] {
  const taken = new Set<string>()
  return names.map((name) => {
    const wanted = identifier(name)
    let found = wanted
    for (let i = 2; taken.has(found.toLowerCase()); i++) found = `${wanted}_${i}`
    taken.add(found.toLowerCase())
    return found
  })
}

/** Returns text as the inside of a C comment. */
export function commentText(text: string): string {
  return text
    .replaceAll('*/', '* /')
    .replaceAll('/*', '/ *')
    .replace(/[^\x20-\x7e]/g, '?')
}

/** Returns text as a C string literal; bytes outside ASCII are written in octal. */
export function stringLiteral(text: string): string {
  const bytes = new TextEncoder().encode(text)
  const characters = Array.from(bytes, (byte) =>
    byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c || byte === 0x3f
      ? `\\${byte.toString(8).padStart(3, '0')}`
      : String.fromCharCode(byte),
  )
  return `"${characters.join('')}"`
}
