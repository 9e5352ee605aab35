// Ways out of a mask that were open once, and what stands beside them: columns that are computed from masked ones, keys
// that tell which values are there, types and orders that tell of them. On the oldest server and the newest.

import { createHash, createHmac } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestGateway, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const MASKED = 'collections: [people, "staff*"], fields: [email, ssn, salary, doc.key]'
const POLICY = `
roles:
  reader:
    allow: [{ access: read, collections: ["*"] }]
    mask: [{ ${MASKED}, with: redact }]
  owner:
    allow: [{ access: admin, collections: ["*"] }]
    mask: [{ ${MASKED}, with: redact }]
  guesser:
    allow: [{ access: write, collections: ["*"] }]
    mask: [{ ${MASKED}, with: redact, filter: equality }]
  hashed:
    allow: [{ access: read, collections: ["*"] }]
    mask:
      - { collections: [people], fields: [email], with: hash }
      - { collections: [people], fields: [ssn], with: partial }
      - { collections: [people], fields: [note], detect: [email], with: redact }
access:
  - { who: { group: corp:readers }, role: reader, targets: ["*"] }
  - { who: { group: corp:owners }, role: owner, targets: ["*"] }
  - { who: { group: corp:guessers }, role: guesser, targets: ["*"] }
  - { who: { group: corp:hashers }, role: hashed, targets: ["*"] }
`
const USERS = {
  reader: ['corp:readers'],
  owner: ['corp:owners'],
  guesser: ['corp:guessers'],
  hashed: ['corp:hashers'],
}
const SETUP = `
CREATE TABLE people(id int PRIMARY KEY, email text, ssn varchar(20) UNIQUE, salary int, note text, doc jsonb,
  initial text GENERATED ALWAYS AS ("left"(email, 3)) STORED,
  well_paid boolean GENERATED ALWAYS AS (salary > 5000) STORED,
  title text GENERATED ALWAYS AS ('about ' || note) STORED);
INSERT INTO people SELECT g, 'kanari' || g || '@leak.test', '900-55-400' || g, g * 2000, 'write to kanari@leak.test',
  jsonb_build_object('key', 'k' || g, 'open', g, 'list', jsonb_build_array(g)) FROM generate_series(1, 4) g;
INSERT INTO people(id) VALUES (5);
CREATE TABLE linked(id int, ssn varchar(20) REFERENCES people(ssn));
CREATE TABLE plain(id int PRIMARY KEY, ssn text, word text UNIQUE);
CREATE TABLE staff(id int, email text, badge text);
CREATE TABLE staff_senior(level int) INHERITS (staff);
INSERT INTO staff VALUES (1, 'kanari1@leak.test', 'b1');
CREATE VIEW shown AS SELECT id, lower(email) AS low, initial FROM people;
`
const VIRTUAL = `
CREATE TABLE staff_virtual(email text, fails int GENERATED ALWAYS AS (1 / (length(email) - 1)) VIRTUAL);
INSERT INTO staff_virtual VALUES ('kanari1@leak.test');
`
const KEY = createHash('sha256').update('mask prod-vectors').digest()
const hash = (text: string): string =>
  createHmac('sha256', KEY).update(text).digest('hex').slice(0, 16)

