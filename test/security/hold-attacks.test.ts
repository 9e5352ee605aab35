// Getting more out of an approval than was approved: a count that is made to fail, a schema that changes while it
// waits, an approval that is used up for a client that is gone.

import { connect, type Socket } from 'node:net'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Authority } from '../../src/core/authority.js'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const SOON = { timeout: 30_000 }
const POLICY = `
roles:
  writer:
    allow: [{ access: write, collections: [docs, shelf, patients] }]
    mask: [{ collections: [patients], fields: [name], with: redact }]
access: [{ who: { group: team }, role: writer, targets: ["*"] }]
holds:
  - { name: big, match: { risk: [bulk-delete, bulk-update, bulk-export] }, approval: { by: [owners] } }
`
const SETUP = `CREATE TABLE docs(id int PRIMARY KEY, body text);
  INSERT INTO docs SELECT g, 'x' FROM generate_series(1, 300) g;
  CREATE TABLE shelf(id int, name text); INSERT INTO shelf VALUES (1, 'dune');
  CREATE TABLE patients(id int, name text); INSERT INTO patients VALUES (1, 'Ada Lovelace'); ANALYZE`

describe.skipIf(!hasPostgres('plain'))('attacks on holds', () => {
  let postgres: TestPostgres
  let gateway: TestGateway
  let at: TestConnection
  let admin: pg.Client
  let hooks: Partial<Authority> = {}
  const clock = { ahead: 0, now: () => Date.now() + clock.ahead }

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
  })
  afterAll(() => postgres?.stop())
  beforeEach(async () => {
    hooks = {}
    clock.ahead = 0
    const database = await postgres.createDatabase({ sql: SETUP })
    gateway = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      clock,
      users: { alice: ['corp:team'] },
      wrapAuthority: (authority) =>
        new Proxy(authority, {
          get: (inner, name: keyof Authority) => {
            const hook = hooks[name] ?? inner[name]
            return typeof hook === 'function' ? hook.bind(inner) : hook
          },
        }),
    })
    at = await gateway.connectAs('alice')
    admin = await postgres.connect(database)
  })
  afterEach(async () => {
    await admin?.end()
    await gateway?.stop()
  })

  const connected = async (): Promise<pg.Client> => {
    const { host, port, user, password, database } = at
    const client = new pg.Client({ host, port, user, password, database })
    client.on('error', () => undefined)
    await client.connect()
    return client
  }
  /** Rows, or the SQLSTATE. Never rejects. */
  const started = (client: pg.Client, text: string, values?: unknown[]): Promise<unknown> =>
    client.query(text, values).then(
      ({ rows, rowCount }) => (rows.length > 0 ? rows : rowCount),
      (error: { code?: string }) => error.code ?? 'lost',
    )
  const heldRequest = async (nth = 1): Promise<string> => {
    await expect.poll(() => at.held.length, SOON).toBe(nth)
    return at.held[nth - 1]?.request ?? ''
  }
  const approve = async (id: string): Promise<void> =>
    gateway.requests.approve(await gateway.person('bob', ['corp:owners']), id, {})
  const stateOf = async (id: string) => (await gateway.requests.find(id))?.state

  it('asks anew where what was counted can no longer be counted', async () => {
    const client = await connected()
    const running = started(client, 'DELETE FROM docs WHERE id > 200')
    const id = await heldRequest()
    expect(at.held[0]?.preview).toBe('100 of 300 rows of docs')
    // Counting waits for this lock longer than it may take.
    await admin.query('BEGIN; LOCK TABLE docs IN ACCESS EXCLUSIVE MODE')
    await approve(id)
    const again = await heldRequest(2)
    await admin.query('ROLLBACK')
    expect(await stateOf(id)).toBe('voided')
    expect(at.held[1]?.preview).toContain('unknown')
    await approve(again)
    expect(await running).toBe(100)
    await client.end()
  })

  for (const protocol of ['simple', 'extended'] as const)
    it(`runs nothing that a schema change made another thing meanwhile (${protocol})`, async () => {
      const client = await connected()
      const text = 'UPDATE docs SET body = (SELECT name FROM shelf LIMIT 1) WHERE id >'
      const running =
        protocol === 'simple'
          ? started(client, `${text} 299 RETURNING body`)
          : started(client, `${text} $1 RETURNING body`, [299])
      const id = await heldRequest()
      await admin.query(
        'ALTER TABLE shelf RENAME TO gone; CREATE VIEW shelf AS SELECT * FROM patients',
      )
      await approve(id)
      expect(JSON.stringify(await running)).not.toContain('Ada')
      await client.end()
    })

  it('hears a cancel that comes while the approval turns out to be used by another run', async () => {
    const client = await connected()
    const running = started(client, 'DELETE FROM docs')
    const id = await heldRequest()
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number }
    hooks.consumeApproval = async () => {
      const packet = Buffer.alloc(16)
      for (const [index, word] of [16, 80877102, processID, secretKey].entries())
        packet.writeInt32BE(word, index * 4)
      await new Promise((resolve) => connect(at.port, at.host).on('close', resolve).end(packet))
      return { consumed: false }
    }
    await approve(id)
    expect(await running).toBe('57014')
    expect(at.held).toHaveLength(1)
    await client.end()
  })

  it('asks for nothing and uses nothing up for a client that went away while a late lease was renewed', async () => {
    const client = await connected()
    await client.query('SELECT 1')
    let renewed: () => void = () => undefined
    let asked = 0
    hooks.renewLease = () => {
      asked += 1
      return new Promise((resolve) => {
        renewed = () => resolve({ leaseUntil: clock.now() + 60_000, policyHash: '' })
      })
    }
    clock.ahead += 60_000
    const running = started(client, 'DELETE FROM docs')
    await expect.poll(() => asked, SOON).toBe(1)
    const { stream } = (client as unknown as { connection: { stream: Socket } }).connection
    stream.destroy()
    await running
    const other = await connected()
    renewed()
    const second = started(other, 'DELETE FROM docs WHERE id > 100')
    await expect
      .poll(() => at.held.map(({ preview }) => preview), SOON)
      .toContain('200 of 300 rows of docs')
    expect(at.held).toHaveLength(1)
    await other.end()
    await second
  })
})
