// Owns random walks over what is temporary in a session for tests: tables made, changed, filled and dropped in every
// way, by statements and by functions, with transactions and errors between them. Pure.

import fc from 'fast-check'
import type { MessageStep } from './raw-postgres-messages.js'
import type { Leg } from './session-walk.js'

/** One governed table, and functions that do behind a statement's back what the statements do. */
export const TEMPORARY_GROUND = `
  create schema mine;
  create table things (id int, title text);
  create table mine.later (id int);
  create function makes() returns text language plpgsql as $$
    begin create temp table if not exists t (id int, title text); return 'made'; end $$;
  create function drops() returns text language plpgsql as $$
    begin drop table if exists pg_temp.t; return 'dropped'; end $$;
  create function leaves() returns trigger language plpgsql as $$
    begin create temp table if not exists u (id int, title text); return new; end $$;
  create table keyed (id int primary key, title text);
  create table watched (id int);
  create trigger leaves before insert on watched for each row execute function leaves();`

/** Puts the governed tables back. */
export const TEMPORARY_ROWS = `drop table if exists mine.made; truncate watched; truncate things;
  insert into things values (1, 'one'), (2, 'two')`

const SYNC: MessageStep = { m: 'S' }
const name = fc.constantFrom('t', 't', 'u')
const place = fc.constantFrom('', '', 'pg_temp.')
const end = fc.constantFrom('', '', ' ON COMMIT DROP', ' ON COMMIT DELETE ROWS')

const make = fc
  .tuple(
    fc.constantFrom(
      (t: string, on: string) => `CREATE TEMP TABLE ${t} (id int, title text)${on}`,
      (t: string, on: string) => `CREATE TEMPORARY TABLE ${t}${on} AS SELECT id, title FROM things`,
      (t: string) => `SELECT id, title INTO TEMP ${t} FROM things WHERE id = 1`,
      (t: string) => `CREATE TABLE pg_temp.${t} (LIKE things INCLUDING DEFAULTS)`,
      (t: string, on: string) => `CREATE TEMP TABLE IF NOT EXISTS ${t} (id int, title text)${on}`,
      (t: string) => `EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off)
        CREATE TEMP TABLE ${t} AS SELECT 7 AS id, 'seven' AS title`,
    ),
    name,
    end,
  )
  .map(([text, t, on]) => text(t, on))
const change = fc
  .tuple(
    fc.constantFrom(
      (t: string) => `DROP TABLE ${t}`,
      (t: string) => `DROP TABLE IF EXISTS ${t}`,
      (t: string) => `ALTER TABLE ${t} RENAME TO ${t.endsWith('t') ? 'u' : 't'}`,
      (t: string) => `ALTER TABLE ${t} ADD COLUMN more int DEFAULT 5`,
      (t: string) => `CREATE INDEX ON ${t} (id)`,
      (t: string) => `TRUNCATE ${t}`,
    ),
    place,
    name,
  )
  .map(([text, schema, t]) => text(schema + t))
const other = fc.constantFrom(
  'DISCARD TEMP',
  'DISCARD ALL',
  'CREATE TABLE mine.made (id int)',
  'DROP TABLE IF EXISTS mine.made',
  'SET search_path = mine, public',
  'SET LOCAL search_path = public',
  'SELECT makes()',
  'SELECT drops()',
  'INSERT INTO watched VALUES (1)',
)
const transaction = fc.constantFrom(
  'BEGIN',
  'BEGIN',
  'BEGIN ISOLATION LEVEL REPEATABLE READ',
  'COMMIT',
  'COMMIT',
  'COMMIT',
  'ROLLBACK',
  'SAVEPOINT s',
  'SAVEPOINT s',
  'ROLLBACK TO s',
  'RELEASE s',
)
const use = fc
  .tuple(
    fc.constantFrom(
      (t: string) => `SELECT title FROM ${t} ORDER BY id, title`,
      (t: string) => `INSERT INTO ${t} (id, title) VALUES (3, 'three'), (4, NULL)`,
      (t: string) => `INSERT INTO ${t} (id, title) SELECT id, title FROM things RETURNING title`,
      (t: string) => `INSERT INTO things SELECT id + 10, title FROM ${t}`,
      (t: string) => `UPDATE ${t} SET title = 'changed' WHERE id = 1`,
      (t: string) => `DELETE FROM ${t} USING things WHERE things.id = ${t}.id`,
      (t: string) => `SELECT count(*) FROM ${t} JOIN public.things USING (id)`,
      (t: string) => `COPY ${t} (title) TO STDOUT`,
    ),
    place,
    name,
  )
  .map(([text, schema, t]) =>
    text(schema + t).replace(
      /USING things WHERE things.id = pg_temp\./,
      'USING things WHERE things.id = ',
    ),
  )
