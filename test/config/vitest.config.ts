// Owns how the tests run: quick ones first, then those that start servers. Two workers, because a server
// and its test are two processes already.

import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('../..', import.meta.url))
const slow = ['test/integration/**', 'test/security/**', 'test/e2e/**', 'test/docs/**', 'test/clients/**']

export default defineConfig({
  root,
  test: {
    root,
    pool: 'forks',
    maxWorkers: 2,
    // Generous: a slow machine is no failure, and what hangs is still found.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    passWithNoTests: false,
    expect: { poll: { timeout: 15_000 } },
    allowOnly: !process.env['CI'],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reportsDirectory: 'coverage',
    },
    projects: [
      {
        extends: true,
        test: {
          name: 'quick',
          include: ['test/**/*.test.ts', 'test/fuzz/*.fuzz.ts'],
          exclude: slow,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'servers',
          include: slow.map((folder) => `${folder}/*.test.ts`),
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
