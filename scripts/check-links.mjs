// Checks that every relative link in our pages leads to a file, and every `npm run` to a script.
import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { files, finish, read, root } from './files.mjs'

const { scripts } = JSON.parse(read('package.json'))
const findings = []
let count = 0
for (const path of files('*.md', 'docs/*.md')) {
  const text = read(path)
  for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^(?:https?:|mailto:|#)/.test(link)) continue
    count++
    const target = posix.join(posix.dirname(path), link.split('#')[0])
    if (!existsSync(join(root, target))) findings.push(`${path}: the link ${link} leads nowhere`)
  }
  for (const [, name] of text.matchAll(/npm run ([\w:-]+)/g)) {
    count++
    if (scripts[name] === undefined) findings.push(`${path}: there is no script "${name}"`)
  }
}
finish(findings, `${count} links and scripts`)
