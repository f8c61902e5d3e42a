// A vitest reporter that ends the output with one plain line for scripts: `N passed, N failed`.
// biome-ignore lint/style/noDefaultExport: vitest loads a reporter's default export
export default class CountReporter {
  onTestRunEnd(modules, errors) {
    let passed = 0
    let failed = errors.length
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed++
        else if (state === 'failed') failed++
      }
      // A file that does not load or whose hooks fail counts, though it may hold no failed test.
      failed += module.errors().length
      for (const suite of module.children.allSuites()) failed += suite.errors().length
    }
    this.line = `${passed} passed, ${failed} failed`
    // After every other reporter has printed its summary.
    process.on('exit', () => process.stdout.write(`${this.line}\n`))
  }
}
