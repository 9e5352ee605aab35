// Writing through views on real servers: what is allowed does what it does without a gateway, and counts as writing
// the table behind the view.

import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const POLICY = `
thresholds: { ids: 5, rows: 20, per: 1h }
roles:
  writer: { allow: [{ access: write, collections: [docs, "v_*"] }] }
  narrow: { allow: [{ access: write, collections: ["v_*"] }] }
  masked:
    allow: [{ access: write, collections: [docs, "v_*"] }]
    mask: [{ collections: [docs], fields: [email], with: redact }]
access:
  - { who: { group: team }, role: writer, targets: ["*"] }
  - { who: { group: outside }, role: narrow, targets: ["*"] }
  - { who: { group: hidden }, role: masked, targets: ["*"] }
holds:
  - { name: big, match: { risk: [bulk-delete] }, approval: { by: [owners] } }
deny:
  - { match: { risk: [bulk-update, bulk-write] } }
`
const SETUP = `
  CREATE TABLE docs(id int PRIMARY KEY, tenant text NOT NULL DEFAULT 't1', email text, body text);
  INSERT INTO docs SELECT g, 't' || g % 2, 'a' || g || '@leak.test', 'x' FROM generate_series(1, 50) g;
  CREATE VIEW v_named AS SELECT id AS key, body AS words, email AS mail FROM docs;
  CREATE VIEW v_part AS SELECT id, tenant, body FROM docs WHERE tenant = 't1' WITH CHECK OPTION;
  CREATE VIEW v_deep AS SELECT id AS k, body AS b FROM v_part;
  CREATE VIEW v_mails AS SELECT id, body FROM docs WHERE email LIKE 'a%';
  CREATE VIEW v_acting AS SELECT id, body FROM docs;
  CREATE FUNCTION acted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE docs SET body = 'acted' WHERE id = OLD.id; RETURN NEW; END $$;
  CREATE TRIGGER act INSTEAD OF UPDATE ON v_acting FOR EACH ROW EXECUTE FUNCTION acted();
  CREATE VIEW v_saying AS SELECT id, email FROM docs;
  CREATE FUNCTION says() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'it was %', OLD.email; END $$;
  CREATE TRIGGER act INSTEAD OF UPDATE OR DELETE ON v_saying FOR EACH ROW EXECUTE FUNCTION says();
  CREATE VIEW v_ruled AS SELECT id, body FROM docs;
  CREATE RULE away AS ON DELETE TO v_ruled DO INSTEAD NOTHING;
`

