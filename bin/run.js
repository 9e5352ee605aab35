#!/usr/bin/env node
// Owns the start of the command line: the quick answer to --version, then oclif. Must never load what is not needed.

import { readFileSync } from 'node:fs'

// `vgate … | head`: the reader is gone, and so is the reason to go on. Nobody reading what is said beside the data is
// no reason: the child of `exec` must not lose its connection for it.
process.stdout.on('error', (error) => {
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0)
  throw error
})
process.stderr.on('error', (error) => {
  if (error.code !== 'EPIPE') throw error
})

const argument = process.argv[2]
if (process.argv.length === 3 && (argument === '--version' || argument === '-V')) {
  const { name, version } = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  )
  process.stdout.write(
    `${name}/${version} ${process.platform}-${process.arch} node-${process.version}\n`,
  )
} else {
  // Where an error came from is told in the sources' words, which takes time that nobody else should wait for.
  if (process.env.VGATE_DEBUG) process.setSourceMapsEnabled(true)
  const { startCli } = await import('../dist/cli/start.js')
  await startCli(process.argv.slice(2), import.meta.url)
  await Promise.all(
    [process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))),
  )
  process.exit()
}
