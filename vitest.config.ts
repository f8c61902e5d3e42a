import { defineConfig } from 'vitest/config'

// Workers started by the code under test are TypeScript files: tsx loads them, `source` resolves
// the runtime workspace to its sources.
export default defineConfig({
  resolve: { conditions: ['source', 'node', 'import', 'default'] },
  ssr: { resolve: { conditions: ['source', 'node', 'import', 'default'] } },
  test: {
    include: ['test/**/*.test.ts', 'runtime/test/**/*.test.ts'],
    pool: 'forks',
    execArgv: ['--conditions=source', '--import=tsx'],
    testTimeout: 30_000,
    maxWorkers: 2,
  },
})
