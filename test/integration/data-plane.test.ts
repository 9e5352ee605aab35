// The data plane over real servers: the story through an authority that lets only JSON through, isolation of sessions,
// cancel, TLS and password methods towards the database, and the end of a session.

import { existsSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openVerified } from '../../src/audit/read.js'
import type { Authority } from '../../src/core/authority.js'
import { selfSignedCertificate } from '../support/certificates.js'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { serialising } from '../support/serialising-authority.js'

const POLICY = `
roles:
  reader:
    allow: [{ access: write, collections: [docs] }]
    mask: [{ collections: [docs], fields: [email], with: redact }]
    limits: { rows: 50 }
access: [{ who: { group: team }, role: reader, targets: ["*"] }]
`
const SETUP = `CREATE TABLE docs(id int PRIMARY KEY, email text, body text);
  INSERT INTO docs SELECT g, g || '@example.org', repeat('x', 100) FROM generate_series(1, 200) g;
  CREATE TABLE secrets(id int); ANALYZE`
const USERS = { alice: ['corp:team'], bob: ['corp:team'] }

const clientOf = (at: TestConnection): pg.Client =>
  new pg.Client({
    host: at.host,
    port: at.port,
    user: at.user,
    password: at.password,
    database: at.database,
  })

const connected = async (at: TestConnection): Promise<pg.Client> => {
  const client = clientOf(at)
  client.on('error', () => undefined)
  await client.connect()
  return client
}

