// Holds over a real PostgreSQL: what waits, how a wait ends, and that it runs at most once.

import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openVerified } from '../../src/audit/read.js'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { RawPostgres } from '../support/raw-postgres.js'

const POLICY = `
thresholds: { ids: 10, rows: 100, per: 60s }
roles: { writer: { allow: [{ access: write, collections: [docs] }], limits: { rows: 150 } } }
access: [{ who: { group: team }, role: writer, targets: ["*"] }]
holds:
  - { name: big, match: { risk: [bulk-delete, bulk-update, bulk-export] }, approval: { by: [owners] }, inTransaction: 1s }
`
const SETUP = `CREATE TABLE docs(id int PRIMARY KEY, body text);
  INSERT INTO docs SELECT g, 'x' FROM generate_series(1, 300) g; ANALYZE`

/** A failed assertion must not leave a rejection behind that nobody hears when the gateway stops. */
function started<T>(running: Promise<T>): Promise<T> {
  running.catch(() => undefined)
  return running
}

describe.skipIf(!hasPostgres('plain'))('held requests', () => {
  let postgres: TestPostgres
  let gateway: TestGateway
  let at: TestConnection
  let admin: pg.Client

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
  })
  afterAll(() => postgres?.stop())
  beforeEach(async () => {
    const database = await postgres.createDatabase({ sql: SETUP })
    gateway = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      users: { alice: ['corp:team'] },
    })
    at = await gateway.connectAs('alice')
    admin = await postgres.connect(database)
  })
  afterEach(async () => {
    await admin?.end()
    await gateway?.stop()
  })

  const connected = async (to = at): Promise<{ client: pg.Client; notices: string[] }> => {
    const { host, port, user, password, database } = to
    const client = new pg.Client({ host, port, user, password, database })
    const notices: string[] = []
    client.on('notice', (notice) => notices.push(`${notice.code} ${notice.message}`))
    client.on('error', () => undefined)
    await client.connect()
    return { client, notices }
  }
  const heldRequest = async (nth = 1): Promise<string> => {
    // Two that wait may be held between two looks.
    await expect.poll(() => at.held.length, { timeout: 15_000 }).toBeGreaterThanOrEqual(nth)
    return at.held[nth - 1]?.request ?? ''
  }
  const approve = async (id: string): Promise<void> =>
    gateway.requests.approve(await gateway.person('bob', ['corp:owners']), id, {})
  const left = async (): Promise<number> =>
    (await admin.query('SELECT count(*)::int AS n FROM docs')).rows[0].n
  const stateOf = async (id: string) => (await gateway.requests.find(id))?.state

  it('waits in the extended protocol with its parameters, which are bound', async () => {
    const { client, notices } = await connected()
    const running = started(client.query('DELETE FROM docs WHERE id > $1', [250]))
    const id = await heldRequest()
    expect(at.held[0]?.preview).toBe('50 of 300 rows of docs')
    await approve(id)
    expect((await running).rowCount).toBe(50)
    expect(notices[0]).toMatch(/^01000 vgate: held by rule holds\.big: request req_/)
    const other = started(client.query('DELETE FROM docs WHERE id > $1', [240]))
    expect(await heldRequest(2)).not.toBe(id)
    await client.end()
    await other.catch(() => undefined)
    expect(await left()).toBe(250)
    await at.close()
    const types: string[] = []
    const recording = await openVerified(at.recording, { keys: [] })
    for await (const record of recording.records()) types.push(record.type)
    expect(types).toEqual(expect.arrayContaining(['hold.opened', 'hold.answered']))
  })

  it('keeps no lock in the database while it waits, and stays in sync either way', async () => {
    const { client } = await connected()
    const text = 'DELETE FROM docs WHERE id > $1'
    const alter = (column: string): Promise<unknown> =>
      admin.query(`SET lock_timeout = '5s'; ALTER TABLE docs ADD COLUMN ${column} int`)
    const refused = started(client.query(text, [250]))
    const id = await heldRequest()
    await alter('a')
    await gateway.requests.deny(await gateway.person('bob', ['corp:owners']), id, 'not now')
    await expect(refused).rejects.toMatchObject({ code: '42501' })
    const running = started(client.query(text, [250]))
    const again = await heldRequest(2)
    await alter('b')
    await approve(again)
    expect((await running).rowCount).toBe(50)
    expect((await client.query('SELECT id FROM docs WHERE id = $1', [7])).rowCount).toBe(1)
    await client.end()
  })

  it('runs once for two that wait for the same', async () => {
    const first = await connected()
    const second = await connected()
    const text = 'DELETE FROM docs WHERE id > 200'
    const settled: string[] = []
    const run = (one: typeof first): Promise<unknown> =>
      started(one.client.query(text).then(() => settled.push('ran')))
    const both = [run(first), run(second)]
    const id = await heldRequest()
    await heldRequest(2)
    expect(at.held[1]?.request).toBe(id)
    await approve(id)
    await Promise.race(both)
    const again = await heldRequest(3)
    expect(again).not.toBe(id)
    expect(settled).toEqual(['ran'])
    await Promise.all([first.client.end(), second.client.end()])
    await Promise.allSettled(both)
  })

  it('gives up within an open transaction, which fails; the retry after approval runs', async () => {
    const { client } = await connected()
    await client.query('BEGIN')
    const failed = await client.query('DELETE FROM docs').catch((error: unknown) => error)
    const id = await heldRequest()
    expect(failed).toMatchObject({
      code: '42501',
      message: expect.stringContaining(id),
      hint: 'roll back, and run it again after approval',
    })
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' })
    await client.query('ROLLBACK')
    await approve(id)
    await client.query('BEGIN')
    expect((await client.query('DELETE FROM docs')).rowCount).toBe(300)
    await client.query('ROLLBACK')
    expect(await stateOf(id)).toBe('consumed')
    await client.end()
  })

  it('ends with a CancelRequest as the server would, runs nothing, and stays open', async () => {
    const { client } = await connected()
    const failed = client.query('DELETE FROM docs').catch((error: unknown) => error)
    const id = await heldRequest()
    const { processID, secretKey } = client as unknown as Record<string, number>
    const canceller = new pg.Client({ host: at.host, port: at.port })
    const wire = (
      canceller as unknown as {
        connection: {
          connect(p: number, h: string): void
          on(e: string, f: () => void): void
          cancel(p?: number, s?: number): void
        }
      }
    ).connection
    wire.on('connect', () => wire.cancel(processID, secretKey))
    wire.connect(at.port, at.host)
    expect(await failed).toMatchObject({ code: '57014' })
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    expect([await stateOf(id), await left()]).toEqual(['open', 300])
    await approve(id)
    expect((await client.query('DELETE FROM docs')).rowCount).toBe(300)
    await client.end()
  })

  it('runs nothing for a client that went away, also when it is approved later', async () => {
    const { client } = await connected()
    client.query('DELETE FROM docs').catch(() => undefined)
    const id = await heldRequest()
    ;(
      client as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy()
    await approve(id)
    expect([await stateOf(id), await left()]).toEqual(['approved', 300])
    const next = await gateway.connectAs('alice')
    const { client: retry } = await connected(next)
    expect((await retry.query('DELETE FROM docs')).rowCount).toBe(300)
    await retry.end()
  })

  it('asks anew when it would touch more than a tenth more than was approved', async () => {
    const { client } = await connected()
    const running = started(client.query('DELETE FROM docs WHERE id > 200'))
    const id = await heldRequest()
    await admin.query("INSERT INTO docs SELECT g, 'new' FROM generate_series(301, 350) g")
    await approve(id)
    const again = await heldRequest(2)
    expect(await stateOf(id)).toBe('voided')
    expect(at.held[1]?.preview).toBe('150 of 350 rows of docs')
    await approve(again)
    expect((await running).rowCount).toBe(150)
    await client.end()
  })

  it('counts what an export would give', async () => {
    const { client } = await connected()
    const running = client.query('COPY docs TO STDOUT')
    const id = await heldRequest()
    expect(at.held[0]?.preview).toBe('300 of 300 rows of docs')
    await approve(id)
    expect((await running).rowCount).toBe(300)
    await client.end()
  })

  it('opens a request where an unbounded read ends, and lifts the limit once', async () => {
    const { client } = await connected()
    const failed = await client.query('SELECT * FROM docs').catch((error: unknown) => error)
    const id = await heldRequest()
    expect(failed).toMatchObject({ code: '53400', message: expect.stringContaining(id) })
    const waiting = started(client.query('SELECT * FROM docs'))
    await heldRequest(2)
    await approve(id)
    expect((await waiting).rows).toHaveLength(300)
    await expect(client.query('SELECT * FROM docs')).rejects.toMatchObject({ code: '53400' })
    await client.end()
  })

  it('lets an approved export through whole, once: COPY, a LIMIT above the bound, and no bound at all', async () => {
    const { client } = await connected()
    const raw = await RawPostgres.login({ ...at, timeoutMs: 20_000 })
    const copy = raw.query('COPY docs TO STDOUT')
    await approve(await heldRequest())
    const types = (await copy).map(({ type }) => type).join('')
    expect(types).toMatch(/^NHd{300}cCZ$/)
    const select = started(client.query('SELECT * FROM docs WHERE id > $1 LIMIT 280', [0]))
    await approve(await heldRequest(2))
    expect((await select).rows).toHaveLength(280)
    const text = 'SELECT * FROM docs WHERE id > $1'
    await expect(client.query(text, [0])).rejects.toMatchObject({ code: '53400' })
    await approve(await heldRequest(3))
    expect((await client.query(text, [0])).rows).toHaveLength(300)
    await expect(client.query(text, [0])).rejects.toMatchObject({ code: '53400' })
    expect(new Set(at.held.map(({ request }) => request)).size).toBe(4)
    raw.end()
    await client.end()
  })

  it('holds a whole message before any of it has run', async () => {
    const { client } = await connected()
    const text = "INSERT INTO docs VALUES (999, 'y'); DELETE FROM docs WHERE id < 300; SELECT 1"
    const failed = client.query(text).catch((error: unknown) => error)
    const id = await heldRequest()
    expect(await left()).toBe(300)
    await gateway.requests.deny(await gateway.person('bob', ['corp:owners']), id, 'not now')
    expect(await failed).toMatchObject({
      code: '42501',
      message: expect.stringContaining('not now'),
    })
    expect(await left()).toBe(300)
    await client.end()
  })
})
