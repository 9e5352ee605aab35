// A second person, end to end: a held delete waits, somebody else approves it, it runs once; access that needs an
// approval; taking it away while it streams. Real binary, real PostgreSQL, real provider, real gateway.

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { settingsOf } from '../support/local-connection.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { type Product, type Running, startProduct } from '../support/product.js'

const POLICY = `
thresholds: { ids: 100, rows: 1000, per: 60s }
roles:
  writer: { allow: [{ access: write, collections: [notes] }] }
  owner: { allow: [{ access: admin, collections: ["*"] }] }
access:
  - { who: { group: data-science }, role: writer, targets: [prod-*] }
  - { who: { group: data-science }, role: owner, targets: [prod-*], grant: { max: 1h, approval: { by: [data-owners] } } }
  - { who: { group: data-owners }, role: writer, targets: [prod-*] }
holds:
  - { name: destructive, match: { risk: [bulk-delete, bulk-update, bulk-export] }, approval: { by: [data-owners], count: 1, expires: 15m } }
`
const SETUP = `
CREATE TABLE notes(id int PRIMARY KEY, body text);
INSERT INTO notes SELECT g, 'note '||g FROM generate_series(1,2000) g;
ANALYZE;
`

describe.skipIf(!hasPostgres('plain'))('a second person', () => {
  let postgres: TestPostgres
  let product: Product
  let connection: Running
  let ready: Record<string, unknown>

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    const database = await postgres.createDatabase({ sql: SETUP })
    product = await startProduct({
      postgres,
      database,
      policy: POLICY,
      gateway: '  administrators: [{ group: data-owners }]\n',
    })
    await product.login('alice')
    await product.login('bob')
    connection = product.start('alice', ['connect', 'prod-vectors', '--json'])
    ready = await connection.event('ready')
  })

  afterAll(async () => {
    await product?.stop()
    await postgres?.stop()
  })

  const clientOf = async (from = ready): Promise<{ client: pg.Client; notices: string[] }> => {
    const client = new pg.Client(settingsOf(from))
    const notices: string[] = []
    client.on('notice', (notice) => notices.push(String(notice.message)))
    client.on('error', () => undefined)
    await client.connect()
    return { client, notices }
  }
  const count = async (client: pg.Client): Promise<number> =>
    (await client.query('SELECT count(*)::int AS n FROM notes')).rows[0].n

  it('holds a delete, shows it to bob with its preview, and runs it once he approves', async () => {
    const { client, notices } = await clientOf()
    const running = client.query('DELETE FROM notes WHERE id > 1500')
    const held = await connection.event('held')
    const id = String(held['request'])
    expect(held).toMatchObject({
      operation: 'delete_by_filter',
      collections: ['notes'],
      preview: '500 of 2,000 rows of notes',
      approvers: ['corp:data-owners'],
      url: expect.stringContaining(`/r/${id}`),
    })
    const own = await product.run('alice', ['approve', id, '--yes', '--json'])
    expect(own.exitCode).toBe(5)
    expect(own.stdout).toContain('nobody answers their own request')
    const listed = await product.run('bob', ['requests', '--json'])
    expect(JSON.parse(listed.stdout)).toMatchObject({
      v: 1,
      requests: [
        {
          id,
          requester: { name: 'alice@example.org' },
          operation: { text: 'DELETE FROM notes WHERE id > 1500' },
        },
      ],
    })
    expect((await product.run('bob', ['approve', id])).exitCode).toBe(2)
    const approved = await product.run('bob', ['approve', id, '--yes'])
    expect(approved.stderr).toContain('DELETE FROM notes WHERE id > 1500')
    expect(approved.stderr).toContain('500 of 2,000 rows of notes')
    expect(approved).toMatchObject({ exitCode: 0, stdout: `${id} approved` })
    expect((await running).rowCount).toBe(500)
    expect(notices[0]).toContain(id)
    expect(await connection.event('released')).toMatchObject({ request: id })
    expect(await count(client)).toBe(1500)
    const after = await product.run('bob', ['requests', '--state', 'consumed', '--json'])
    expect(JSON.parse(after.stdout).requests[0]).toMatchObject({ id, outcome: 'done' })
    await client.end()
  })

  it('tells the client why it was denied', async () => {
    const { client } = await clientOf()
    const running = client.query('DELETE FROM notes').catch((error: unknown) => error)
    const id = String((await connection.event('held'))['request'])
    expect((await product.run('bob', ['deny', id, '--reason', 'use the archive'])).exitCode).toBe(0)
    expect(await running).toMatchObject({
      code: '42501',
      message: expect.stringMatching(/was denied.*bob@example\.org: use the archive/),
    })
    expect(await count(client)).toBe(1500)
    await client.end()
  })

  it('shows a page without anything of the request', async () => {
    const listed = await product.run('bob', ['requests', '--all', '--json'])
    const { id } = JSON.parse(listed.stdout).requests[0]
    const page = await (await fetch(`${product.url}/r/${id}`)).text()
    expect(page).toContain(`vgate approve ${id}`)
    expect(page).not.toMatch(/notes|alice|DELETE/)
  })

  it('gives access that needs an approval when the same connect comes again', async () => {
    const args = ['connect', 'prod-vectors', '--role', 'owner', '--json', '--reason', 'reindex']
    await connection.stop('SIGINT')
    const first = await product.run('alice', [...args, '--no-wait'])
    expect(first.exitCode).toBe(6)
    const waiting = JSON.parse(first.stdout.split('\n')[0] ?? '')
    expect(waiting).toMatchObject({ event: 'waiting_approval', approvers: ['corp:data-owners'] })
    const id = String(waiting.request)
    expect((await product.run('alice', ['approve', id, '--yes'])).exitCode).toBe(5)
    expect((await product.run('bob', ['approve', id, '--yes', '--ttl', '10m'])).exitCode).toBe(0)
    connection = product.start('alice', args)
    ready = await connection.event('ready')
    const left = Date.parse(String(ready['expires_at'])) - Date.now()
    expect(left).toBeLessThanOrEqual(600_000)
    const { client } = await clientOf()
    await client.query('CREATE TABLE fresh(id int)')
    await client.end()
  })

  it('cuts a running statement within a second of a revocation, and says why', async () => {
    const { client } = await clientOf()
    const running = client
      .query('SELECT count(*) FROM generate_series(1, 2000000000)')
      .catch((error: unknown) => error)
    const started = Date.now()
    const args = ['revoke', 'alice@example.org', '--reason', 'laptop lost', '--json']
    const revoked = await product.run('bob', args)
    expect(revoked.exitCode).toBe(0)
    const answered = Date.now()
    expect(JSON.parse(revoked.stdout)).toMatchObject({ sessions: [ready['session']] })
    expect(await running).toMatchObject({
      code: '57P01',
      message: expect.stringContaining('laptop lost'),
    })
    expect(Date.now() - answered).toBeLessThan(5_000)
    expect(answered - started).toBeLessThan(60_000)
    expect(await connection.event('closed')).toMatchObject({ reason: 'revoked' })
    expect((await connection.ended).exitCode).toBe(5)
    expect((await product.run('alice', ['targets'])).exitCode).toBe(4)
  })

  it('ends one session by its id', async () => {
    const bobs = product.start('bob', ['connect', 'prod-vectors', '--json'])
    const session = String((await bobs.event('ready'))['session'])
    await product.login('alice')
    expect((await product.run('alice', ['sessions', 'kill', session])).exitCode).toBe(2)
    expect((await product.run('bob', ['sessions', 'kill', session])).exitCode).toBe(0)
    expect((await bobs.ended).exitCode).toBe(5)
  })
})