describe.skipIf(!hasPostgres('plain'))('the data plane', () => {
  let postgres: TestPostgres
  let database: string
  let gateway: TestGateway
  let authority: ReturnType<typeof serialising> | undefined

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain', logStatements: true })
    database = await postgres.createDatabase({ sql: SETUP })
    gateway = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      users: USERS,
      wrapAuthority: (inner: Authority) => {
        authority = serialising(inner)
        return authority
      },
    })
  })

  afterAll(async () => {
    await gateway?.stop()
    await postgres?.stop()
  })

  it('tells the story through an authority of JSON messages', async () => {
    const at = await gateway.connectAs('alice')
    const client = await connected(at)
    expect((await client.query('SELECT id, email FROM docs WHERE id = $1', [7])).rows).toEqual([
      { id: 7, email: '[masked]' },
    ])
    await expect(client.query('SELECT * FROM secrets')).rejects.toMatchObject({ code: '42501' })
    await client.query('BEGIN')
    await expect(client.query('SELECT * FROM docs')).rejects.toMatchObject({ code: '53400' })
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' })
    await client.query('ROLLBACK')
    expect((await client.query("UPDATE docs SET body = 'y' WHERE id = 3")).rowCount).toBe(1)
    await client.end()
    await at.close()
    expect([...(authority?.crossings.keys() ?? [])]).toEqual(
      expect.arrayContaining(['closeSession', 'leaseCredential', 'openSession']),
    )
    expect(gateway.summaries.get(at.session.id)).toMatchObject({ reason: 'stopped', denied: 1 })
    expect(at.denied.map(({ rule }) => rule)).toEqual(['default deny'])
    expect(gateway.reports).toEqual([])
  })

  it('reads the catalogue for a session after the one that read it first has ended', async () => {
    const first = await gateway.connectAs('alice')
    const client = await connected(first)
    await client.query('SELECT id FROM docs WHERE id = 1')
    await client.end()
    await first.close()
    // What the first session opened is gone, as after some idle seconds: the next needs connections of its own.
    const admin = await postgres.connect(database)
    const side = "FROM pg_stat_activity WHERE application_name = 'vgate catalogue'"
    await admin.query(`SELECT pg_terminate_backend(pid) ${side}`)
    await vi.waitFor(async () => expect((await admin.query(`SELECT ${side}`)).rowCount).toBe(0))
    await admin.query('CREATE TABLE later(id int)')
    await admin.end()
    const next = await gateway.connectAs('bob')
    const again = await connected(next)
    await expect(again.query('SELECT id FROM later')).rejects.toMatchObject({
      code: '42501',
      message: expect.stringContaining('"later"'),
    })
    await again.end()
    await next.close()
  })

  it('records what was asked, decided and given, in order, and closes', async () => {
    const at = await gateway.connectAs('alice')
    const client = await connected(at)
    await client.query('SELECT email FROM docs WHERE id = 5')
    await client.query("INSERT INTO docs(id, email, body) VALUES (9001, 'a', 'b')")
    await client.query("UPDATE docs SET body = 'c' WHERE body = 'b'")
    await client.end()
    await at.close()
    const { verification, records } = await openVerified(at.recording, { keys: 'embedded' })
    expect(verification).toMatchObject({ verdict: 'unknown_key' })
    const seen: Record<string, unknown>[] = []
    for await (const record of records()) seen.push(record)
    expect(seen.map(({ type }) => type)).toEqual([
      'session.opened',
      'connection.opened',
      'operation.judged',
      'operation.delivered',
      'operation.judged',
      'operation.delivered',
      'operation.judged',
      'operation.delivered',
      'connection.closed',
      'session.closed',
    ])
    expect(seen[2]).toMatchObject({
      text: 'SELECT email FROM docs WHERE id = 5',
      verdict: 'permit',
    })
    expect(seen[3]).toMatchObject({
      columns: ['email'],
      rows: [['[masked]']],
      rowCount: 1,
      masked: 1,
      tag: 'SELECT 1',
    })
    expect(seen[4]).toMatchObject({ keys: { docs: ['9001'] } })
    expect(seen[4]).not.toHaveProperty('keysUnknown')
    expect(seen[6]).toMatchObject({ keysUnknown: true })
    expect(seen[6]).not.toHaveProperty('keys')
    expect(JSON.stringify(seen)).not.toContain('5@example.org')
  })

  it('answers names that the database does not have in its own words, and announces no refusal', async () => {
    const at = await gateway.connectAs('alice')
    const [client, direct] = [await connected(at), await postgres.connect(database)]
    for (const text of [
      'SELECT 1 FROM nowhere',
      'SELECT nothing FROM docs',
      'SELECT d.nothing FROM docs',
      'INSERT INTO docs(nothing) VALUES (1)',
      'SELEC 1',
    ]) {
      for (const values of [undefined, []]) {
        const error = async (on: pg.Client): Promise<unknown> =>
          on.query({ text, ...(values === undefined ? {} : { values, name: text }) }).then(
            () => 'no error',
            ({ code, message }: { code: string; message: string }) => ({ code, message }),
          )
        expect({ text, ...Object(await error(client)) }).toEqual({
          text,
          ...Object(await error(direct)),
        })
      }
    }
    await direct.end()
    await client.end()
    await at.close()
    expect(at.denied).toEqual([])
    expect(gateway.summaries.get(at.session.id)).toMatchObject({ denied: 0 })
  })

  it('gives each connection a backend of its own, which ends with it', async () => {
    const [one, two] = [await gateway.connectAs('alice'), await gateway.connectAs('bob')]
    const clients = [await connected(one), await connected(one), await connected(two)]
    const pids = await Promise.all(
      clients.map(
        async (client) => (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid,
      ),
    )
    expect(new Set(pids).size).toBe(3)
    await Promise.all(clients.map((client) => client.end()))
    const next = await connected(one)
    expect(pids).not.toContain((await next.query('SELECT pg_backend_pid() AS pid')).rows[0].pid)
    await next.end()
    await one.close()
    await two.close()
  })

  it('cancels what runs, of its own session only', async () => {
    const [mine, other] = [await gateway.connectAs('alice'), await gateway.connectAs('bob')]
    const client = await connected(mine)
    const running = client.query('SELECT pg_sleep(60)').then(
      () => 'done',
      (error: { code: string }) => error.code,
    )
    // What `pg` would send: the key that this connection was given.
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number }
    await cancel(other, processID, secretKey)
    await cancel(mine, processID, secretKey)
    expect(await running).toBe('57014')
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    await client.end()
    await mine.close()
    await other.close()
  })

  it('cuts streams when the session ends: upstream cancelled, the client told why', async () => {
    const at = await gateway.connectAs('alice')
    const client = clientOf(at)
    const fatal = new Promise<{ code?: string }>((resolve) =>
      client.on('error', (error: Error & { code?: string }) => resolve(error)),
    )
    await client.connect()
    const running = client
      .query('SELECT pg_sleep(60)')
      .catch((error: { code: string }) => error.code)
    const direct = await postgres.connect(database)
    const sleeping = async (): Promise<number> =>
      (
        await direct.query(
          "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'",
        )
      ).rows[0].n
    while ((await sleeping()) === 0);
    const started = performance.now()
    gateway.notify(at.session.id, { kind: 'ended', reason: 'revoked', message: 'revoked by carol' })
    expect(await Promise.race([running, fatal.then(({ code }) => code)])).toBe('57P01')
    expect(performance.now() - started).toBeLessThan(5_000)
    while ((await sleeping()) > 0);
    await direct.end()
    expect(() => at.session.connect(undefined as never)).toThrow('revoked by carol')
    expect(existsSync(at.recording)).toBe(true)
  })

  it('ends with its grant, however it was opened', async () => {
    const short = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      users: USERS,
      grantMs: 4_000,
    })
    try {
      const at = await short.connectAs('alice')
      const client = clientOf(at)
      const fatal = new Promise<{ code?: string }>((resolve) =>
        client.on('error', (error: Error & { code?: string }) => resolve(error)),
      )
      await client.connect()
      await client.query('SELECT 1')
      expect((await fatal).code).toBe('57P01')
      await at.close()
      expect(short.summaries.get(at.session.id)).toMatchObject({ reason: 'expired' })
    } finally {
      await short.stop()
    }
  })

  it('limits connections', async () => {
    const few = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      users: USERS,
      connectionsPerSession: 3,
    })
    try {
      const at = await few.connectAs('alice')
      const clients = await Promise.all([connected(at), connected(at), connected(at)])
      await expect(connected(at)).rejects.toThrow()
      await Promise.all(clients.map((client) => client.end()))
      await (await connected(at)).end()
      await at.close()
    } finally {
      await few.stop()
    }
  })

  it('never sent the database what it refused', async () => {
    const log = postgres.log()
    expect(log).toContain("UPDATE docs SET body = 'y' WHERE id = 3")
    expect(log).not.toMatch(/statement:.*FROM secrets|execute .*FROM secrets/)
  })
})

