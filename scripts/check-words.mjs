// Checks that nothing committed depends on one machine, and that no debts are left in the code.
import { files, finish, read } from './files.mjs'

const rules = [
  [/(?:^|[\s"'`(=])\/(?:work|home|root|Users)\//m, 'an absolute path of one machine'],
  [/\bshared\/(?:models|data|prototypes|methods|conformance)\b/, 'a path outside the repository'],
  [/\b(?:TODO|FIXME|XXX)\b/, 'an open debt: do it or delete it'],
  [/[A-Z]:\\Users\\/, 'an absolute path of one machine'],
]
const text = /\.(?:ts|tsx|mjs|js|json|md|html|css|sh|yml|yaml|txt)$/
const findings = []
let count = 0
for (const path of files()) {
  if (!text.test(path) || path === 'package-lock.json' || path === 'scripts/check-words.mjs')
    continue
  if (path.includes('/generated/')) continue
  count++
  read(path)
    .split('\n')
    .forEach((line, index) => {
      for (const [pattern, what] of rules)
        if (pattern.test(line))
          findings.push(`${path}:${index + 1}: ${what}: ${line.trim().slice(0, 80)}`)
    })
}
finish(findings, `${count} files`)
