// Budgets over a real PostgreSQL: an export in small pages is still an export.

import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { VgateError } from '../../src/core/errors.js'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { serialising } from '../support/serialising-authority.js'

const POLICY = `
roles:
  reader:
    allow: [{ access: read, collections: [docs, notes] }]
    limits: { rows: 400 }
    budget: [{ collections: [docs], rows: 1000, per: 24h }]
  exporter:
    allow: [{ access: read, collections: [docs, notes, vdocs] }, { access: write, collections: [scratch] }]
    budget: [{ collections: [docs], rows: 700, per: 24h }]
  sharer:
    allow: [{ access: read, collections: ["*"] }]
    budget: [{ collections: ["*"], share: 10%, per: 24h }]
  prober:
    allow: [{ access: read, collections: [items] }]
    mask: [{ collections: [items], fields: [hidden], with: null }]
    budget: [{ collections: [items], vectors: 3, probes: 4, per: 24h }]
access:
  - { who: { group: probers }, role: prober, targets: ["*"] }
  - { who: { group: readers }, role: reader, targets: ["*"] }
  - { who: { group: exporters }, role: exporter, targets: ["*"] }
  - { who: { group: sharers }, role: sharer, targets: ["*"] }
`
const SETUP = `CREATE EXTENSION vector;
  CREATE TABLE items(id int PRIMARY KEY, embedding vector(2), hidden vector(2));
  INSERT INTO items SELECT g, '[1,2]', '[3,4]' FROM generate_series(1, 20) g;
  CREATE TABLE docs(id int PRIMARY KEY, body text);
  INSERT INTO docs SELECT g, 'x' FROM generate_series(1, 2000) g;
  CREATE TABLE notes(id int PRIMARY KEY); INSERT INTO notes SELECT generate_series(1, 3000);
  CREATE TABLE fresh(id int PRIMARY KEY); CREATE TABLE scratch(id int);
  CREATE VIEW vdocs AS SELECT id FROM docs; ANALYZE docs; ANALYZE notes`

