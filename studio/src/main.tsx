// The report page: reads the run from the document and draws it.
import { render } from 'preact'
import type { Run } from '../../src/report/run.ts'
import './page.css'
import { Report } from './views/report.tsx'

const data = document.getElementById('run')?.textContent ?? ''
const page = document.getElementById('page')
if (page === null) throw new Error('the document has no place for the page')
const run = JSON.parse(data) as Run // validated against the schema when the report was written
document.title = `${run.model.name} · Tersor report`
render(<Report run={run} />, page)
