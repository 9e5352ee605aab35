// Owns how the benchmark and the long tests run: one at a time, with time enough.

import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('../..', import.meta.url))

export default defineConfig({
  root,
  test: {
    root,
    pool: 'forks',
    maxWorkers: 1,
    include: ['test/bench/*.bench.ts', 'test/bench/*.long.ts'],
    testTimeout: 3_600_000,
    hookTimeout: 300_000,
    disableConsoleIntercept: true,
  },
})
