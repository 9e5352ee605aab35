// Owns what the build puts together: the entries, and which packages go in with them (docs/adr/0019). A package that is
// many small files costs every start; one with a native part, a worker or data files stays where npm put it.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { rolldown } from 'rolldown'

/** Loaded or started by their place: the commands by oclif, the others by `builtFile`. */
const ENTRIES = [
  'audit/verify-worker',
  'cli/start',
  'control/index-worker',
  'protocol/postgres/sql/parse-worker',
  'demo/start',
  'demo/embed',
  'demo/pglite-process',
]

/** Packages that are put in, with what they import themselves. */
const INSIDE = [
  ...['@hono/node-server', 'chalk', 'cli-table3', 'execa', 'hono', 'https-proxy-agent', 'jose'],
  ...['kysely', 'lru-cache', 'openid-client', 'proxy-from-env', 're2js', 'ws', 'yaml'],
  ...['yocto-spinner', 'zod'],
]

/** What a package inside looks for and can do without. */
const OPTIONAL = ['bufferutil', 'typescript', 'utf-8-validate']

const packageOf = (id) => id.split('/', id.startsWith('@') ? 2 : 1).join('/')

/** oclif's parts go in; the whole of it is for its plugins, which import it from where npm put it. */
function isOutside(id, importer) {
  if (isBuiltin(id)) return true
  if (/^[./]/.test(id) || id.startsWith('\0')) return false
  if (importer?.includes('node_modules')) return OPTIONAL.includes(packageOf(id))
  return !INSIDE.includes(packageOf(id)) && !id.startsWith('@oclif/core/')
}

/** Puts `src` together in the folder `out`. Rejects with what is wrong with the sources. */
export async function bundle(root, out) {
  const commands = readdirSync(join(root, 'src/cli/commands'), { recursive: true })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => `cli/commands/${file.slice(0, -'.ts'.length)}`)
  const input = Object.fromEntries(
    [...ENTRIES, ...commands].map((entry) => [entry, join(root, 'src', `${entry}.ts`)]),
  )
  const build = await rolldown({ cwd: root, input, platform: 'node', external: isOutside })
  const { output } = await build.write({
    dir: out,
    format: 'esm',
    sourcemap: true,
    sourcemapExcludeSources: true,
    comments: false,
    entryFileNames: '[name].js',
    // The demo is not published. Everything else lies two folders below the top, as core/place.ts expects.
    chunkFileNames: ({ moduleIds }) =>
      moduleIds.length > 0 && moduleIds.every((id) => id.includes('/src/demo/'))
        ? 'demo/[name]-[hash].js'
        : 'parts/[name]-[hash].js',
  })
  await build.close()
  const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []))
  writeFileSync(join(out, 'licenses.txt'), licences(modules))
}

/** The licences of the packages inside, as they ask for. */
function licences(modules) {
  const folders = modules.flatMap(
    (id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(id)?.[0] ?? [],
  )
  const texts = [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    )
    const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one))
    const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8').trim()
    return `${name} ${version} (${license})\n\n${text}\n`
  })
  return texts.join(`\n${'-'.repeat(80)}\n\n`)
}
