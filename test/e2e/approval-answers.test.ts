// How people answer, end to end: narrowing what they give, typing the name of what is touched whole, watching, saying no,
// letting it expire; and a gateway that is started again while somebody waits. Real binary, PostgreSQL, provider, gateway.

import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openClient, settingsOf } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'

const POLICY = `
thresholds: { ids: 100, rows: 1000, per: 60s }
roles:
  writer: { allow: [{ access: write, collections: [notes, docs] }] }
  brief: { allow: [{ access: read, collections: [docs] }] }
  owner: { allow: [{ access: admin, collections: ["*"] }] }
access:
  - { who: { group: data-science }, role: writer, targets: [prod-*] }
  - { who: { group: data-science }, role: owner, targets: [prod-*], grant: { max: 1h, approval: { by: [data-owners] } } }
  - { who: { group: data-science }, role: brief, targets: [prod-*], grant: { approval: { by: [data-owners], expires: 2s } } }
holds:
  - { name: destructive, match: { risk: [bulk-delete, bulk-update, bulk-export] }, approval: { by: [data-owners], count: 1, expires: 15m } }
`
const SETUP = `
CREATE TABLE notes(id int PRIMARY KEY, body text);
CREATE TABLE docs(id int PRIMARY KEY, body text);
INSERT INTO notes SELECT g, 'note '||g FROM generate_series(1,20000) g;
INSERT INTO docs VALUES (1, 'one');
ANALYZE;
`

