// The version of a catalogue against real servers: everything that the catalogue is read from changes it, and what
// happens all day does not.

import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PGVECTOR } from '../../src/databases/pgvector.js'
import { readCatalogueVersion } from '../../src/protocol/postgres/catalogue-load.js'
import { createAnalyzer } from '../../src/protocol/postgres/sql/analyzer.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const SQL = `
create table docs (id int primary key, title text);
create table parent (a int);
create table child (a int);
create view shown as select id from docs;
create type mood as enum ('calm');
create function one() returns int language sql immutable as 'select 1';
create table ruled (a int);
create rule away as on insert to ruled do instead nothing;
`

/** Each must be found. */
const CHANGES = [
  'create table more (a int)',
  'drop table more',
  'alter table docs rename to papers',
  'alter table papers rename to docs',
  'alter table docs add column extra text',
  'alter table docs rename column extra to other',
  'alter table docs alter column title set not null',
  'alter table docs drop column other',
  'create unique index by_title on docs (title)',
  'drop index by_title',
  'alter table child add constraint refers foreign key (a) references docs (id)',
  'alter table child drop constraint refers',
  'alter table docs add constraint positive check (id > 0)',
  'alter table docs drop constraint positive',
  'alter table docs add column made text generated always as (title) stored',
  'alter table docs drop column made',
  'create or replace view shown as select id from docs where id > 0',
  'create trigger instead instead of insert on shown for each row execute function pg_catalog.suppress_redundant_updates_trigger()',
  'drop trigger instead on shown',
  'create rule aside as on insert to shown do also select 1',
  'alter table child inherit parent',
  'alter table child no inherit parent',
  "create or replace function one() returns int language sql volatile as 'select 1'",
  'alter function one() rename to uno',
  'create type level as (a int)',
  'create domain small as int check (value < 10)',
  'create operator === (leftarg = int, rightarg = int, function = int4eq)',
  'create schema other',
  'drop rule away on ruled',
  'create extension pg_trgm',
  'alter extension pg_trgm drop function show_limit()',
  'set search_path = other, public',
]

/** None of these may cost a reload. */
const DAILY = [
  "insert into docs values (1, 'a'), (2, 'b')",
  "update docs set title = 'c'",
  'delete from docs where id = 2',
  'analyze docs',
  'vacuum docs',
  'create temporary table mine (id int primary key, t text)',
  'create temporary view v as select 1 as a',
  'drop view v; drop table mine',
  'create temporary table mine2 as select * from docs; alter table mine2 add column z int',
]

for (const kind of ['plain', 'pgvector', '17', '18'] as const) {
  describe.runIf(hasPostgres(kind))(`on the ${kind} server`, () => {
    let server: TestPostgres
    let client: pg.Client
    const query = async (statement: string): Promise<(string | null)[][]> =>
      (
        await client.query<(string | null)[]>({
          text: statement,
          rowMode: 'array',
          types: { getTypeParser: () => (value: string) => value },
        })
      ).rows
    const version = (): Promise<string> => readCatalogueVersion(query)

    beforeAll(async () => {
      server = await startPostgres({ kind })
      client = await server.connect(await server.createDatabase({ sql: SQL }))
    })
    afterAll(async () => {
      await client?.end()
      await server?.stop()
    })

    test('what happens all day leaves it as it is', async () => {
      // The first temporary table of a server's slot makes a schema that stays.
      await client.query('create temporary table first (a int); drop table first')
      const before = await version()
      for (const statement of DAILY) {
        await client.query(statement)
        expect(await version(), statement).toBe(before)
      }
    })

    test('everything that the catalogue is read from changes it', async () => {
      let before = await version()
      for (const statement of CHANGES) {
        if (statement.includes('pg_trgm') && !(await hasTrigrams(client))) continue
        await client.query(statement)
        const after = await version()
        expect(after, statement).not.toBe(before)
        before = after
      }
    })

    test('an unchanged catalogue is answered as it was, a changed one is read again', async () => {
      const analyzer = createAnalyzer(PGVECTOR.product)
      await analyzer.prepare()
      const first = await analyzer.loadCatalogue(query)
      expect(await analyzer.loadCatalogue(query, first)).toBe(first)
      await client.query('create schema added')
      const second = await analyzer.loadCatalogue(query, first)
      expect([first.hasSchema('added'), second.hasSchema('added')]).toEqual([false, true])
      // One that was loaded elsewhere is of a version that nobody here knows.
      const stranger = await createAnalyzer(PGVECTOR.product).loadCatalogue(query)
      expect(await analyzer.loadCatalogue(query, stranger)).not.toBe(stranger)
    })
  })
}

async function hasTrigrams(client: pg.Client): Promise<boolean> {
  const found = await client.query("select 1 from pg_available_extensions where name = 'pg_trgm'")
  return found.rowCount === 1
}
