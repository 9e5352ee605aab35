// Owns that a temporary table is no way around policy: what is copied into one is judged as it is read, and what policy
// says of collections, risks and amounts holds there; what is one's own is one's own.

import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const POLICY = `
roles:
  reader:
    allow: [{ access: read, collections: [docs, notes, items] }]
    mask:
      - { collections: ["*"], fields: [ssn], with: redact, filter: equality }
      - { collections: ["*"], vectors: drop, scores: hide }
    limits: { rows: 5 }
  writer:
    allow: [{ access: write, collections: [notes] }, { access: read, collections: [docs] }]
    budget: [{ collections: ["*"], rows: 12, per: 24h }]
  exporter:
    allow: [{ access: read, collections: [docs, notes] }]
    thresholds: { rows: 5 }
  searcher:
    allow: [{ operations: [search], collections: [items] }]
    deny: [{ collections: [$temp] }]
holds:
  - name: destructive
    match: { risk: [drop, schema, bulk-delete, bulk-update, bulk-write, overwrite] }
deny:
  - { match: { risk: [bulk-export], collections: [docs] } }
access:
  - { who: { group: readers }, role: reader, targets: ["*"] }
  - { who: { group: writers }, role: writer, targets: ["*"] }
  - { who: { group: exporters }, role: exporter, targets: ["*"] }
  - { who: { group: searchers }, role: searcher, targets: ["*"] }
`
const SETUP = `CREATE EXTENSION vector;
  CREATE TABLE docs(id int PRIMARY KEY, title text, ssn text);
  INSERT INTO docs SELECT g, 'title ' || g, '900-55-' || g FROM generate_series(1, 20) g;
  CREATE TABLE notes(id int PRIMARY KEY, body text DEFAULT 'own');
  INSERT INTO notes SELECT g FROM generate_series(1, 20) g;
  CREATE TABLE items(id int PRIMARY KEY, embedding vector(2));
  INSERT INTO items SELECT g, '[1,2]' FROM generate_series(1, 20) g;`

