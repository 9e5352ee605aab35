// Writes and requests counted over time, over a real PostgreSQL: a bulk delete in single deletes is a bulk delete.

import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

/** Long enough that nothing leaves a window while a test runs. */
const POLICY = `
thresholds: { ids: 5, rows: 20, per: 1h }
roles:
  writer: { allow: [{ access: write, collections: [docs, notes] }] }
  patient: { allow: [{ access: read, collections: [docs] }], limits: { rate: 3/m } }
access:
  - { who: { group: team }, role: writer, targets: ["*"] }
  - { who: { group: slow }, role: patient, targets: ["*"] }
holds:
  - { name: big, match: { risk: [bulk-delete] }, approval: { by: [owners] } }
deny:
  - { match: { risk: [bulk-update, bulk-write, overwrite] } }
`
const SETUP = `CREATE TABLE docs(id int PRIMARY KEY, code int NOT NULL UNIQUE, body text);
  INSERT INTO docs SELECT g, g, 'x' FROM generate_series(1, 100) g;
  CREATE TABLE notes(a int, b int, PRIMARY KEY (a, b)); INSERT INTO notes SELECT g, g FROM generate_series(1, 50) g`

describe.skipIf(!hasPostgres('plain'))('over time', () => {
  let postgres: TestPostgres
  let gateway: TestGateway
  let at: TestConnection
  const open: pg.Client[] = []

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
  })
  afterAll(() => postgres?.stop())
  beforeEach(async () => {
    const database = await postgres.createDatabase({ sql: SETUP })
    const users = { alice: ['corp:team'], bob: ['corp:team'], carol: ['corp:slow'] }
    gateway = await startTestGateway({ postgres, database, policy: POLICY, users })
    at = await gateway.connectAs('alice')
  })
  afterEach(async () => {
    await Promise.all(open.splice(0).map((client) => client.end()))
    await gateway?.stop()
  })

  const clientOf = async (to: TestConnection): Promise<pg.Client> => {
    const { host, port, user, password, database } = to
    const client = new pg.Client({ host, port, user, password, database })
    client.on('error', () => undefined)
    await client.connect()
    open.push(client)
    return client
  }
  const erase = (client: pg.Client, id: number): Promise<pg.QueryResult> =>
    client.query('DELETE FROM docs WHERE id = $1', [id])

  it('single deletes are held where one delete would be, over sessions and protocols', async () => {
    const first = await clientOf(at)
    const second = await clientOf(await gateway.connectAs('alice'))
    for (const id of [1, 2, 3]) expect((await erase(first, id)).rowCount).toBe(1)
    expect((await second.query('DELETE FROM docs WHERE id IN (4, 5, 5)')).rowCount).toBe(2)
    // What was deleted before is no other key.
    expect((await erase(second, 1)).rowCount).toBe(0)
    const sixth = erase(first, 6)
    sixth.catch(() => undefined)
    await expect.poll(() => at.held.length, { timeout: 15_000 }).toBe(1)
    const id = at.held[0]?.request ?? ''
    const bound = (await gateway.requests.find(id))?.body
    expect(bound).toContain('6 keys of \\"docs\\" within 3600 s, and more than 5 are bulk')
    await gateway.requests.approve(await gateway.person('owner', ['corp:owners']), id, {})
    expect((await sixth).rowCount).toBe(1)
    const other = await clientOf(await gateway.connectAs('bob'))
    expect((await erase(other, 7)).rowCount).toBe(1)
  })

  it('single updates are denied by number, whatever column names the key', async () => {
    const client = await clientOf(at)
    for (const id of [1, 2, 3])
      await client.query('UPDATE docs SET body = $2 WHERE id = $1', [id, 'y'])
    for (const id of [1, 2]) await client.query(`UPDATE docs SET body = 'z' WHERE code = ${id}`)
    const refused = client.query("UPDATE docs SET body = 'z' WHERE code = 3")
    await expect(refused).rejects.toMatchObject({
      code: '42501',
      message: expect.stringMatching(
        /denied by deny\[0\]; 6 keys of "docs" within 3600 s, and more than 5 are bulk; the oldest count for another 3\d{3} s/,
      ),
    })
    expect(at.denied[0]?.rule).toBe('deny[0]')
    // What was refused is not counted, and the same keys go on.
    for (const id of [1, 2, 3]) await client.query("UPDATE docs SET body = 'w' WHERE id = $1", [id])
  })

  it('inserts and upserts add up', async () => {
    const client = await clientOf(at)
    const insert = (from: number, to: number): Promise<unknown> =>
      client.query(
        `INSERT INTO docs VALUES ${Array.from({ length: to - from + 1 }, (_, index) => `(${from + index}, ${from + index}, 'n')`).join(', ')}`,
      )
    await insert(1_001, 1_017)
    const upsert = (id: number): Promise<unknown> =>
      client.query(
        "INSERT INTO docs VALUES ($1, $1, 'n') ON CONFLICT (id) DO UPDATE SET body = 'u'",
        [id],
      )
    for (const id of [1, 2, 2]) await upsert(id)
    await expect(insert(1_018, 1_018)).rejects.toMatchObject({
      message: expect.stringContaining('21 rows of "docs" within 3600 s, and more than 20'),
    })
  })

  it('keys of several columns have no name and count each time; one message is counted as a whole', async () => {
    const client = await clientOf(at)
    const touch = 'UPDATE notes SET b = b WHERE a = 1 AND b = 1'
    await client.query([touch, touch, touch].join(';'))
    await client.query(touch)
    await client.query(touch)
    await expect(client.query(touch)).rejects.toMatchObject({ code: '42501' })
  })

  it('more requests than the rate allows are refused, in every session, and no others', async () => {
    const slow = await gateway.connectAs('carol')
    const [first, second] = [await clientOf(slow), await clientOf(await gateway.connectAs('carol'))]
    const read = 'SELECT body FROM docs WHERE id = 1'
    await first.query(read)
    await second.query(`${read}; ${read}`)
    const refused = first.query(read)
    await expect(refused).rejects.toMatchObject({
      code: '53400',
      message: 'more than the 3 requests in 60 s that roles.patient.limits.rate allows',
      hint: expect.stringMatching(/^try again in \d+\.\d s$/),
    })
    expect(slow.denied).toMatchObject([{ rule: 'roles.patient.limits.rate' }])
    // What reads no data is outside of it, and nobody else is concerned.
    await first.query('BEGIN; SELECT 1; COMMIT')
    expect((await (await clientOf(at)).query(read)).rowCount).toBe(1)
  })
})
