// Owns lessons that others paid for: mistakes of earlier proxies, poolers and recorders, each as a test through
// a gateway in front of a real PostgreSQL. Rows are never removed.

import { readFileSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { errorFields, RawPostgres } from '../support/raw-postgres.js'

const file = (name: string): string =>
  readFileSync(new URL(`../corpus/${name}`, import.meta.url), 'utf8')

/** A masked column by name, and a text in which detectors must find what is hidden. */
const POLICY = `
roles:
  reader:
    allow: [{ access: read, collections: [docs, long_texts] }, { access: write, collections: [notes] }]
    mask:
      - { collections: [docs], fields: [ssn, email], with: redact }
      - { collections: [long_texts], fields: [body], detect: [email], with: redact }
      - { collections: [docs], vectors: drop }
    limits: { rows: 1000 }
access:
  - { who: { group: corp:readers }, role: reader, targets: [prod-*] }
`
const SSN = '900-55-4001'

type Gateway = Awaited<ReturnType<typeof startTestGateway>>
type Session = Awaited<ReturnType<Gateway['connectAs']>>

describe.skipIf(!hasPostgres('pgvector'))('lessons others paid for', () => {
  let server: TestPostgres
  let database: string
  let gateway: Gateway
  const open: { end(): unknown }[] = []

  const options = () => ({
    postgres: server,
    database,
    policy: POLICY,
    users: { ana: ['corp:readers'], ben: ['corp:readers'] },
  })
  const client = async (session: Session): Promise<pg.Client> => {
    const { host, port, password } = session
    const fresh = new pg.Client({ host, port, password, database, user: session.user })
    fresh.on('error', () => {}) // being cut is what some of these tests are about
    await fresh.connect()
    open.push(fresh)
    return fresh
  }
  const raw = async (session: Session): Promise<RawPostgres> => {
    const { host, port, password, user } = session
    const fresh = await RawPostgres.login({ host, port, password, database, user })
    open.push(fresh)
    return fresh
  }

  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector', logStatements: true })
    const long = `CREATE TABLE long_texts(id int PRIMARY KEY, body text);
      INSERT INTO long_texts SELECT g, repeat('lorem ipsum ', g * 10000) || ' write to ana@leak.test today'
        FROM generate_series(1, 160, 53) g;`
    database = await server.createDatabase({
      sql: `CREATE EXTENSION vector;\n${file('setup.sql')}\n${long}`,
    })
    gateway = await startTestGateway(options())
  })
  afterAll(async () => {
    for (const one of open) await one.end()
    await gateway?.stop()
    await server?.stop()
  })

  describe('rules that covered only simple queries', () => {
    const sql = 'SELECT ssn AS title FROM docs WHERE id = 1'

    it.each([
      'simple',
      'extended',
      'named',
      'again',
      'binary',
    ] as const)('hold for %s', async (form) => {
      const session = await gateway.connectAs('ana')
      const connection = await raw(session)
      const from = connection.replies.length
      if (form === 'simple') connection.step({ m: 'Q', sql })
      else {
        const name = form === 'extended' ? '' : 's1'
        connection.step({ m: 'P', name, sql })
        for (let times = form === 'again' ? 3 : 1; times > 0; times -= 1) {
          connection.step({ m: 'B', stmt: name, rfmt: form === 'binary' ? [1] : [] })
          connection.step({ m: 'E' })
        }
        connection.step({ m: 'S' })
      }
      expect(await connection.waitFor('Z', from)).toBe('found')
      const rows = connection.replies.slice(from).filter((reply) => reply.type === 'D')
      expect(rows).toHaveLength(form === 'again' ? 3 : 1)
      for (const row of rows) expect(row.body.toString('latin1')).toContain('[masked]')
      expect(connection.received.toString('latin1')).not.toContain(SSN)
      await session.close()
    })

    it('refuse a delete in each form before it runs', async () => {
      const session = await gateway.connectAs('ana')
      const connection = await client(session)
      const refused = { code: '42501' }
      await expect(connection.query('DELETE FROM docs WHERE id = 1')).rejects.toMatchObject(refused)
      await expect(connection.query('DELETE FROM docs WHERE id = $1', [1])).rejects.toMatchObject(
        refused,
      )
      await expect(
        connection.query({ name: 'd', text: 'DELETE FROM docs WHERE id = $1', values: [1] }),
      ).rejects.toMatchObject(refused)
      expect(server.log()).not.toMatch(/(?:statement|execute [^:]*): DELETE FROM docs/)
      await session.close()
    })
  })

  it('upstream connections are never shared: settings and names of one user stay theirs', async () => {
    const [anas, bens] = [await gateway.connectAs('ana'), await gateway.connectAs('ben')]
    const [ana, ben] = [await client(anas), await client(bens)]
    await ana.query(`SET application_name = 'anas own'`)
    await ana.query({ name: 'mine', text: 'SELECT title FROM docs WHERE id = $1', values: [1] })
    expect((await ben.query('SHOW application_name')).rows[0].application_name).not.toBe('anas own')
    const second = await client(anas)
    expect((await second.query('SHOW application_name')).rows[0].application_name).not.toBe(
      'anas own',
    )
    const pids = await Promise.all(
      [ana, ben, second].map((one) => one.query('SELECT pg_backend_pid() AS pid')),
    ).catch(() => []) // a policy may well refuse the function; the settings above have shown it
    expect(new Set(pids.map((answer) => answer.rows[0].pid)).size).toBe(pids.length)
    await anas.close()
    await bens.close()
  })

  it('a connection that ends in a transaction leaves nothing behind', async () => {
    const session = await gateway.connectAs('ana')
    const first = await raw(session)
    await first.query('BEGIN')
    await first.query(`UPDATE notes SET body = 'half' WHERE id = 5`)
    first.end()
    const second = await client(session)
    // The same row: it would wait for the lock of a connection that was kept.
    await second.query(`UPDATE notes SET body = 'whole' WHERE id = 5`)
    const rows = await second.query('SELECT body FROM notes WHERE id = 5')
    expect(rows.rows).toEqual([{ body: 'whole' }])
    await session.close()
  })

  it('a revoked access stops streaming, and what runs upstream is cancelled', async () => {
    const session = await gateway.connectAs('ana')
    const connection = await raw(session)
    const from = connection.replies.length
    connection.step({
      m: 'Q',
      sql: 'SELECT count(*) FROM notes a, notes b, notes c WHERE a.id < b.id + c.id',
    })
    await untilActive(server, 'notes a, notes b, notes c', 1)
    const cut = Date.now()
    gateway.notify(session.session.id, {
      kind: 'ended',
      reason: 'revoked',
      message: 'revoked by a test',
    })
    expect(await connection.waitClosed()).toBe('found')
    expect(Date.now() - cut).toBeLessThan(10_000)
    const error = connection.replies.slice(from).find((reply) => reply.type === 'E')
    expect(error && errorFields(error.body)).toMatchObject({ S: 'FATAL', C: '57P01' })
    await untilActive(server, 'notes a, notes b, notes c', 0)
    await expect(raw(session)).rejects.toThrow()
  })

  it('the end of a grant is absolute: a new connection does not start it again', async () => {
    const short = await startTestGateway({ ...options(), grantMs: 3_000 })
    try {
      const session = await short.connectAs('ana')
      const started = Date.now()
      const first = await raw(session)
      await first.query('SELECT 1')
      const second = await raw(session)
      expect(await second.waitClosed()).toBe('found')
      expect(Date.now() - started).toBeLessThan(20_000)
      const error = second.replies.find((reply) => reply.type === 'E')
      expect(error && errorFields(error.body)['C']).toBe('57P01')
    } finally {
      await short.stop()
    }
  })

  it('masking does not stop at 64 KiB, nor at 16 MiB', async () => {
    const session = await gateway.connectAs('ana')
    const connection = await raw(session)
    const replies = await connection.query('SELECT id, body FROM long_texts ORDER BY id')
    const rows = replies.filter((reply) => reply.type === 'D')
    expect(rows.map((row) => row.body.length > 100_000)).toEqual([true, true, true, true])
    expect(Math.max(...rows.map((row) => row.body.length))).toBeGreaterThan(16 * 1024 * 1024)
    for (const row of rows) {
      const end = row.body.subarray(-60).toString('latin1')
      expect(end).toContain('write to [masked] today')
    }
    await session.close()
  })

  it('one name is not checked while another is used: search_path, quotes and case', async () => {
    const session = await gateway.connectAs('ana')
    const connection = await client(session)
    for (const sql of [
      'SELECT * FROM shadow.docs',
      'SELECT * FROM "Docs"',
      'SELECT * FROM secret_docs',
      'SELECT * FROM public."secret_docs"',
      'TABLE secret_docs',
      'SELECT d FROM (SELECT * FROM secret_docs) d',
      'WITH docs AS (SELECT * FROM secret_docs) SELECT * FROM docs',
    ]) {
      await expect(connection.query(sql), sql).rejects.toMatchObject({ code: '42501' })
    }
    await connection.query('SET search_path = shadow').catch(() => {}) // refused or resolved: both are right
    const answer = await connection
      .query('SELECT ssn FROM docs WHERE id = 1')
      .catch(() => undefined)
    expect(JSON.stringify(answer?.rows ?? [])).not.toContain(SSN)
    await session.close()
  })

  it('a refusal inside a pipeline keeps the order of replies, and skips to Sync', async () => {
    const session = await gateway.connectAs('ana')
    const connection = await raw(session)
    const from = connection.replies.length
    const ask = (sql: string): void => {
      connection.step({ m: 'P', sql })
      connection.step({ m: 'B' })
      connection.step({ m: 'E' })
    }
    ask('SELECT 1')
    ask('SELECT body FROM secret_docs')
    ask('SELECT 2')
    connection.step({ m: 'S' })
    ask('SELECT 3')
    connection.step({ m: 'S' })
    await connection.waitFor('Z', from)
    const middle = connection.replies.findIndex((reply, at) => at >= from && reply.type === 'Z') + 1
    await connection.waitFor('Z', middle)
    const types = connection.replies.slice(from).map((reply) => reply.type)
    expect(types.join('')).toMatch(/^12DC(?:1|12)?EZ12DCZ$/)
    await session.close()
  })
})

/** Waits until the database runs exactly `count` statements that hold `text`. */
async function untilActive(server: TestPostgres, text: string, count: number): Promise<void> {
  const admin = await server.connect('postgres')
  try {
    await expect
      .poll(
        async () => {
          const answer = await admin.query(
            `SELECT count(*)::int AS n FROM pg_stat_activity
             WHERE state = 'active' AND position($1 IN query) > 0 AND pid <> pg_backend_pid()`,
            [text],
          )
          return answer.rows[0].n
        },
        { timeout: 5_000, interval: 50 },
      )
      .toBe(count)
  } finally {
    await admin.end()
  }
}