describe.skipIf(!hasPostgres('pgvector'))('budgets', () => {
  let postgres: TestPostgres
  let gateway: TestGateway
  /** The store cannot be used. */
  let broken = false
  const open: pg.Client[] = []

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector' })
  })
  afterAll(() => postgres?.stop())
  beforeEach(async () => {
    const database = await postgres.createDatabase({ sql: SETUP })
    const users = {
      alice: ['corp:readers'],
      bob: ['corp:readers'],
      erin: ['corp:exporters'],
      sam: ['corp:sharers'],
      pam: ['corp:probers'],
    }
    broken = false
    gateway = await startTestGateway({
      ...{ postgres, database, policy: POLICY, users },
      wrapAuthority: (authority) =>
        serialising({
          ...authority,
          leaseBudget: (given) =>
            broken
              ? Promise.reject(new VgateError('VGATE_STORE_UNAVAILABLE', 'the store is away'))
              : authority.leaseBudget(given),
        }),
    })
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
  const as = async (user: string): Promise<pg.Client> => clientOf(await gateway.connectAs(user))

  /** Rows that an export in pages gets before it is refused, and the refusal. */
  const exported = async (client: pg.Client, page: number) => {
    let rows = 0
    for (let from = 0; from < 2_000; from += page) {
      try {
        const text = 'SELECT * FROM docs WHERE id > $1 ORDER BY id LIMIT $2'
        const given = await client.query(text, [from, page])
        rows += given.rows.length
      } catch (error) {
        return { rows, error }
      }
    }
    return { rows, error: undefined }
  }

  it('stop an export in small pages, in every session and after a reconnect', async () => {
    const at = await gateway.connectAs('alice')
    const { rows, error } = await exported(await clientOf(at), 30)
    expect(rows).toBe(990)
    expect(error).toMatchObject({
      code: '53400',
      message: 'roles.reader.budget[0] allows 1000 rows in 24 h: 10 are left, this needs 30',
      hint: expect.stringMatching(/^add LIMIT 10; more is free from 2\S+Z on$/),
    })
    expect(at.denied).toMatchObject([{ rule: 'roles.reader.budget[0]' }])
    await at.close()
    const later = await as('alice')
    expect(await exported(later, 11)).toMatchObject({ rows: 0 })
    expect((await later.query('SELECT * FROM docs WHERE id IN (1, 2, 3)')).rowCount).toBe(3)
    expect((await later.query('SELECT * FROM notes LIMIT 300')).rowCount).toBe(300)
    // An aggregate gives one row, whatever it looks at.
    expect((await later.query('SELECT count(*)::int AS n FROM docs')).rows).toEqual([{ n: 2_000 }])
    expect(await exported(await as('bob'), 100)).toMatchObject({ rows: 1_000 })
  })

  it('end a read that nothing bounds where nothing is left, and settle what it took', async () => {
    const client = await as('alice')
    await expect(client.query('SELECT id FROM docs')).rejects.toThrow('the read went past 400 rows')
    await expect(client.query('SELECT id FROM docs')).rejects.toThrow('the read went past 400 rows')
    await expect(client.query('SELECT id FROM docs')).rejects.toMatchObject({
      code: '53400',
      message:
        'the read went past 200 rows, all that is left of roles.reader.budget[0]: 1000 rows in 24 h',
    })
    await expect(client.query('SELECT id FROM docs')).rejects.toThrow('0 are left')
    // One that proves no bound and is small takes what it gives.
    const other = await as('bob')
    for (let round = 0; round < 20; round += 1)
      expect((await other.query("SELECT id FROM docs WHERE id < 5 AND body = 'x'")).rowCount).toBe(
        4,
      )
    expect(await exported(other, 100)).toMatchObject({ rows: 900 })
  })

  it('are not passed by many at once', async () => {
    const clients = await Promise.all(Array.from({ length: 6 }, () => as('alice')))
    let rows = 0
    let refused = 0
    await Promise.all(
      clients.map(async (client) => {
        for (let round = 0; round < 15; round += 1) {
          try {
            const given = await client.query(`SELECT * FROM docs LIMIT ${7 + round}`)
            rows += given.rows.length
          } catch (error) {
            refused += 1
            expect(error).toMatchObject({ code: '53400' })
          }
        }
      }),
    )
    expect(refused).toBeGreaterThan(0)
    expect(rows).toBeLessThanOrEqual(1_000)
    // What was held and not taken came back.
    const left = 1_000 - rows
    expect((await clients[0]?.query(`SELECT * FROM docs LIMIT ${left}`))?.rowCount).toBe(left)
  })

  it('cover views, joins, cut reads and copies into other tables', async () => {
    const client = await as('erin')
    expect((await client.query('SELECT * FROM vdocs LIMIT 100')).rowCount).toBe(100)
    const join = 'SELECT n.id FROM notes n, docs d WHERE d.id = n.id LIMIT 100'
    expect((await client.query(join)).rowCount).toBe(100)
    await client.query('INSERT INTO scratch SELECT id FROM docs LIMIT 100')
    await expect(client.query('INSERT INTO scratch SELECT id FROM docs')).rejects.toThrow(
      'copy a number of rows that nobody can count out of what roles.exporter.budget[0] covers',
    )
    await expect(client.query('SELECT json_agg(id) FROM docs')).rejects.toThrow(
      'would gather a number of rows that nobody can count into one value',
    )
    const gathered = 'SELECT json_agg(id) FROM (SELECT id FROM docs LIMIT 100) d'
    expect((await client.query(gathered)).rowCount).toBe(1)
    // 299 are left: one gathered row is a row too.
    await expect(client.query('SELECT id FROM docs; SELECT 1')).rejects.toMatchObject({
      code: '0A000',
    })
    await expect(client.query('COPY docs TO STDOUT')).rejects.toMatchObject({ code: '0A000' })
    await expect(client.query('SELECT id FROM docs')).rejects.toThrow('past 299 rows')
    await expect(client.query('COPY docs TO STDOUT')).rejects.toMatchObject({ code: '53400' })
  })

  it('cover cursors and prepared statements, which take what they give', async () => {
    const client = await as('erin')
    await client.query('BEGIN')
    await client.query('DECLARE c CURSOR FOR SELECT id FROM docs')
    for (let fetched = 0; fetched < 6; fetched += 1)
      expect((await client.query('FETCH 100 FROM c')).rowCount).toBe(100)
    await client.query('SAVEPOINT s')
    await expect(client.query('FETCH 101 FROM c')).rejects.toThrow('100 are left, this needs 101')
    await client.query('ROLLBACK')
    await client.query('PREPARE p AS SELECT id FROM docs LIMIT 60')
    expect((await client.query('EXECUTE p')).rowCount).toBe(60)
    await expect(client.query('EXECUTE p')).rejects.toThrow('40 are left, this needs 60')
  })

  it('by share are of what the database knows', async () => {
    const client = await as('sam')
    await client.query('SELECT id FROM docs LIMIT 150')
    await expect(client.query('SELECT id FROM docs LIMIT 60')).rejects.toMatchObject({
      message:
        'roles.sharer.budget[0] allows 200 rows (10% of docs) in 24 h: 50 are left, this needs 60',
    })
    expect((await client.query('SELECT id FROM vdocs LIMIT 50')).rowCount).toBe(50)
    await expect(client.query('SELECT id FROM vdocs LIMIT 1')).rejects.toThrow('0 are left')
    expect((await client.query('SELECT id FROM notes LIMIT 300')).rowCount).toBe(300)
    await expect(client.query('SELECT id FROM fresh LIMIT 1')).rejects.toThrow(
      'the database does not know how many there are',
    )
  })

  it('count embeddings that leave, and vectors that are chosen to probe with', async () => {
    const client = await as('pam')
    const near = "SELECT id FROM items ORDER BY embedding <-> '[0,1]' LIMIT 5"
    for (let probe = 0; probe < 2; probe += 1) await client.query(near)
    const scores = "SELECT embedding <-> '[0,1]', embedding <-> '[1,0]' FROM items LIMIT 5"
    expect((await client.query(scores)).rowCount).toBe(5)
    await expect(client.query(near)).rejects.toMatchObject({
      code: '53400',
      message: 'roles.prober.budget[0] allows 4 probes in 24 h: 0 are left',
    })
    expect((await client.query('SELECT hidden FROM items LIMIT 9')).rows[0]).toEqual({
      hidden: null,
    })
    expect((await client.query('SELECT * FROM items LIMIT 2')).rowCount).toBe(2)
    // Of what is left one more may come, and the read that wants more ends there.
    await expect(client.query('SELECT embedding FROM items')).rejects.toMatchObject({
      message:
        'the read went past 1 rows, all that is left of roles.prober.budget[0]: 3 embeddings in 24 h',
    })
    await expect(client.query('SELECT embedding FROM items LIMIT 1')).rejects.toThrow('0 are left')
    expect((await client.query('SELECT id FROM items')).rowCount).toBe(20)
  })

  it('of a changed policy count what was taken before', async () => {
    const at = await gateway.connectAs('alice')
    const client = await clientOf(at)
    await client.query('SELECT * FROM docs LIMIT 300')
    const change = (rows: number): void => {
      const source = POLICY.replace('rows: 1000', `rows: ${rows}`)
      gateway.notify(at.session.id, { kind: 'policy', source, hash: `${rows}` })
    }
    change(310)
    await expect(client.query('SELECT * FROM docs LIMIT 20')).rejects.toThrow(
      'allows 310 rows in 24 h: 10 are left, this needs 20',
    )
    change(100)
    await expect(client.query('SELECT * FROM docs LIMIT 1')).rejects.toThrow('0 are left')
    change(350)
    expect((await client.query('SELECT * FROM docs LIMIT 50')).rowCount).toBe(50)
    await expect(client.query('SELECT * FROM docs LIMIT 1')).rejects.toThrow('0 are left')
  })

  it('let nothing through that was not leased while the store cannot be asked', async () => {
    const client = await as('alice')
    await client.query('SELECT * FROM docs LIMIT 10')
    broken = true
    await expect(client.query('SELECT * FROM docs LIMIT 200')).rejects.toMatchObject({
      code: '58030',
      message: expect.stringContaining('the store is away'),
    })
    expect((await client.query('SELECT * FROM notes LIMIT 200')).rowCount).toBe(200)
    broken = false
    expect(await exported(client, 20)).toMatchObject({ rows: 980 })
  })
})