for (const kind of ['plain', 'pgvector', '18'] as const) {
  describe.runIf(hasPostgres(kind))(`through views, on the ${kind} server`, () => {
    let postgres: TestPostgres
    let gateway: TestGateway
    let database: string
    let template: string
    const open: pg.Client[] = []

    beforeAll(async () => {
      postgres = await startPostgres({ kind })
      template = await postgres.createDatabase({ sql: SETUP })
    })
    afterAll(() => postgres?.stop())
    beforeEach(async () => {
      database = await postgres.createDatabase({ template })
      const users = { ana: ['corp:team'], bob: ['corp:outside'], eve: ['corp:hidden'] }
      gateway = await startTestGateway({ postgres, database, policy: POLICY, users })
    })
    afterEach(async () => {
      await Promise.all(open.splice(0).map((client) => client.end()))
      await gateway?.stop()
    })

    const clientOf = async (at: TestConnection): Promise<pg.Client> => {
      const { host, port, user, password } = at
      const client = new pg.Client({ host, port, user, password, database: at.database })
      client.on('error', () => undefined)
      await client.connect()
      open.push(client)
      return client
    }
    const through = async (user: string): Promise<pg.Client> =>
      clientOf(await gateway.connectAs(user))
    const direct = async (to: string): Promise<pg.Client> => {
      const client = await postgres.connect(to)
      open.push(client)
      return client
    }
    const told = (client: pg.Client, text: string, values: unknown[] = []): Promise<unknown> =>
      client.query(text, values).then(
        ({ rows, rowCount, fields }) => ({
          rows,
          rowCount,
          names: fields.map(({ name }) => name),
        }),
        ({ code, message, detail }) => ({ code, message, detail }),
      )

    test('what is allowed does what it does without a gateway', async () => {
      const other = await direct(await postgres.createDatabase({ template }))
      const mine = await through('ana')
      for (const [text, values] of [
        ["INSERT INTO v_named (key, words) VALUES (101, 'new') RETURNING *"],
        [
          'INSERT INTO v_named (key, words) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET words = excluded.words RETURNING words',
          [101, 'newer'],
        ],
        ['UPDATE v_named SET words = upper(words) WHERE key IN (1, 2) RETURNING key, words'],
        ["UPDATE v_deep SET b = 'deep' WHERE k = 3 RETURNING *"],
        // Not of this view: its tenant is another one.
        ["UPDATE v_deep SET b = 'deep' WHERE k = 4"],
        ["UPDATE v_part SET tenant = 't0' WHERE id = 5"],
        ["INSERT INTO v_part VALUES (102, 't0', 'no')"],
        ["INSERT INTO v_part VALUES (103, 't1', 'yes') RETURNING id"],
        ['DELETE FROM v_deep WHERE k = 7 RETURNING b'],
        ['WITH gone AS (DELETE FROM v_named WHERE key = 8 RETURNING key) SELECT * FROM gone'],
        ['SELECT id, tenant, body FROM docs ORDER BY id LIMIT 60'],
      ] as [string, unknown[]?][]) {
        expect(await told(mine, text, values), text).toEqual(await told(other, text, values))
      }
    })

    test('MERGE is as it is without a gateway', async () => {
      const other = await direct(await postgres.createDatabase({ template }))
      const mine = await through('ana')
      for (const text of [
        // Before PostgreSQL 17 nothing of the kind is there, and the server says so.
        "MERGE INTO v_named t USING (VALUES (1), (901)) s(k) ON t.key = s.k WHEN MATCHED THEN UPDATE SET words = 'm' WHEN NOT MATCHED THEN INSERT (key, words) VALUES (s.k, 'i')",
        "MERGE INTO docs t USING (VALUES (1), (902)) s(k) ON t.id = s.k WHEN MATCHED THEN UPDATE SET body = 'm' WHEN NOT MATCHED THEN INSERT (id) VALUES (s.k) RETURNING merge_action(), t.id",
      ])
        expect(await told(mine, text), text).toEqual(await told(other, text))
    })

    test('keys are those of the table, whatever names them', async () => {
      const mine = await through('ana')
      for (const id of [1, 2]) await mine.query('DELETE FROM v_named WHERE key = $1', [id])
      await mine.query('DELETE FROM docs WHERE id IN (3, 5)')
      await mine.query('DELETE FROM v_deep WHERE k = 7')
      const at = await gateway.connectAs('ana')
      const second = await clientOf(at)
      const sixth = second.query('DELETE FROM v_named WHERE key = 9')
      sixth.catch(() => undefined)
      await expect.poll(() => at.held.length, { timeout: 15_000 }).toBe(1)
      const id = at.held[0]?.request ?? ''
      expect((await gateway.requests.find(id))?.body).toContain('6 keys of \\"docs\\"')
      await gateway.requests.approve(await gateway.person('owner', ['corp:owners']), id, {})
      expect((await sixth).rowCount).toBe(1)
    })

    test('what is bulk on the table is bulk through the view', async () => {
      const mine = await through('ana')
      for (const text of [
        "UPDATE v_named SET words = 'x'",
        "UPDATE v_deep SET b = 'x'",
        "UPDATE v_named SET words = 'x' WHERE words LIKE 'x%'",
        // What a trigger does nobody knows.
        "UPDATE v_acting SET body = 'x' WHERE id = 1",
        'INSERT INTO v_named (key) SELECT generate_series(200, 300)',
      ])
        await expect(mine.query(text), text).rejects.toMatchObject({ code: '42501' })
    })

    test('a view opens no table that the role may not write', async () => {
      const bob = await through('bob')
      for (const text of [
        'DELETE FROM v_named WHERE key = 1',
        "UPDATE v_deep SET b = 'x' WHERE k = 1",
        'INSERT INTO v_named (key) VALUES (900)',
      ])
        await expect(bob.query(text), text).rejects.toMatchObject({
          code: '42501',
          message: expect.stringContaining('docs'),
        })
    })

    test('masks hold for what is read on the way', async () => {
      const eve = await through('eve')
      const { rows } = await eve.query("UPDATE v_named SET words = 'y' WHERE key = 1 RETURNING *")
      expect(rows).toEqual([{ key: 1, words: 'y', mail: '[masked]' }])
      for (const text of [
        "DELETE FROM v_named WHERE mail LIKE 'a1%'",
        'UPDATE v_named SET words = mail WHERE key = 1',
        // The view asks every row's address.
        "UPDATE v_mails SET body = 'z' WHERE id = 1",
        "INSERT INTO v_mails VALUES (901, 'x')",
      ])
        await expect(eve.query(text), text).rejects.toMatchObject({ code: '42501' })
      const refused = told(eve, 'INSERT INTO v_part VALUES (1, $1, $2)', ['t1', 'x'])
      expect(await refused).toMatchObject({ code: '23505', detail: undefined })
    })

    test('nor does a trigger of a view say what is masked behind it', async () => {
      const at = await gateway.connectAs('eve')
      const eve = await clientOf(at)
      const erased = eve.query('DELETE FROM v_saying WHERE id = 1')
      erased.catch(() => undefined)
      await expect.poll(() => at.held.length, { timeout: 15_000 }).toBe(1)
      const id = at.held[0]?.request ?? ''
      await gateway.requests.approve(await gateway.person('owner', ['corp:owners']), id, {})
      const said = await erased.catch((error: unknown) => JSON.stringify(error) + String(error))
      expect(said).toContain('withheld')
      expect(said).not.toContain('leak.test')
    })

    test('rules are refused', async () => {
      const refused = (await through('ana')).query('DELETE FROM v_ruled WHERE id = 1')
      await expect(refused).rejects.toMatchObject({ message: expect.stringMatching(/has rules/) })
    })

    test('a trigger that is put on a view is seen before the next statement', async () => {
      const mine = await through('ana')
      const write = () => mine.query("UPDATE v_named SET words = 'w' WHERE key = 1")
      await write()
      const admin = await direct(database)
      await admin.query(
        'CREATE TRIGGER act INSTEAD OF UPDATE ON v_named FOR EACH ROW EXECUTE FUNCTION acted()',
      )
      await expect(write()).rejects.toMatchObject({ code: '42501' })
    })
  })
}
