// Owns random walks over schema changes for tests: transactions that make, change and drop tables and views in two
// schemas and use them, with savepoints, errors and pipelines. Pure.

import fc from 'fast-check'
import type { MessageStep } from './raw-postgres-messages.js'
import type { Leg } from './session-walk.js'

/** What a walk begins with. */
export const GROUND = `
drop schema if exists mine cascade; drop schema public cascade; create schema public; create schema mine;
create table public.t (id int primary key, n int); insert into public.t values (1, 10), (2, 20);
create table mine.t (id int primary key, n int); insert into mine.t values (3, 30);
create table public.u (id int primary key, n int); insert into public.u values (4, 40);
create view public.v as select id, n from public.t;
`
/** Everything that a walk may leave behind. */
export const LEFT = `select n.nspname, c.relname, c.relkind, pg_get_viewdef(c.oid) as view,
 (select json_agg(a.attname order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
 format('%I.%I', n.nspname, c.relname) as name
 from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('public', 'mine') and c.relkind in ('r', 'v')
 order by 1, 2`

const bare = fc.constantFrom('t', 't', 'u', 'w')
const table = fc.oneof(
  { weight: 3, arbitrary: bare },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom('mine', 'public'), bare).map((all) => all.join('.')),
  },
)
const view = fc.constantFrom('v', 'mine.v', 'public.v', 'x')
const named = (text: (name: string) => string): fc.Arbitrary<string> => table.map(text)
const both = (text: (one: string, two: string) => string): fc.Arbitrary<string> =>
  fc.tuple(table, table).map(([one, two]) => text(one, two))

const change: fc.Arbitrary<string> = fc.oneof(
  named((name) => `create table ${name} (id int primary key, n int)`),
  named((name) => `create table if not exists ${name} (id int primary key, n int)`),
  both((one, two) => `create table ${one} as select id + 10 as id, n from ${two}`),
  both((one, two) => `create table ${one} (id int primary key, n int references ${two})`),
  named((name) => `drop table ${name}`),
  named((name) => `drop table if exists ${name}`),
  fc.tuple(table, bare).map(([one, to]) => `alter table ${one} rename to ${to}`),
  named((name) => `alter table ${name} set schema mine`),
  named((name) => `alter table ${name} add column if not exists c int default 7`),
  named((name) => `alter table ${name} rename column n to m`),
  named((name) => `create index on ${name} (id)`),
  fc.tuple(view, table).map(([one, two]) => `create view ${one} as select id from ${two}`),
  fc
    .tuple(view, table)
    .map(([one, two]) => `create or replace view ${one} as select id, n from ${two}`),
  view.map((name) => `drop view ${name}`),
)
const use: fc.Arbitrary<string> = fc.oneof(
  named((name) => `select * from ${name} order by id`),
  view.map((name) => `select * from ${name} order by id`),
  both((one, two) => `select count(*) from ${one} a join ${two} b using (id)`),
  both((one, two) => `insert into ${one} (id) select id + 100 from ${two} on conflict do nothing`),
  named((name) => `update ${name} set id = id + 1000`),
  named((name) => `delete from ${name} where id > 3 returning id`),
  named((name) => `truncate ${name}`),
)
const control: fc.Arbitrary<string> = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom('savepoint s', 'savepoint r') },
  { weight: 2, arbitrary: fc.constantFrom('rollback to s', 'rollback to s', 'rollback to r') },
  { weight: 1, arbitrary: fc.constantFrom('commit', 'rollback', 'begin', 'release s') },
  { weight: 1, arbitrary: fc.constant('select 1 / 0') },
)
const sql = fc.oneof(
  { weight: 4, arbitrary: change },
  { weight: 5, arbitrary: use },
  { weight: 3, arbitrary: control },
)

const q = (text: string): MessageStep => ({ m: 'Q', sql: text })
const run = (text: string): Leg => [
  { m: 'P', name: '', sql: text },
  { m: 'B', portal: '', stmt: '' },
  { m: 'D', kind: 'P', name: '' },
  { m: 'E', portal: '', max: 0 },
]
const again = (): Leg => [
  { m: 'B', portal: '', stmt: 'kept' },
  { m: 'E', portal: '', max: 0 },
]
const leg: fc.Arbitrary<Leg> = fc.oneof(
  { weight: 5, arbitrary: sql.map((text) => [q(text)]) },
  {
    weight: 3,
    arbitrary: fc
      .array(
        fc.oneof(
          { weight: 5, arbitrary: sql.map(run) },
          { weight: 1, arbitrary: fc.constant(again()) },
        ),
        { minLength: 1, maxLength: 4 },
      )
      .map((parts) => [...parts.flat(), { m: 'S' } as const]),
  },
)

/** A session's life: it begins with a statement that is planned already. */
export const schemaWalk: fc.Arbitrary<readonly Leg[]> = fc
  .array(leg, { minLength: 8, maxLength: 20 })
  .map((legs) => [[{ m: 'P', name: 'kept', sql: 'select id from public.t' }, { m: 'S' }], ...legs])
