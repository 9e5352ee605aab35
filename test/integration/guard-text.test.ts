// What guards rest on, against real servers of several versions: a prepared text is analysed again exactly when what
// it names was redefined, whatever the isolation, and its locks stay to the end of the transaction.

import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { guardText } from '../../src/protocol/postgres/guard-text.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const SQL = `
create table docs (id int primary key, title text);
create table other (a int);
create view shown as select id from docs;
create table parted (a int) partition by range (a);
create table part (a int);
create role writer;
grant insert on docs to writer;
`

/** Each must make the guard of this relation fail. */
const REDEFINED: readonly (readonly [relation: string, change: string])[] = [
  ['docs', 'alter table docs add column more int'],
  ['docs', 'alter table docs rename column more to less'],
  ['docs', 'alter table docs drop column less'],
  ['docs', 'alter table docs alter column title set not null'],
  ['docs', 'create rule away as on insert to docs do also select 1'],
  ['docs', 'create unique index by_title on docs (title)'],
  ['docs', 'drop index by_title'],
  // That a child goes is not told to its parent: less is reached than was judged.
  ['docs', 'create table child () inherits (docs)'],
  ['docs', 'create schema another'],
  ['docs', 'create operator === (leftarg = int, rightarg = int, function = int4eq)'],
  ['docs', 'create temporary table docs (id int)'],
  ['shown', 'create or replace view shown as select id from docs where id > 1'],
  [
    'shown',
    'create trigger away instead of insert on shown for each row execute function pg_catalog.suppress_redundant_updates_trigger()',
  ],
  ['shown', 'create rule away as on delete to shown do instead nothing'],
  ['shown', 'alter table docs add column again int'],
  ['parted', 'alter table parted attach partition part for values from (10) to (20)'],
  ['docs', 'alter table docs rename to papers'],
]

for (const kind of ['plain', 'pgvector', '17', '18'] as const) {
  describe.runIf(hasPostgres(kind))(`on the ${kind} server`, () => {
    let server: TestPostgres
    let guarded: pg.Client
    let other: pg.Client
    const types = { getTypeParser: () => (value: string) => value }
    const stamp = async (name: string): Promise<string | null> => {
      const text = `execute ${name}(null)`
      const { rows } = await guarded.query<[string | null]>({ text, rowMode: 'array', types })
      return rows[0]?.[0] ?? null
    }
    const holds = (name: string, since: string | null): Promise<boolean> =>
      guarded.query(`execute ${name}('${since}')`).then(
        () => true,
        () => false,
      )

    beforeAll(async () => {
      server = await startPostgres({ kind })
      const database = await server.createDatabase({ sql: SQL })
      guarded = await server.connect(database)
      other = await server.connect(database)
      for (const name of ['docs', 'shown', 'parted']) {
        const { rows } = await other.query<{ oid: number }>(
          `select '${name}'::regclass::oid as oid`,
        )
        const oid = rows[0]?.oid ?? 0
        const uses = {
          relations: [{ oid, schema: 'public', name, version: '' }],
          names: { [`"${name}"`]: oid },
          path: ['public'],
        }
        await guarded.query(`prepare ${name}(timestamptz) as ${guardText(uses)}`)
      }
    })
    afterAll(async () => {
      await guarded?.end()
      await other?.end()
      await server?.stop()
    })

    test('it holds while nothing that it names is redefined', async () => {
      const since = await stamp('docs')
      for (const sql of ['create table unrelated (a int)', "insert into docs values (1, 'a')"]) {
        await other.query(sql)
        for (let run = 0; run < 8; run += 1) expect(await holds('docs', since), sql).toBe(true)
      }
    })

    test('it holds a lock to the end of the transaction, and needs no right to read', async () => {
      await guarded.query('begin; set local role writer')
      expect(await holds('docs', await stamp('docs'))).toBe(true)
      const locked = "select mode from pg_locks where relation = 'public.docs'::regclass"
      expect((await other.query(locked)).rows).toEqual([{ mode: 'AccessShareLock' }])
      await guarded.query('rollback')
    })

    test('it fails in a transaction that sees only what was before', async () => {
      const since = await stamp('docs')
      await guarded.query('begin isolation level repeatable read')
      await guarded.query('select 1')
      await other.query('alter table docs add column later int')
      expect(await holds('docs', since)).toBe(false)
      await guarded.query('rollback')
    })

    test('everything that redefines makes it fail, once', async () => {
      for (const [name, change] of REDEFINED) {
        const since = await stamp(name)
        expect(await holds(name, since), change).toBe(true)
        const own = change.includes('temporary')
        await (own ? guarded : other).query(change)
        expect(await holds(name, since), change).toBe(false)
        if (own) {
          expect(await stamp(name), 'a name that means another table').toBe(null)
          await guarded.query('drop table pg_temp.docs')
        }
      }
    })
  })
}
