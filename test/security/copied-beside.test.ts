// Owns that rows of governed tables cannot be written down in a temporary table past limits, exports and budgets by what
// is compared with them.

import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const POLICY = `
roles:
  limited:
    allow: [{ access: read, collections: [docs] }]
    limits: { rows: 5 }
  budgeted:
    allow: [{ access: read, collections: [docs] }]
    budget: [{ collections: [docs], rows: 5, per: 24h }]
  embeddings:
    allow: [{ access: read, collections: [items] }]
    budget: [{ collections: [items], vectors: 1, probes: 3, per: 24h }]
  exporter:
    allow: [{ access: read, collections: [files] }]
    thresholds: { rows: 5 }
deny:
  - { match: { risk: [bulk-export], collections: [files] } }
access:
  - { who: { group: embeddings }, role: embeddings, targets: ["*"] }
  - { who: { group: limited }, role: limited, targets: ["*"] }
  - { who: { group: budgeted }, role: budgeted, targets: ["*"] }
  - { who: { group: exporter }, role: exporter, targets: ["*"] }
`
const SETUP = `CREATE EXTENSION vector;
  CREATE TABLE items(id int PRIMARY KEY, embedding vector(3));
  INSERT INTO items SELECT g, format('[%s,%s,%s]', g, 2 * g, -g)::vector FROM generate_series(1, 20) g;
  CREATE TABLE docs(id int PRIMARY KEY, title text);
  INSERT INTO docs SELECT g, 'title ' || g FROM generate_series(1, 20) g;
  CREATE TABLE files(id int PRIMARY KEY, title text);
  INSERT INTO files SELECT * FROM docs;`
/** Reads every title, a letter at a time, out of numbers that are the caller's own. */
const LETTERS = `SELECT a.g AS id, p.g AS at, c.g AS letter
  FROM docs, generate_series(1, 100) a(g), generate_series(1, 12) p(g), generate_series(32, 127) c(g)
  WHERE docs.id = a.g AND ascii(substr(title, p.g, 1)) = c.g`

