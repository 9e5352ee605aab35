// Owns random walks over a session's search path for tests: changes of every kind, what takes them back, and between
// them statements whose names mean something else along another path. Pure.

import fc from 'fast-check'
import type { MessageStep } from './raw-postgres-messages.js'
import type { Leg } from './session-walk.js'

/** Three tables of one name, and functions of one name of which two change the path. */
export const PATH_SCHEMAS = ['public', 'mine', 'third']
  .map(
    (schema) => `
  create schema if not exists ${schema};
  create table ${schema}.things (id int, title text);
  create function ${schema}.named() returns text language sql as $$ select '${schema}' $$;`,
  )
  .join('\n')
  .concat(`
  create function public.turned() returns text language plpgsql as
    $$ begin perform set_config('search_path', 'third, public', true); return 'turned'; end $$;
  create function mine.turned() returns text language plpgsql as
    $$ begin perform set_config('search_path', 'public', false); return 'turned back'; end $$;
  create function mine.unturned() returns text language plpgsql set search_path = third as
    $$ begin return (select string_agg(title, ',') from things); end $$;`)

/** Empties the three tables and gives each a row. */
export const PATH_ROWS = ['public', 'mine', 'third']
  .map(
    (schema) => `truncate ${schema}.things; insert into ${schema}.things values (1, '${schema}')`,
  )
  .join(';')

const SYNC: MessageStep = { m: 'S' }

const path = fc.constantFrom(
  'mine',
  'mine, public',
  'third, mine',
  'public',
  '"$user", third',
  "''",
)
const change: fc.Arbitrary<string> = fc.oneof(
  path.map((to) => `SET search_path = ${to}`),
  path.map((to) => `SET LOCAL search_path = ${to}`),
  fc
    .tuple(fc.constantFrom('mine, public', '', 'third', 'pg_catalog, mine'), fc.boolean())
    .map(([to, local]) => `SELECT pg_catalog.set_config('search_path', '${to}', ${local})`),
  fc.constantFrom('RESET search_path', 'RESET ALL', 'DISCARD ALL', "SET SCHEMA 'mine'"),
  fc.constantFrom('SELECT turned()', 'SELECT mine.turned()', 'SELECT mine.unturned()'),
)
const transaction = fc.constantFrom(
  'BEGIN',
  'BEGIN',
  'COMMIT',
  'ROLLBACK',
  'COMMIT AND CHAIN',
  'SAVEPOINT s',
  'SAVEPOINT s',
  'ROLLBACK TO s',
  'RELEASE s',
  'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE',
)
const use = fc.constantFrom(
  'SELECT title FROM things ORDER BY id, title',
  'SELECT named()',
  "INSERT INTO things VALUES (2, 'more') RETURNING id",
  'SELECT count(*) FROM public.things',
  'SELECT pg_catalog.current_schemas(false)',
  'SHOW search_path',
  'SELECT 1/0',
  'SELECT title FROM nothing_here',
)
const sql = fc.oneof(
  { weight: 4, arbitrary: change },
  { weight: 4, arbitrary: transaction },
  { weight: 6, arbitrary: use },
)
/** A message of several statements: nothing that looks up a name stands behind a change, or a call of own code. */
const several = fc.oneof(
  fc
    .tuple(use, change)
    .filter(([first]) => !first.includes('named'))
    .map(([first, last]) => `${first}; ${last}`),
  change.map((to) => `BEGIN; ${to}`),
  path.map((to) => `SET search_path = ${to}; SHOW search_path; SELEC`),
)
const run = (text: string): Leg => [
  { m: 'P', name: '', sql: text },
  { m: 'B', portal: '', stmt: '' },
  { m: 'D', kind: 'P', name: '' },
  { m: 'E', portal: '', max: 0 },
]
const piece: fc.Arbitrary<Leg> = fc.oneof(
  { weight: 5, arbitrary: sql.map(run) },
  { weight: 1, arbitrary: use.map((text) => [{ m: 'P', name: 'kept', sql: text }] as const) },
  {
    weight: 2,
    arbitrary: fc.constant<Leg>([
      { m: 'B', portal: '', stmt: 'kept' },
      { m: 'E', portal: '', max: 0 },
    ]),
  },
  { weight: 2, arbitrary: fc.constant<Leg>([SYNC]) },
)
const leg: fc.Arbitrary<Leg> = fc.oneof(
  { weight: 6, arbitrary: sql.map((text): Leg => [{ m: 'Q', sql: text }]) },
  { weight: 1, arbitrary: several.map((text): Leg => [{ m: 'Q', sql: text }]) },
  {
    weight: 4,
    arbitrary: fc
      .array(piece, { minLength: 1, maxLength: 6 })
      .map((parts) => [...parts.flat(), SYNC]),
  },
)

/** A session's life. */
export const pathWalk: fc.Arbitrary<readonly Leg[]> = fc.array(leg, {
  minLength: 10,
  maxLength: 30,
})
