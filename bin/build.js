#!/usr/bin/env node
// Owns the build: src and the packages that start-up needs put together in dist (docs/adr/0019), and oclif's manifest,
// when something is newer than the last build. It checks no types. `--force` builds anyway.

import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
// As deep as dist, because source maps name the sources from where they are.
const fresh = join(root, `.dist-${process.pid}`)
const stamp = join(dist, '.built')
const inputs = ['src', 'package.json', 'package-lock.json', 'bin/build.js', 'bin/bundle.js']

/** Every file under a path. */
function files(path) {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

function newest(paths) {
  return Math.max(
    ...paths.flatMap((path) => [...files(path), path]).map((file) => statSync(file).mtimeMs),
  )
}

/** Runs a program of node_modules; its output is shown only when it fails. */
function run(script, args) {
  const result = spawnSync(process.execPath, [join(root, 'node_modules', script), ...args], {
    cwd: root,
    encoding: 'utf8',
  })
  if (result.status === 0) return
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}build: ${script} failed\n`)
  rmSync(fresh, { recursive: true, force: true })
  process.exit(1)
}

/** What src holds besides TypeScript (the demo's data) goes along as it is. */
function copyData() {
  for (const file of files(join(root, 'src'))) {
    if (file.endsWith('.ts')) continue
    const target = join(fresh, relative(join(root, 'src'), file))
    mkdirSync(dirname(target), { recursive: true })
    copyFileSync(file, target)
  }
}

const current =
  existsSync(stamp) &&
  existsSync(join(root, 'oclif.manifest.json')) &&
  statSync(stamp).mtimeMs > newest(inputs.map((input) => join(root, input)))
if (!current || process.argv.includes('--force')) {
  // The time of the start, so that a file saved meanwhile counts as newer.
  const started = new Date()
  process.stderr.write('building …\n')
  // Built beside it and swapped, so that a build that fails leaves the last good one.
  const { bundle } = await import('./bundle.js')
  try {
    await bundle(root, fresh)
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true })
    process.stderr.write(`${error.message}\nbuild: failed\n`)
    process.exit(1)
  }
  copyData()
  rmSync(dist, { recursive: true, force: true })
  renameSync(fresh, dist)
  run('oclif/bin/run.js', ['manifest'])
  writeFileSync(stamp, '')
  utimesSync(stamp, started, started)
}