const fixed = fc.constantFrom('SELECT 1/0', 'SELECT count(*) FROM things', 'SELECT id FROM later')
const sql = fc.oneof(
  { weight: 6, arbitrary: make },
  { weight: 3, arbitrary: change },
  { weight: 2, arbitrary: other },
  { weight: 5, arbitrary: transaction },
  { weight: 8, arbitrary: use },
  { weight: 1, arbitrary: fixed },
)
/** Nothing that looks up a name stands behind a change. */
const several = fc.oneof(
  make.map((text) => `BEGIN; ${text}`),
  fc.tuple(use, make).map(([first, last]) => `${first}; ${last}`),
)
const run = (text: string): Leg => [
  { m: 'P', name: '', sql: text },
  { m: 'B', portal: '', stmt: '' },
  { m: 'D', kind: 'P', name: '' },
  { m: 'E', portal: '', max: 0 },
]
const KEPT = [
  'SELECT title FROM t ORDER BY id, title',
  "INSERT INTO t (id, title) VALUES (9, 'kept')",
  'INSERT INTO things SELECT id, title FROM u',
]
const piece: fc.Arbitrary<Leg> = fc.oneof(
  { weight: 6, arbitrary: sql.map(run) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(...KEPT)
      .map((text) => [{ m: 'P', name: 'kept', sql: text }] as const),
  },
  {
    weight: 2,
    arbitrary: fc.constant<Leg>([
      { m: 'B', portal: '', stmt: 'kept' },
      { m: 'E', portal: '', max: 0 },
    ]),
  },
  { weight: 1, arbitrary: fc.constant<Leg>([{ m: 'D', kind: 'S', name: 'kept' }]) },
  { weight: 2, arbitrary: fc.constant<Leg>([SYNC]) },
)
const leg: fc.Arbitrary<Leg> = fc.oneof(
  { weight: 7, arbitrary: sql.map((text): Leg => [{ m: 'Q', sql: text }]) },
  { weight: 1, arbitrary: several.map((text): Leg => [{ m: 'Q', sql: text }]) },
  {
    weight: 4,
    arbitrary: fc
      .array(piece, { minLength: 1, maxLength: 6 })
      .map((parts) => [...parts.flat(), SYNC]),
  },
)

const BEGINNING: Leg = ['t', 'u'].map((each) => ({
  m: 'Q',
  sql: `CREATE TEMP TABLE ${each} AS SELECT 0 AS id, 'first' AS title`,
}))

const holds = (legs: readonly Leg[], text: string): boolean =>
  legs.some((steps) => steps.some(({ sql }) => sql?.includes(text) === true))
/** Behind a change of what others see nothing can be judged under REPEATABLE READ. */
const isPlain = (steps: Leg): boolean => !holds([steps], 'mine.made')

/** A session's life. */
export const temporaryWalk: fc.Arbitrary<readonly Leg[]> = fc
  .array(leg, { minLength: 10, maxLength: 30 })
  .map((legs) => [BEGINNING, ...(holds(legs, 'REPEATABLE') ? legs.filter(isPlain) : legs)])
