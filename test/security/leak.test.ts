// Planted secrets after a whole story: none of them stands in what the gateway keeps, says or is started with, nor in
// what the command line prints, beyond the places that exist to hold them.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, startProduct } from '../support/product.js'
import { type Login, storedLogin } from '../support/stored-login.js'
import { storedText } from '../support/stored-text.js'

const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs] }] }
access:
  - { who: { group: data-science }, role: reader, targets: [prod-vectors] }
`

/** Every file below a folder, with its text; of recordings also their records. */
function filesBelow(folder: string): { path: string; text: string; mode: number }[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({
      path,
      text: storedText(path),
      mode: statSync(path).mode & 0o777,
    }))
}

describe.skipIf(!hasPostgres('plain'))('secrets', () => {
  let postgres: TestPostgres
  let product: Product
  let port: string
  let login: Login
  let said = ''
  const running: string[] = []

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    const sql = 'CREATE TABLE docs(id int PRIMARY KEY); INSERT INTO docs VALUES (1)'
    const database = await postgres.createDatabase({ sql })
    product = await startProduct({ postgres, database, policy: POLICY })
    await product.login('alice')
    login = storedLogin(product, 'alice')
    const connection = product.start('alice', ['connect', 'prod-vectors', '--json'])
    const ready = await connection.event('ready')
    port = (ready['env'] as Record<string, string>)['PGPASSWORD'] ?? ''
    for (const pid of [product.gatewayPid(), connection.pid ?? 0]) {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      running.push(words)
    }
    const script = `const { Client } = await import('${import.meta.resolve('pg')}').then((m) => m.default)
      const ask = async (config, sql) => { const c = new Client(config); try { await c.connect(); return (await c.query(sql)).rows } catch (e) { console.log(e.message) } finally { await c.end().catch(() => {}) } }
      await ask({}, 'SELECT * FROM docs')
      await ask({}, 'SELECT * FROM salaries')
      await ask({ password: 'wrong' }, 'SELECT 1')
      await ask({ database: 'other' }, 'SELECT 1')`
    const steps: [string[], Record<string, string>?][] = [
      [['exec', 'prod-vectors', '--', process.execPath, '--input-type=module', '-e', script]],
      [['whoami']],
      [['targets', '--json']],
      [['sessions', 'list', '--json']],
      [['connect', 'nope'], { VGATE_DEBUG: '1' }],
      [['replay', String(ready['session'])]],
      [['verify', join(product.directory, 'data')]],
    ]
    for (const [args, env] of steps) {
      const result = await product.run('alice', args, env === undefined ? {} : { env })
      said += result.stdout + result.stderr
    }
    await connection.stop()
    const stopped = await product.stopGateway()
    said += stopped.stdout + stopped.stderr
  })

  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
  })

  const planted = (): [string, string][] => [
    ['database password', postgres.password],
    ['port secret', port],
    ['access token', login.accessToken],
    ['refresh token', login.refreshToken],
  ]

  it('are real, or this file proves nothing', () => {
    for (const [, secret] of planted()) expect(secret.length).toBeGreaterThan(8)
    expect(said).toContain('salaries')
  })

  it('are in no file of the gateway', () => {
    const files = filesBelow(join(product.directory, 'data'))
    // What must stand in a recording is found in it, so that what is not found is not there.
    const recordings = files.filter(({ path }) => path.endsWith('.vgr'))
    expect(recordings.some(({ text }) => text.includes('SELECT * FROM salaries'))).toBe(true)
    for (const { path, text, mode } of files) {
      for (const [name, secret] of planted())
        expect({ path, name, found: text.includes(secret) }).toEqual({ path, name, found: false })
      expect({ path, mode: mode & 0o077 }).toEqual({ path, mode: 0 })
    }
  })

  it('are not in what gateway and commands say', () => {
    for (const [name, secret] of planted())
      expect({ name, found: said.includes(secret) }).toEqual({ name, found: false })
    expect(said).not.toMatch(/eyJ[\w-]+\.eyJ/)
  })

  it('are in no argument of a process', () => {
    for (const words of running)
      for (const [, secret] of planted()) expect(words).not.toContain(secret)
  })

  it('are, in the home, in the file of tokens alone, which nobody else can read', () => {
    const state = product.stateOf('alice')
    expect(statSync(state).mode & 0o077).toBe(0)
    for (const { path, text, mode } of filesBelow(state)) {
      expect({ path, mode: mode & 0o077 }).toEqual({ path, mode: 0 })
      if (path.endsWith('/tokens.json')) continue
      for (const [name, secret] of planted())
        expect({ path, name, found: text.includes(secret) }).toEqual({ path, name, found: false })
    }
  })
})
