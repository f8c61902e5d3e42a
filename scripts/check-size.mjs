// Checks file lengths: 500 lines at most, 300 asks for a reason; generated code excepted.
import { files, finish, read } from './files.mjs'

const limit = 500
const comfortable = 300
const findings = []
let count = 0
const long = []
for (const path of files('*.ts', '*.tsx', '*.mjs', '*.js', '*.css')) {
  if (path.includes('/generated/')) continue
  count++
  const lines = read(path).split('\n').length - 1
  if (lines > limit) findings.push(`${path}: ${lines} lines, more than ${limit}`)
  else if (lines > comfortable) long.push(`${path} ${lines}`)
}
finish(
  findings,
  `${count} files${long.length > 0 ? `; over ${comfortable} lines: ${long.join(', ')}` : ''}`,
)
