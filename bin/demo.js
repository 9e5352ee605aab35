#!/usr/bin/env node
// Owns `npm run demo`: builds when something is newer than the last build, then runs the demo. `--tour` plays the
// scripted tour, `--json` prints events. Arguments it does not know are refused.

await import('./build.js')

const known = new Set(['--tour', '--json'])
const args = process.argv.slice(2)
const unknown = args.find((argument) => !known.has(argument))
if (unknown !== undefined) {
  console.error(`npm run demo: unknown argument ${unknown}; it takes ${[...known].join(' and ')}`)
  process.exit(2)
}
const { runDemo } = await import('../dist/demo/start.js')
process.exitCode = await runDemo({ tour: args.includes('--tour'), json: args.includes('--json') })
