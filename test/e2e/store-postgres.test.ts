// A real gateway whose store is a PostgreSQL: a held delete runs once, a restart keeps what waits, and while the store is
// away nothing is allowed, until it is back.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openClient, settingsOf } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'

const POLICY = `
thresholds: { ids: 100, rows: 1000, per: 60s }
roles:
  writer: { allow: [{ access: write, collections: [notes] }] }
access:
  - { who: { group: data-science }, role: writer, targets: [prod-*] }
  - { who: { group: data-owners }, role: writer, targets: [prod-*] }
holds:
  - { name: destructive, match: { risk: [bulk-delete] }, approval: { by: [data-owners], count: 1, expires: 15m } }
`
const SETUP = `
CREATE TABLE notes(id int PRIMARY KEY, body text);
INSERT INTO notes SELECT g, 'note '||g FROM generate_series(1,2000) g;
ANALYZE;
`
const WAIT = { timeout: 25_000, interval: 200 }

describe.skipIf(!hasPostgres('plain'))('a gateway with its store on PostgreSQL', () => {
  let target: TestPostgres
  let stores: TestPostgres
  let product: Product
  let connection: Running

  beforeAll(async () => {
    const both = [startPostgres({ kind: 'plain' }), startPostgres({ kind: 'plain' })] as const
    ;[target, stores] = await Promise.all(both)
    const { superuser, password, host, port } = stores
    product = await startProduct({
      postgres: target,
      database: await target.createDatabase({ sql: SETUP }),
      policy: POLICY,
      more: 'store: { postgres: env:VGATE_STORE_URL }\n',
      env: {
        VGATE_STORE_URL: `postgres://${superuser}:${password}@${host}:${port}/${await stores.createDatabase()}`,
      },
    })
    await product.login('alice')
    await product.login('bob')
    connection = product.start('alice', ['connect', 'prod-vectors', '--json'])
  }, 120_000)

  afterAll(async () => {
    await product?.stop()
    await target?.stop()
    await stores?.stop()
  })

  const clientOf = (ready: Record<string, unknown>): Promise<pg.Client> =>
    openClient(settingsOf(ready))
  const count = async (client: pg.Client): Promise<number> =>
    (await client.query('SELECT count(*)::int AS n FROM notes')).rows[0].n
  const codeOf = async (args: readonly string[]): Promise<unknown> => {
    const { exitCode, stdout } = await product.run('alice', [...args, '--json'])
    if (exitCode === 0) return 0
    return { exitCode, ...(JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as object) }
  }

  it('runs a held delete once, and keeps what waits when it is started again', {
    timeout: 90_000,
  }, async () => {
    const client = await clientOf(await connection.event('ready'))
    const running = client.query('DELETE FROM notes WHERE id > 1500')
    const id = String((await connection.event('held'))['request'])
    expect((await product.run('alice', ['approve', id, '--yes'])).exitCode).toBe(5)
    const answers = await Promise.all([
      product.run('bob', ['approve', id, '--yes']),
      product.run('bob', ['approve', id, '--yes']),
    ])
    expect(answers.map(({ exitCode }) => exitCode).sort()).toEqual([0, 5])
    expect((await running).rowCount).toBe(500)

    const left = client.query('DELETE FROM notes WHERE id > 1000').catch((error: unknown) => error)
    const open = String((await connection.event('held'))['request'])
    await connection.stop('SIGINT')
    expect(await left).toBeInstanceOf(Error)
    const { stderr } = await product.stopGateway('SIGKILL')
    expect(stderr).not.toContain(stores.password)
    await product.startGateway()
    expect((await product.run('bob', ['approve', open, '--yes'])).exitCode).toBe(0)
    connection = product.start('alice', ['connect', 'prod-vectors', '--json'])
    const again = await clientOf(await connection.event('ready'))
    expect((await again.query('DELETE FROM notes WHERE id > 1000')).rowCount).toBe(500)
    expect(await count(again)).toBe(1000)
    await again.end()
  })

  it('does not share its store with another gateway', async () => {
    const other = join(product.directory, 'other.yaml')
    const config = readFileSync(product.configFile, 'utf8').replace('./data', './data2')
    writeFileSync(other, config)
    const { exitCode, stdout } = await product.run('gateway', [
      ...['gateway', 'start', '--config', other, '--json'],
    ])
    expect(exitCode).toBe(9)
    expect(JSON.parse(stdout)).toMatchObject({
      error: {
        code: 'VGATE_STORE_UNAVAILABLE',
        message: 'the store (PostgreSQL) is in use by another gateway',
      },
    })
  })

  it('allows nothing while its store is away, and goes on when it is back', {
    timeout: 90_000,
  }, async () => {
    const second = product.start('bob', ['connect', 'prod-vectors', '--json'])
    const ready = await second.event('ready')
    const client = await clientOf(ready)
    expect(await count(client)).toBe(1000)
    await stores.down()
    await vi.waitFor(async () => {
      expect(await codeOf(['targets'])).toMatchObject({
        exitCode: 9,
        error: { code: 'VGATE_STORE_UNAVAILABLE' },
      })
    }, WAIT)
    // A session that is open goes on until its lease of five seconds has ended.
    await vi.waitFor(async () => {
      await expect(count(client)).rejects.toMatchObject({ severity: expect.any(String) })
    }, WAIT)
    await stores.up()
    await vi.waitFor(async () => expect(await codeOf(['targets'])).toBe(0), WAIT)
    await vi.waitFor(async () => {
      const again = await clientOf(ready)
      expect(await count(again).finally(() => again.end())).toBe(1000)
    }, WAIT)
    await client.end()
    await second.stop('SIGINT')
    const { stderr } = await product.stopGateway()
    expect(stderr).toContain('"event":"store.lost"')
    expect(stderr).toContain('"event":"store.regained"')
    expect(stderr).not.toContain(stores.password)
  })
})
