// Owns `npm run bench`: its flags, and starting the benchmarks. Usage: npm run bench -- [tunnel] [recording] [sessions] [decision] [beside]
// [masking]
// [--allow-load] [--rounds N] [--seconds N] [--write]; without a name all, of which only `tunnel` takes as long as
// rounds and seconds say. Must never publish numbers of a busy machine without saying so.

import { spawnSync } from 'node:child_process'
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const ALL = ['tunnel', 'recording', 'sessions', 'decision', 'beside', 'masking']
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'allow-load': { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '3' },
    write: { type: 'boolean', default: false },
  },
})
const unknown = positionals.find((name) => !ALL.includes(name))
if (unknown !== undefined) {
  process.stderr.write(`bench: there is no benchmark ${unknown}; there are ${ALL.join(', ')}\n`)
  process.exit(2)
}
const names = positionals.length === 0 ? ALL : positionals
const load = loadavg()[0] ?? 0
if (load > 0.5 && !values['allow-load']) {
  process.stderr.write(
    `bench: the load is ${load.toFixed(2)}, above 0.5; wait, or pass --allow-load and get a page headed "noisy"\n`,
  )
  process.exit(1)
}
const root = fileURLToPath(new URL('../..', import.meta.url))
const { status } = spawnSync(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--config',
    'test/config/vitest.bench.config.ts',
    ...names.map((name) => `${name}.bench.ts`),
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      VGATE_BENCH: JSON.stringify({
        load,
        rounds: Number(values.rounds),
        seconds: Number(values.seconds),
        write: values.write,
      }),
    },
  },
)
process.exit(status ?? 1)
