import { describe, expect, it } from 'vitest'
import { escapeForScript, injectRun, readPage } from '../../src/report/render.ts'
import { runSchema } from '../../src/report/run.ts'
import { sampleRun } from './sample.ts'

const page = '<script id="run" type="application/json">"__TERSOR_RUN__"</script>'

describe('report', () => {
  it('keeps a run through JSON and the schema', () => {
    const run = sampleRun()
    expect(runSchema.parse(JSON.parse(JSON.stringify(run)))).toEqual(run)
  })

  it('refuses a run whose comparisons lack a speed-up', () => {
    const run = sampleRun()
    run.comparisons[0]!.speedups.pop()
    expect(runSchema.safeParse(run).success).toBe(false)
  })

  it('cannot be left by a hostile layer name', () => {
    const hostile = '</script><script>alert(1)</script><!--'
    const html = injectRun(page, sampleRun(hostile))
    expect(html.match(/<\/?script/g)).toHaveLength(2)
    expect(html).not.toContain('<!--')
    const json = html.slice(page.indexOf('"__'), html.lastIndexOf('</script>'))
    expect(JSON.parse(json).layers[0].name).toBe(hostile)
  })

  it('escapes line separators that end a script line', () => {
    expect(escapeForScript('"a\u2028b\u2029c"')).toBe('"a\\u2028b\\u2029c"')
  })

  it('says so when the page has no place for the data', () => {
    expect(() => injectRun('<p>', sampleRun())).toThrow(/0 data slots/)
  })

  it('keeps dollar signs of names as they are', () => {
    const html = injectRun(page, sampleRun('a$&b$1'))
    expect(html).toContain('a$\\u0026b$1')
  })

  it('a page that was not built is said before anything else is done', () => {
    expect(() => readPage('/nowhere/page.html')).toThrow(/nowhere.*npm run build/)
  })
})
