// Owns that writing what is open tells nothing of a masked column that a constraint reads beside it.

import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const POLICY = `
roles:
  writer:
    allow: [{ access: write, collections: [offers, pairs, people, spans, kids, codes, part] }]
    mask: [{ collections: ["*"], fields: [ssn, secret, email, during], with: redact }]
access:
  - { who: { group: writers }, role: writer, targets: ["*"] }
`
const SETUP = `
  CREATE TABLE people(id int PRIMARY KEY, email text, low text GENERATED ALWAYS AS (lower(email)) STORED UNIQUE);
  INSERT INTO people(id, email) VALUES (1, 'Ann@x.org');
  CREATE TABLE pairs(id int PRIMARY KEY, dept int, ssn text, UNIQUE (dept, ssn));
  INSERT INTO pairs VALUES (1, 1, 'a'), (2, 2, 'a'), (3, 3, 'b');
  CREATE TABLE spans(id int PRIMARY KEY, room int4range, during int4range, EXCLUDE USING gist (room WITH &&, during WITH &&));
  INSERT INTO spans VALUES (1, '[1,2)', '[1,5)'), (2, '[2,3)', '[4,9)'), (3, '[3,4)', '[20,30)');
  CREATE TABLE part(id int PRIMARY KEY, code int, secret int);
  INSERT INTO part VALUES (1, 1, 300), (2, 2, 400), (3, 3, 5);
  CREATE UNIQUE INDEX ON part (code) WHERE secret > 100;
  CREATE TABLE codes(a int, ssn text, PRIMARY KEY (a, ssn));
  INSERT INTO codes VALUES (1, 'x'), (2, 'y'), (3, 'x');
  CREATE TABLE kids(id int PRIMARY KEY, a int, ssn text, FOREIGN KEY (a, ssn) REFERENCES codes);
  INSERT INTO kids VALUES (1, 1, 'x');
  CREATE TABLE offers(id int PRIMARY KEY, bid int, secret int, CHECK (bid <= secret));
  INSERT INTO offers VALUES (1, 0, 500);`

describe.skipIf(!hasPostgres('pgvector'))('a write of what stands beside a masked column', () => {
  let postgres: TestPostgres
  let gateway: TestGateway
  let client: pg.Client
  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'pgvector' })
  })
  afterAll(() => postgres?.stop())
  beforeEach(async () => {
    const database = await postgres.createDatabase({ sql: SETUP })
    gateway = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      users: { will: ['corp:writers'] },
    })
    const { host, port, user, password, database: name } = await gateway.connectAs('will')
    client = new pg.Client({ host, port, user, password, database: name })
    await client.connect()
  })
  afterEach(async () => {
    await client?.end()
    await gateway?.stop()
  })
  const say = async (sql: string): Promise<string> => {
    try {
      return `rows: ${(await client.query(sql)).rowCount}`
    } catch (error) {
      return (error as { code: string }).code
    }
  }

  // Each pair differs only in what is masked in the rows that it meets: the answers must be the same.
  it.each([
    [
      'a unique key of a generated column',
      "INSERT INTO people(id, email) VALUES (5, 'ANN@x.org') ON CONFLICT DO NOTHING",
      "INSERT INTO people(id, email) VALUES (6, 'bob@x.org') ON CONFLICT DO NOTHING",
    ],
    [
      'the open part of a unique key',
      'UPDATE pairs SET dept = 2 WHERE id = 1',
      'UPDATE pairs SET dept = 3 WHERE id = 1',
    ],
    [
      'the open part of an exclusion',
      "UPDATE spans SET room = '[2,3)' WHERE id = 1",
      "UPDATE spans SET room = '[3,4)' WHERE id = 1",
    ],
    [
      'a unique index on a condition',
      'UPDATE part SET code = 2 WHERE id = 1',
      'UPDATE part SET code = 3 WHERE id = 1',
    ],
    [
      'the open part of a foreign key',
      'UPDATE kids SET a = 2 WHERE id = 1',
      'UPDATE kids SET a = 3 WHERE id = 1',
    ],
    [
      'a check',
      'UPDATE offers SET bid = 501 WHERE id = 1',
      'UPDATE offers SET bid = 500 WHERE id = 1',
    ],
  ])('%s', async (_what, one, other) => {
    expect(await say(one)).toBe(await say(other))
  })

  it.each([
    'INSERT INTO pairs(id, dept) VALUES (9, 2) ON CONFLICT (id) DO UPDATE SET dept = 2',
    'INSERT INTO offers(id, bid) VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET bid = 501',
    'MERGE INTO offers o USING (VALUES (1)) v(id) ON o.id = v.id WHEN MATCHED THEN UPDATE SET bid = 501',
    'UPDATE pairs SET dept = NULL WHERE id = 1',
    'UPDATE codes SET a = 2 WHERE a = 1',
    'COPY pairs(id, dept) FROM STDIN',
  ])('is refused in %s', async (sql) => expect(await say(sql)).toBe('42501'))

  // What the whole of a key or check is written with is the writer's own; new rows hold nothing that was there.
  it.each([
    'UPDATE offers SET bid = 501, secret = 502 WHERE id = 1',
    'UPDATE offers SET id = 9 WHERE id = 1',
    'INSERT INTO offers(id, bid) VALUES (9, 1)',
    'UPDATE pairs SET dept = 2, ssn = NULL WHERE id = 1',
    'UPDATE kids SET id = 9 WHERE id = 1',
    'UPDATE part SET id = 9 WHERE id = 1',
  ])('is allowed in %s', async (sql) => expect(await say(sql)).toBe('rows: 1'))
})