describe.skipIf(!hasPostgres('plain'))('the way to the database', () => {
  it.each(['scram', 'md5', 'password'] as const)('logs in by %s', async (auth) => {
    const postgres = await startPostgres({ kind: 'plain', auth })
    const database = await postgres.createDatabase({ sql: SETUP })
    const gateway = await startTestGateway({ postgres, database, policy: POLICY, users: USERS })
    try {
      const at = await gateway.connectAs('alice')
      const client = await connected(at)
      expect((await client.query('SELECT count(*)::int AS n FROM docs')).rows).toEqual([{ n: 200 }])
      await client.end()
      await at.close()
    } finally {
      await gateway.stop()
      await postgres.stop()
    }
  })

  it('verifies the certificate, its name, and never falls back to plain text', async () => {
    const certificate = selfSignedCertificate()
    const foreign = selfSignedCertificate()
    const postgres = await startPostgres({ kind: 'plain', tls: certificate })
    const plain = await startPostgres({ kind: 'plain' })
    const database = await postgres.createDatabase({ sql: SETUP })
    await plain.createDatabase({ sql: SETUP })
    const attempt = async (
      server: TestPostgres,
      ca: string,
      serverName?: string,
    ): Promise<unknown> => {
      const tls = {
        verify: 'full' as const,
        ca,
        ...(serverName === undefined ? {} : { serverName }),
      }
      const gateway = await startTestGateway({
        postgres: server,
        database,
        policy: POLICY,
        users: USERS,
        tls,
      })
      try {
        const at = await gateway.connectAs('alice')
        const client = await connected(at)
        const { rows } = await client.query('SELECT count(*)::int AS n FROM docs')
        const running = client
          .query('SELECT pg_sleep(60)')
          .catch(({ code }: { code: string }) => code)
        const { processID, secretKey } = client as unknown as {
          processID: number
          secretKey: number
        }
        await cancel(at, processID, secretKey)
        expect(await running).toBe('57014')
        await client.end()
        await at.close()
        return rows[0].n
      } catch (error) {
        return error instanceof Error ? error.message : error
      } finally {
        await gateway.stop()
      }
    }
    try {
      expect(await attempt(postgres, certificate.cert)).toBe(200)
      expect(await attempt(postgres, foreign.cert)).toMatch(/cannot reach the database|catalogue/)
      expect(await attempt(postgres, certificate.cert, 'db.example.org')).toMatch(
        /cannot reach the database|catalogue/,
      )
      expect(await attempt(plain, certificate.cert)).toMatch(/TLS|catalogue/)
    } finally {
      await postgres.stop()
      await plain.stop()
    }
  })
})

/** Sends a CancelRequest for a key over this session's port. */
async function cancel(at: TestConnection, pid: number, key: number): Promise<void> {
  const { createConnection } = await import('node:net')
  const packet = Buffer.alloc(16)
  packet.writeInt32BE(16, 0)
  packet.writeInt32BE(80877102, 4)
  packet.writeInt32BE(pid, 8)
  packet.writeInt32BE(key, 12)
  await new Promise<void>((resolve) => {
    const socket = createConnection({ host: at.host, port: at.port }, () => socket.write(packet))
    socket.on('close', () => resolve())
    socket.on('error', () => resolve())
    socket.resume()
  })
}