describe.skipIf(!hasPostgres('plain'))('people who answer', () => {
  let postgres: TestPostgres
  let product: Product
  let admin: pg.Client
  let connection: Running | undefined

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    const database = await postgres.createDatabase({ sql: SETUP })
    admin = await postgres.connect(database)
    product = await startProduct({ postgres, database, policy: POLICY })
    await Promise.all([product.login('alice'), product.login('bob')])
  })

  afterEach(async () => {
    await connection?.stop('SIGINT')
    connection = undefined
  })

  afterAll(async () => {
    await admin?.end()
    await product?.stop()
    await postgres?.stop()
  })

  const connected = async (
    args: readonly string[] = [],
  ): Promise<{ client: pg.Client; ready: Record<string, unknown> }> => {
    await connection?.stop('SIGINT')
    connection = product.start('alice', ['connect', 'prod-vectors', '--json', ...args])
    const ready = await connection.event('ready')
    return { client: await openClient(settingsOf(ready)), ready }
  }
  const held = async (): Promise<Record<string, unknown>> =>
    (await connection?.event('held')) ?? expect.fail('no connection')
  /** Its error, or its count of rows; never a rejection that nobody hears. */
  const started = (running: Promise<pg.QueryResult>): Promise<unknown> =>
    running.then(
      ({ rowCount }) => rowCount,
      (error: unknown) => error,
    )
  const left = async (): Promise<number> =>
    (await admin.query('SELECT count(*)::int AS n FROM notes')).rows[0].n

  it('counts what it would touch, and shows a page with nothing of it', async () => {
    const { client } = await connected()
    const running = started(client.query('DELETE FROM notes WHERE id <= 18204'))
    const { request, preview, url } = await held()
    expect(preview).toBe('18,204 of 20,000 rows of notes')
    const page = await (await fetch(String(url))).text()
    expect(page).toContain(`vgate approve ${request}`)
    expect(page).not.toMatch(/notes|alice|DELETE|18,204|prod-vectors|data-owners/i)
    const listed = await product.run('bob', ['requests'])
    expect(listed.stdout).toContain('18,204 of 20,000 rows of notes')
    expect((await product.run('bob', ['deny', String(request), '--reason', 'no'])).exitCode).toBe(0)
    expect(await running).toMatchObject({ code: '42501' })
    await client.end()
  })

  it('asks for the name of what is touched whole, and takes no other', async () => {
    const { client } = await connected()
    const running = started(client.query('DELETE FROM notes'))
    const id = String((await held())['request'])
    const question = 'it touches all of notes: type its name to approve:'
    for (const answer of ['y', 'docs', '']) {
      const no = await product.runAtTerminal('bob', ['approve', id], [[question, answer]])
      expect({ answer, exit: no.exitCode }).toEqual({ answer, exit: 3 })
      expect(no.shown).toContain('not approved; the request stays open')
      expect(no.shown).toContain('20,000 of 20,000 rows of notes')
    }
    expect(await left()).toBe(20_000)
    const watch = product.start('bob', ['requests', '--watch', '--json'])
    expect(await watch.event('request')).toMatchObject({ request: { id, state: 'open' } })
    const yes = await product.runAtTerminal('bob', ['approve', id], [[question, 'notes']])
    expect(yes.exitCode).toBe(0)
    expect(await running).toBe(20_000)
    const states: unknown[] = []
    while (!states.includes('consumed'))
      states.push(((await watch.event('request'))['request'] as { state: string }).state)
    expect((await watch.stop('SIGINT')).exitCode).toBe(130)
    await client.end()
  })

  it('takes a plain yes or no where only a part is touched', async () => {
    const { client } = await connected()
    const running = started(client.query("UPDATE docs SET body = 'x' WHERE body <> 'two'"))
    const id = String((await held())['request'])
    const no = await product.runAtTerminal('bob', ['approve', id], [['[y/N]', '']])
    expect(no.exitCode).toBe(3)
    const yes = await product.runAtTerminal('bob', ['approve', id], [['[y/N]', 'y']])
    expect(yes.exitCode).toBe(0)
    expect(await running).toBe(1)
    await client.end()
  })

  it('narrows access to some collections and a shorter time, never to a longer one', async () => {
    const args = ['--role', 'owner', '--reason', 'narrow']
    const asked = await product.run('alice', [
      'connect',
      'prod-vectors',
      ...args,
      '--no-wait',
      '--json',
    ])
    expect(asked.exitCode).toBe(6)
    const id = String(JSON.parse(asked.stdout.split('\n')[0] ?? '').request)
    const longer = await product.run('bob', ['approve', id, '--yes', '--ttl', '2h'])
    expect(longer.exitCode).toBe(2)
    expect(longer.stderr).toContain('may shorten')
    const narrowed = ['--yes', '--ttl', '10m', '--collections', 'docs']
    expect((await product.run('bob', ['approve', id, ...narrowed])).exitCode).toBe(0)
    const { client, ready } = await connected(args)
    const life = Date.parse(String(ready['expires_at'])) - Date.now()
    expect([life > 500_000, life <= 600_000]).toEqual([true, true])
    expect((await client.query('SELECT id FROM docs LIMIT 1')).rows).toEqual([{ id: 1 }])
    await expect(client.query('SELECT id FROM notes LIMIT 1')).rejects.toMatchObject({
      code: '42501',
      message: expect.stringContaining('notes'),
    })
    await client.end()
  })

  it('ends a connect that waits with 7 when it is denied, and when nobody answers', async () => {
    const wait = (role: string): Running =>
      product.start('alice', ['connect', 'prod-vectors', '--role', role, '--json'])
    const denied = wait('owner')
    const id = String((await denied.event('waiting_approval'))['request'])
    expect((await product.run('bob', ['deny', id, '--reason', 'not today'])).exitCode).toBe(0)
    const over = await denied.ended
    expect([over.exitCode, over.stdout]).toEqual([7, expect.stringContaining('not today')])
    const expired = await wait('brief').ended
    expect([expired.exitCode, expired.stdout]).toEqual([7, expect.stringContaining('expired')])
  })

  it('keeps a request over a restart of the gateway, and not the connection that waited', async () => {
    const { client } = await connected()
    const text = "UPDATE docs SET body = 'again' WHERE body <> 'two'"
    const running = started(client.query(text))
    const id = String((await held())['request'])
    await product.stopGateway('SIGKILL')
    expect(await running).toBeInstanceOf(Error)
    await product.startGateway()
    const listed = await product.run('bob', ['requests', '--json'])
    expect(JSON.parse(listed.stdout).requests).toMatchObject([{ id, state: 'open' }])
    expect((await product.run('bob', ['approve', id, '--yes'])).exitCode).toBe(0)
    expect((await admin.query("SELECT 1 FROM docs WHERE body = 'again'")).rowCount).toBe(0)
    const retry = await connected()
    expect(await started(retry.client.query(text))).toBe(1)
    const after = await product.run('bob', ['requests', '--state', 'consumed', '--json'])
    expect(JSON.parse(after.stdout).requests[0]).toMatchObject({ id, outcome: 'done' })
    await retry.client.end()
  })
})
