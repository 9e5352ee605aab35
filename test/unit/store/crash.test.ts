// Owns the proof that what the store acknowledged survives a kill -9 of its process at any moment.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openStore } from '../../../src/store/open.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
// Below node_modules, so that the child finds its packages.
const built = join(root, 'node_modules', '.cache', `vgate-store-test-${process.pid}`)

const CHILD = `
import { openStore } from './store/open.js'
const store = openStore({ directory: process.argv[2], clock: { now: () => 1000 } })
await store.upsertPrincipal({ id: 'usr_1', kind: 'person', provider: 'corp', issuer: 'i', subject: 's',
  name: 'n', groups: [], claims: {} })
for (let n = 0; ; n++) {
  const grant = { id: 'grt_' + n, principal: 'usr_1', target: 't', roles: ['r'], startsAt: 1, endsAt: 2000 }
  await store.createGrant(grant, 'h')
  await store.openSession({ id: 'ses_' + n, grant, principal: { id: 'usr_1', name: 'n', provider: 'corp' },
    database: 'd', client: {}, maxOpen: 1e6 })
  if (n % 2) await store.revokeGrant(grant.id, 'usr_1', 'odd')
  process.stdout.write(n + '\\n')
}`

beforeAll(() => {
  for (const room of ['core', 'store']) {
    for (const name of readdirSync(join(root, 'src', room)).filter((it) => it.endsWith('.ts'))) {
      const source = readFileSync(join(root, 'src', room, name), 'utf8')
      const { outputText } = ts.transpileModule(source, {
        compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
      })
      const out = join(built, room, name.replace(/\.ts$/, '.js'))
      mkdirSync(dirname(out), { recursive: true })
      writeFileSync(out, outputText)
    }
  }
  writeFileSync(join(built, 'package.json'), '{"type":"module"}')
  writeFileSync(join(built, 'child.js'), CHILD)
})
afterAll(() => rmSync(built, { recursive: true, force: true }))

it.each([
  1, 7, 20, 33, 60,
])('keeps what was acknowledged when killed after %i rounds', async (kills) => {
  const directory = mkdtempSync(join(tmpdir(), 'vgate-crash-'))
  const child = spawn(process.execPath, [join(built, 'child.js'), directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
  let last = -1
  for await (const line of createInterface({ input: child.stdout })) {
    last = Number(line)
    if (last === kills) child.kill('SIGKILL')
  }
  expect(await ended).toBe('SIGKILL')
  expect(last).toBeGreaterThanOrEqual(kills)

  // The lock died with the process; every acknowledged round is there, whole.
  const store = openStore({ directory, clock: { now: () => 1500 } })
  for (let n = 0; n <= last; n++) {
    const grant = await store.findGrant(`grt_${n}`)
    expect(grant?.id).toBe(`grt_${n}`)
    expect(grant?.revoked?.reason).toBe(n % 2 ? 'odd' : undefined)
  }
  const crashed = await store.markCrashed()
  expect(crashed.length).toBeGreaterThan(last)
  expect(crashed.length).toBeLessThanOrEqual(last + 2)
  await store.close()
})