for (const kind of ['plain', '18'] as const) {
  describe.runIf(hasPostgres(kind))(`ways out, on the ${kind} server`, () => {
    let server: TestPostgres
    let gateway: TestGateway
    let admin: pg.Client
    const clients: Record<string, pg.Client> = {}

    beforeAll(async () => {
      server = await startPostgres({ kind })
      const database = await server.createDatabase({ sql: kind === '18' ? SETUP + VIRTUAL : SETUP })
      admin = await server.connect(database)
      gateway = await startTestGateway({ postgres: server, database, policy: POLICY, users: USERS })
      for (const name of Object.keys(USERS)) {
        const at = await gateway.connectAs(name)
        const { host, port, user, password } = at
        const client = new pg.Client({ host, port, user, password, database: at.database })
        client.on('error', () => undefined)
        await client.connect()
        clients[name] = client
      }
    })
    afterAll(async () => {
      await Promise.all([admin, ...Object.values(clients)].map((client) => client?.end()))
      await gateway?.stop()
      await server?.stop()
    })

    /** The first row, or the SQLSTATE; what is written is taken back. */
    const told = async (user: keyof typeof USERS, text: string): Promise<unknown> => {
      const client = clients[user]
      if (client === undefined) throw new Error('not connected')
      await client.query('BEGIN')
      try {
        const { rows, command } = await client.query({ text, rowMode: 'array' })
        return rows[0] ?? command
      } catch (error) {
        return (error as { code?: string }).code
      } finally {
        await client.query('ROLLBACK')
      }
    }
    const rows = (user: keyof typeof USERS, all: readonly (readonly [string, unknown])[]): void => {
      test.each(all)(`${user}: %s`, async (text, expected) => {
        expect(await told(user, text)).toEqual(expected)
      })
    }

    rows('reader', [
      // Generated columns are what they are computed from.
      [
        'SELECT initial, title FROM people WHERE id = 1',
        ['[masked]', 'about write to kanari@leak.test'],
      ],
      ['SELECT well_paid FROM people WHERE id = 1', [null]],
      ['SELECT id FROM people WHERE well_paid', '42501'],
      ["SELECT id FROM people WHERE initial = 'kan'", '42501'],
      ['SELECT id FROM people ORDER BY initial', '42501'],
      ['SELECT low, initial FROM shown WHERE id = 1', ['[masked]', '[masked]']],
      // It came from the table alone: the connection stays.
      ['SELECT id, email FROM ONLY staff', [1, '[masked]']],
      ['SELECT id, email FROM staff', [1, '[masked]']],
      // What is made of a masked field does not tell whether it is NULL; the field itself does.
      ['SELECT email, lower(email) FROM people WHERE id = 5', [null, '[masked]']],
      ['SELECT coalesce(email, note) FROM people WHERE id = 5', ['[masked]']],
      ['SELECT row_to_json(p), ROW(p.*) FROM people p WHERE id = 1', ['[masked]', null]],
      [
        "SELECT doc->>'key', doc->>'open', doc->'list' FROM people WHERE id = 2",
        ['[masked]', '2', [2]],
      ],
      ["SELECT doc->'list'->0 FROM people WHERE id = 2", [2]],
      ['SELECT doc->$$key$$ IS NULL FROM people WHERE id = 2', '42501'],
      // A cast makes another name of a literal.
      ["SELECT doc->>'key  '::char(9) FROM people WHERE id = 2", '42501'],
      ["SELECT doc->>'keys'::varchar(3) FROM people WHERE id = 2", '42501'],
      ["SELECT doc->>lower('KEY') FROM people WHERE id = 2", '42501'],
      ["SELECT doc->>'open'::text FROM people WHERE id = 2", '42501'],
      // What would grow past a gigabyte if it had a certain letter.
      [
        "SELECT concat(translate(left(ssn, 1), '9', ''), repeat('x', 1073741800)) FROM people",
        '42501',
      ],
      ["SELECT string_agg(email, ''), json_agg(p) FROM people p", ['[masked]', '[masked]']],
      ["SELECT string_agg(email, '') FROM people, generate_series(1, 9)", '42501'],
      [
        'SELECT (SELECT ssn FROM people WHERE id = 1), min(email) FROM people',
        ['[masked]', '[masked]'],
      ],
      ['SELECT 1 / (salary - 2000) FROM people WHERE id = 1', '42501'],
      ['SELECT email::int FROM people WHERE id = 1', '42501'],
      ["SELECT nullif(email, 'kanari1@leak.test') FROM people WHERE id = 1", '42501'],
      ["SELECT CASE WHEN email > 'k' THEN 1 END FROM people WHERE id = 1", '42501'],
      ["SELECT CASE WHEN id > 1 THEN 'x' ELSE email END FROM people WHERE id = 2", ['[masked]']],
    ])
    rows('owner', [
      // Unique keys and foreign keys tell which values are there.
      ["INSERT INTO people(id, ssn) VALUES (9, '900-55-4001')", '42501'],
      [
        "INSERT INTO people(id, ssn) VALUES (9, 'x'), (10, 'y') ON CONFLICT DO NOTHING RETURNING id",
        '42501',
      ],
      ["UPDATE people SET ssn = '900-55-4001' WHERE id = 5", '42501'],
      ['INSERT INTO people(id, ssn) SELECT id + 20, ssn FROM plain', '42501'],
      ["INSERT INTO people(id) VALUES (1) ON CONFLICT (id) DO UPDATE SET ssn = 'x'", '42501'],
      ["INSERT INTO linked VALUES (1, '900-55-4001')", '42501'],
      ['UPDATE people SET ssn = NULL WHERE id = 1', 'UPDATE'],
      ["INSERT INTO people(id, email) VALUES (9, 'e') RETURNING email", ['[masked]']],
      ['CREATE TABLE probe(x varchar(20) REFERENCES people(ssn))', '42501'],
      ['ALTER TABLE plain ADD FOREIGN KEY (ssn) REFERENCES people(ssn)', '42501'],
      ['ALTER TABLE people ADD UNIQUE (email)', '42501'],
      ['CREATE UNIQUE INDEX ON people (email)', '42501'],
      ['CREATE UNIQUE INDEX ON plain (ssn)', 'CREATE'],
      // Types and orders tell of values.
      ['ALTER TABLE people ALTER ssn TYPE varchar(11)', '42501'],
      ['CREATE INDEX ON people (email) INCLUDE (id)', '42501'],
      ['CLUSTER people USING people_ssn_key', '42501'],
      ['CLUSTER plain USING plain_pkey', 'CLUSTER'],
      // A new name for what is masked.
      ['ALTER TABLE people ADD leak text GENERATED ALWAYS AS (email) STORED', '42501'],
      ['ALTER TABLE people RENAME email TO e', '42501'],
      ['CREATE VIEW v AS SELECT lower(email) AS e FROM people', '42501'],
      ['CREATE TABLE t AS SELECT row_to_json(p) FROM people p', '42501'],
      ["INSERT INTO plain SELECT 9, doc->>'key' FROM people", '42501'],
      ["INSERT INTO plain SELECT id + 9, doc->>'open' FROM people WHERE id = 1", 'INSERT'],
    ])
    rows('guesser', [
      ["INSERT INTO people(id, ssn) VALUES (9, 'x')", 'INSERT'],
      ["INSERT INTO people(id, ssn) VALUES (9, '900-55-4001')", '23505'],
      ["INSERT INTO people(id, ssn) VALUES (9, 'x'), (10, 'y')", '42501'],
      ["UPDATE people SET ssn = 'x' WHERE id = 1", 'UPDATE'],
      ["UPDATE people SET ssn = 'x' WHERE ssn = 'y'", '42501'],
      ["SELECT id FROM people WHERE ssn = '900-55-4002'", [2]],
      ["SELECT id FROM people WHERE doc->>'key' = 'k3'", [3]],
      ["SELECT id FROM people WHERE lower(ssn) = '900-55-4002'", '42501'],
      ["INSERT INTO linked VALUES (1, '900-55-4001')", 'INSERT'],
    ])
    rows('hashed', [
      [
        'SELECT email, email::text, (SELECT p.email), lower(email) FROM people p WHERE id = 1',
        [...Array(3).fill(hash('kanari1@leak.test')), '[masked]'],
      ],
      [
        'SELECT ssn, ssn::text, left(ssn, 10) FROM people WHERE id = 1',
        ['****4001', '****4001', '[masked]'],
      ],
      ['SELECT note, upper(note) FROM people WHERE id = 1', ['write to [masked]', '[masked]']],
      ['SELECT title FROM people WHERE id = 1', ['[masked]']],
    ])

    test('a foreign key that is added meanwhile is seen', async () => {
      expect(await told('owner', "INSERT INTO plain VALUES (7, '900-55-4001', 'w')")).toBe('INSERT')
      await admin.query(
        'ALTER TABLE plain ADD CONSTRAINT late FOREIGN KEY (ssn) REFERENCES people(ssn)',
      )
      expect(await told('owner', "INSERT INTO plain VALUES (7, '900-55-4001', 'w')")).toBe('42501')
      await admin.query('ALTER TABLE plain DROP CONSTRAINT late')
    })

    if (kind === '18')
      test('a virtual column is computed when it is read, and can fail', async () => {
        expect(await told('reader', 'SELECT fails FROM staff_virtual')).toBe('42501')
        expect(await told('reader', 'SELECT email FROM staff_virtual')).toEqual(['[masked]'])
      })
  })
}