describe.skipIf(!hasPostgres('pgvector'))('what is copied into a temporary table', () => {
  let postgres: TestPostgres
  let gateway: TestGateway
  const open: pg.Client[] = []
  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector' })
  })
  afterAll(() => postgres?.stop())
  beforeEach(async () => {
    const database = await postgres.createDatabase({ sql: SETUP })
    const users = {
      rita: ['corp:readers'],
      will: ['corp:writers'],
      erin: ['corp:exporters'],
      sue: ['corp:searchers'],
    }
    gateway = await startTestGateway({ postgres, database, policy: POLICY, users })
  })
  afterEach(async () => {
    await Promise.all(open.splice(0).map((client) => client.end()))
    await gateway?.stop()
  })
  const as = async (name: string): Promise<pg.Client> => {
    const { host, port, user, password, database } = await gateway.connectAs(name)
    const client = new pg.Client({ host, port, user, password, database })
    client.on('error', () => undefined)
    await client.connect()
    open.push(client)
    return client
  }
  /** Rows as text, or the error's code and the rule that refuses. */
  const say = async (client: pg.Client, sql: string): Promise<string> => {
    try {
      const { rows } = await client.query(sql)
      return rows.map((row) => Object.values(row).join()).join(' ')
    } catch (error) {
      const { code, detail = '' } = error as { code: string; detail?: string }
      return `${code} ${detail}`.trim()
    }
  }

  it('is judged as it is read: nothing masked or hidden, nothing that may not be read', async () => {
    const rita = await as('rita')
    expect(await say(rita, 'CREATE TEMP TABLE t (id int, a text, ssn text, v vector(2))')).toBe('')
    const masked = [
      'CREATE TEMP TABLE x AS SELECT ssn FROM docs LIMIT 1',
      'CREATE TEMP TABLE x AS SELECT d FROM docs d LIMIT 1',
      'CREATE TEMP TABLE x AS SELECT to_jsonb(d) FROM docs d LIMIT 1',
      'CREATE TEMP TABLE x AS TABLE docs',
      'CREATE TEMP TABLE x AS SELECT (SELECT ssn FROM docs WHERE id = 1) AS y',
      'SELECT ssn INTO TEMP x FROM docs LIMIT 1',
      'EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT ssn FROM docs LIMIT 1',
      'INSERT INTO t (ssn) SELECT ssn FROM docs LIMIT 1',
      'INSERT INTO t (a) VALUES ((SELECT ssn FROM docs WHERE id = 1))',
      'WITH w AS (INSERT INTO t (a) SELECT ssn FROM docs LIMIT 1 RETURNING a) SELECT a FROM w',
      'UPDATE t SET a = docs.ssn FROM docs WHERE docs.id = 1',
      'UPDATE t SET a = (SELECT max(ssn) FROM docs)',
      `MERGE INTO t USING (SELECT * FROM docs WHERE id = 1) d ON t.id = d.id
       WHEN NOT MATCHED THEN INSERT (a) VALUES (d.ssn)`,
      'DELETE FROM t USING docs WHERE docs.ssn = t.a',
      'SELECT t.a FROM t JOIN docs ON docs.ssn = t.a LIMIT 1',
      'COPY (INSERT INTO t (a) SELECT ssn FROM docs LIMIT 1 RETURNING a) TO STDOUT',
      'INSERT INTO t (v) SELECT embedding FROM items LIMIT 1',
      'CREATE TEMP TABLE x AS SELECT embedding::text FROM items LIMIT 1',
      "CREATE TEMP TABLE x AS SELECT embedding <-> '[1,1]' AS d FROM items LIMIT 1",
    ]
    for (const sql of masked)
      expect(await say(rita, sql), sql).toMatch(/^42501 rule: (?:roles.reader.mask|deny)/)
    await rita.query('PREPARE p AS SELECT ssn FROM docs LIMIT 1')
    expect(await say(rita, 'CREATE TEMP TABLE x AS EXECUTE p')).toMatch(/^42501 rule: roles.reader/)
    // What one writes oneself is one's own, whatever its name.
    expect(await say(rita, "INSERT INTO t (id, ssn, v) VALUES (1, 'mine', '[3,4]')")).toBe('')
    expect(await say(rita, 'SELECT ssn, v FROM t WHERE ssn > $$a$$ LIMIT 1')).toBe('mine,[3,4]')
    expect(
      await say(
        rita,
        "CREATE TEMP TABLE y AS SELECT id, title FROM docs WHERE ssn = '900-55-2' LIMIT 1",
      ),
    ).toBe('')
    expect(await say(rita, 'SELECT title FROM y LIMIT 1')).toBe('title 2')
    const erin = await as('erin')
    expect(await say(erin, 'CREATE TEMP TABLE x AS SELECT id FROM items LIMIT 1')).toMatch(/^42501/)
    expect(await say(erin, 'CREATE TEMP TABLE x (LIKE items)')).toMatch(/^42501/)
    expect(await say(erin, 'CREATE TEMP TABLE x (LIKE docs INCLUDING COMMENTS)')).toBe('')
    expect(await say(erin, 'CREATE TEMP TABLE z (LIKE notes INCLUDING DEFAULTS)')).toMatch(/^42501/)
    expect(await say(erin, 'CREATE TEMP TABLE z (LIKE notes INCLUDING ALL)')).toMatch(/^42501/)
  })

  it('meets the limits of rows as a read does', async () => {
    const rita = await as('rita')
    await rita.query('CREATE TEMP TABLE t (id int PRIMARY KEY, a text)')
    const many = [
      'CREATE TEMP TABLE x AS SELECT id FROM docs',
      'CREATE TEMP TABLE x AS SELECT id FROM docs LIMIT 6',
      'SELECT id INTO TEMP x FROM docs',
      'INSERT INTO t SELECT id FROM docs',
      'INSERT INTO t SELECT id FROM docs ON CONFLICT DO NOTHING',
      'WITH w AS (INSERT INTO t SELECT id FROM docs) SELECT 1',
      'WITH w AS (INSERT INTO t SELECT id FROM docs LIMIT 3), v AS (INSERT INTO t SELECT id FROM docs LIMIT 3) SELECT 1',
      'UPDATE t SET a = title FROM docs WHERE docs.id = t.id',
      'MERGE INTO t USING docs ON false WHEN NOT MATCHED THEN INSERT VALUES (docs.id)',
      'INSERT INTO t SELECT id FROM docs LIMIT 3; INSERT INTO t SELECT id FROM docs LIMIT 3',
      'CREATE TEMP TABLE x AS SELECT json_agg(id) FROM docs',
      'EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT id FROM docs',
    ]
    for (const sql of many)
      expect(await say(rita, sql), sql).toMatch(/^42501 rule: (?:roles.reader.limits.rows|deny)/)
    expect(await say(rita, 'INSERT INTO t SELECT id FROM docs ORDER BY id LIMIT 5')).toBe('')
    expect(await say(rita, 'INSERT INTO t SELECT id FROM docs ORDER BY id OFFSET 5 LIMIT 5')).toBe(
      '',
    )
    expect(await say(rita, 'SELECT id FROM t')).toMatch(/^53400/)
    expect(await say(rita, 'SELECT count(*) FROM t')).toBe('10')
    // What is in no collection counts as nothing.
    expect(await say(rita, 'INSERT INTO t SELECT generate_series(100, 200)')).toBe('')
    expect(await say(rita, 'CREATE TEMP TABLE x AS SELECT * FROM t')).toBe('')
    await rita.query({ name: 'n', text: 'SELECT 1' })
    await expect(
      rita.query('INSERT INTO t SELECT id + 500 FROM docs LIMIT $1', [6]),
    ).rejects.toThrow('would copy more than 5 rows into a temporary table')
    expect(
      (await rita.query('INSERT INTO t SELECT id + 500 FROM docs LIMIT $1', [5])).rowCount,
    ).toBe(5)
  })

  it('is an export where a rule stops exports, and counts in budgets', async () => {
    const erin = await as('erin')
    for (const sql of [
      'CREATE TEMP TABLE x AS SELECT id FROM docs',
      'CREATE TEMP TABLE x AS SELECT n.id FROM docs d JOIN notes n USING (id)',
      'CREATE TEMP TABLE x AS SELECT id FROM docs LIMIT 6',
    ])
      expect(await say(erin, sql), sql).toMatch(/^42501 rule: deny/)
    expect(await say(erin, 'CREATE TEMP TABLE x AS SELECT id FROM docs LIMIT 5')).toBe('')
    // What came from elsewhere may be exported.
    expect(await say(erin, 'CREATE TEMP TABLE n AS SELECT id FROM notes')).toBe('')
    expect((await erin.query('SELECT * FROM n')).rowCount).toBe(20)
    const will = await as('will')
    expect(await say(will, 'CREATE TEMP TABLE x AS SELECT id FROM notes')).toMatch(
      /would copy|42501|53400/,
    )
    expect(await say(will, 'CREATE TEMP TABLE x AS SELECT id FROM notes LIMIT 10')).toBe('')
    expect(await say(will, 'INSERT INTO x SELECT id FROM notes LIMIT 3')).toMatch(/^53400/)
    expect(await say(will, 'INSERT INTO x SELECT id FROM notes LIMIT 2')).toBe('')
    expect((await will.query('SELECT * FROM x')).rowCount).toBe(12)
    expect(await say(will, 'SELECT id FROM notes LIMIT 1')).toMatch(/^53400/)
  })

  it('is one’s own to change and drop, under holds of risks and denials of collections', async () => {
    const will = await as('will')
    for (const sql of [
      'CREATE TEMP TABLE t (id int PRIMARY KEY, body text)',
      'INSERT INTO t SELECT generate_series(1, 5000)',
      "UPDATE t SET body = 'x'",
      'DELETE FROM t',
      'TRUNCATE t',
      'CREATE INDEX ON t (body)',
      'ALTER TABLE t DROP COLUMN body',
      'ANALYZE t',
      'ALTER TABLE t RENAME TO u',
      'DROP TABLE u',
      'DISCARD TEMP',
    ])
      expect(await say(will, sql), sql).toBe('')
    await will.query('CREATE TEMP TABLE t (id int PRIMARY KEY)')
    // Errors of one's own rows are told.
    await will.query('INSERT INTO t VALUES (1)')
    await expect(will.query('INSERT INTO t VALUES (1)')).rejects.toMatchObject({
      code: '23505',
      detail: 'Key (id)=(1) already exists.',
    })
    // From there on it is a write like any other.
    expect(await say(will, 'INSERT INTO docs SELECT id + 100 FROM t LIMIT 1')).toMatch(/^42501/)
    expect(await say(will, 'DROP TABLE t, notes')).toMatch(/^42501/)
    expect(await say(will, 'TRUNCATE t, docs')).toMatch(/^42501/)
    expect(await say(will, "INSERT INTO notes SELECT id + 100, 'new' FROM t LIMIT 1")).toBe('')
    const sue = await as('sue')
    expect(await say(sue, 'CREATE TEMP TABLE t (id int)')).toMatch(
      /^42501 rule: roles.searcher.deny/,
    )
    expect(gateway).toBeDefined()
  })
})