describe.skipIf(!hasPostgres('pgvector'))('what is found by comparing', () => {
  let postgres: TestPostgres
  let gateway: TestGateway
  let client: pg.Client | undefined
  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector' })
  })
  afterAll(() => postgres?.stop())
  beforeEach(async () => {
    const database = await postgres.createDatabase({ sql: SETUP })
    const users = {
      lim: ['corp:limited'],
      emb: ['corp:embeddings'],
      bud: ['corp:budgeted'],
      exp: ['corp:exporter'],
    }
    gateway = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      users,
    })
  })
  afterEach(async () => {
    await client?.end()
    client = undefined
    await gateway?.stop()
  })
  const as = async (name: string): Promise<pg.Client> => {
    const { host, port, user, password, database } = await gateway.connectAs(name)
    client = new pg.Client({ host, port, user, password, database })
    await client.connect()
    return client
  }

  it.each([
    ['lim', 'would copy more than 5 rows into a temporary table'],
    ['bud', 'would copy a number of rows that nobody can count'],
    ['exp', 'is denied by deny[0]'],
  ])('is no way past what %s may read', async (name, refusal) => {
    const session = await as(name)
    const letters = name === 'exp' ? LETTERS.replaceAll('docs', 'files') : LETTERS
    await expect(session.query(`CREATE TEMP TABLE t AS ${letters}`)).rejects.toThrow(refusal)
  })

  it.each([
    ['INSERT', `INSERT INTO t ${LETTERS}`],
    ['INSERT of keys', 'INSERT INTO t SELECT g FROM generate_series(1, 100) g JOIN docs ON id = g'],
    ['UPDATE', 'UPDATE t SET seen = true FROM docs WHERE docs.id = t.id'],
    ['DELETE', 'DELETE FROM t USING docs WHERE docs.id = t.id'],
    ['MERGE', 'MERGE INTO t USING docs ON docs.id = t.id WHEN MATCHED THEN UPDATE SET seen = true'],
  ])('is counted by a budget: %s', async (_name, sql) => {
    const session = await as('bud')
    await session.query('CREATE TEMP TABLE t (id int, at int, letter int, seen bool)')
    await session.query('INSERT INTO t SELECT g FROM generate_series(1, 100) g')
    await expect(session.query(sql)).rejects.toThrow('would copy a number of rows')
  })

  it('is counted by a budget of embeddings', async () => {
    const session = await as('emb')
    const sql = `CREATE TEMP TABLE t AS SELECT a.g AS id, p.g AS at, v.g AS value
      FROM items, generate_series(1, 100) a(g), generate_series(1, 3) p(g), generate_series(-100, 100) v(g)
      WHERE items.id = a.g AND (embedding::real[])[p.g] = v.g`
    await expect(session.query(sql)).rejects.toThrow('would copy a number of rows')
  })

  it.each([
    ['an aggregate', "string_agg(g::text, ',') FROM generate_series(1, 100) g JOIN docs ON id = g"],
    ['an array', 'ARRAY(SELECT g FROM generate_series(1, 100) g JOIN docs ON id = g)'],
    [
      'an array by a condition',
      'ARRAY(SELECT g FROM generate_series(1, 100) g WHERE EXISTS (SELECT FROM docs WHERE id = g))',
    ],
    [
      'an aggregate of a subquery',
      `(SELECT string_agg(g::text, ',')) FROM generate_series(1, 100) g JOIN docs ON id = g`,
    ],
  ])('is counted by a limit where it is gathered: %s', async (_name, selected) => {
    const session = await as('lim')
    await expect(session.query(`SELECT ${selected}`)).rejects.toThrow('would gather more than 5')
    const common = `WITH x AS (SELECT g FROM generate_series(1, 100) g JOIN docs ON id = g)
      SELECT ARRAY(SELECT g FROM x)`
    await expect(session.query(common)).rejects.toThrow('would gather more than 5')
  })

  it('is no matter for what is small, one’s own, or compared with nothing', async () => {
    const session = await as('lim')
    await session.query('CREATE TEMP TABLE t (id int, tag text)')
    await session.query("INSERT INTO t SELECT g, 'x' FROM generate_series(1, 100) g")
    await session.query("UPDATE t SET tag = 'y' WHERE id > 50")
    await session.query('INSERT INTO t SELECT id FROM docs ORDER BY id LIMIT 5')
    const twice = `WITH a AS (INSERT INTO t SELECT id FROM docs LIMIT 2)
      INSERT INTO t SELECT id FROM docs LIMIT 3`
    await session.query(twice)
    const tags = "ARRAY(SELECT lower(u) FROM unnest('{TITLE 1,TITLE 2}'::text[]) u)"
    const listed = `SELECT id FROM docs WHERE title = ANY(${tags}) ORDER BY id LIMIT 5`
    expect((await session.query(listed)).rows).toEqual([{ id: 1 }, { id: 2 }])
    const own =
      'SELECT count(*)::int AS n, count(DISTINCT docs.id)::int AS d FROM t JOIN docs USING (id)'
    expect((await session.query(own)).rows).toEqual([{ n: 30, d: 20 }])
    await session.query("DELETE FROM t WHERE tag = 'y'")
  })

  it('is counted for each table into which rows are copied', async () => {
    const session = await as('bud')
    for (const name of ['a', 'b', 'c']) await session.query(`CREATE TEMP TABLE ${name} (id int)`)
    const sql = `WITH x AS (INSERT INTO a SELECT id FROM docs WHERE id = 1 OR id = 2 LIMIT 4),
      y AS (INSERT INTO b SELECT id FROM docs ORDER BY id LIMIT 4 OFFSET 4)
      INSERT INTO c SELECT id FROM docs ORDER BY id LIMIT 4 OFFSET 8`
    await expect(session.query(sql)).rejects.toThrow('allows 5 rows in 24 h')
  })
})
