// Owns what was tried against temporary tables: PostgreSQL looks among them first, so that one of a governed name would
// stand in its place, and one that goes uncovers what it hid.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { hasPostgres } from '../support/postgres.js'
import { type RawPostgres, type Reply, rowValues } from '../support/raw-postgres.js'
import type { MessageStep } from '../support/raw-postgres-messages.js'
import {
  code,
  leg,
  q,
  rules,
  type SessionServer,
  startSessionServer,
} from '../support/session-server.js'

const LONG = 'l'.repeat(63)
const GROUND = `
drop schema if exists mine cascade; drop schema public cascade;
create schema public; create schema mine;
create table docs (id int primary key, title text, ssn text);
insert into docs select n, 'open ' || n, '900-55-' || n from generate_series(1, 3) n;
create view shown as select id, title from docs;
create table mine.elsewhere (id int);
create table a_b (id int); create sequence a_b_c_seq;
create table ${LONG} (id int);
create type mood as enum ('good', 'bad');
create function hides() returns int language plpgsql as
  $$ begin create temp table docs (id int, title text); insert into docs values (9, 'own'); return 1; end $$;
create function uncovers() returns int language plpgsql as $$ begin drop table pg_temp.t; return 1; end $$;
create function retypes() returns int language plpgsql as $$ begin create temp table text (id int); return 1; end $$;
create function below() returns int language plpgsql as
  $$ begin create temp table child () inherits (docs); insert into child values (8, 'own', 'x'); return 1; end $$;
create function moves() returns int language plpgsql as
  $$ begin perform set_config('search_path', 'pg_temp, public', false); return 1; end $$;
create table watched (id int);
create function hiding() returns trigger language plpgsql as
  $$ begin create temp table t (id int, title text); return new; end $$;
create trigger hiding before insert on watched for each row execute function hiding();
create function dropping() returns trigger language plpgsql as
  $$ begin drop table pg_temp.t; return old; end $$;
create trigger dropping before delete on watched for each row execute function dropping();
`
/** What \`t\` is where it is not temporary: nobody may touch it. */
const CLOSED =
  "create table public.t (id int, title text); insert into public.t values (1, 'closed')"
const SYNC: MessageStep = { m: 'S' }
const READ = 'select title from t'
const MAKE = "create temp table t as select 1 as id, 'own' as title"

const run = (sql: string, portal = ''): MessageStep[] => [
  { m: 'P', name: '', sql },
  { m: 'B', portal, stmt: '' },
  { m: 'E', portal, max: 0 },
]
const rows = (replies: readonly Reply[]): (string | null)[] =>
  replies.filter(({ type }) => type === 'D').map(({ body }) => rowValues(body)[0] ?? null)

const kinds = (['plain', '18'] as const).filter(hasPostgres)
describe.each(kinds)('what is temporary, on %s', (kind) => {
  let at: SessionServer
  let one: RawPostgres
  /** Collections of what was judged last. */
  let judged: readonly string[] = []

  beforeAll(async () => {
    at = await startSessionServer('', kind)
  })
  afterAll(() => at?.stop())
  beforeEach(async () => {
    await at.admin.query(GROUND)
    rules.refuses = ({ collections }) => {
      judged = collections.map(({ collection }) => collection)
      return judged.includes('t') ? 'no t' : undefined
    }
    one = await at.through()
  })
  afterEach(() => {
    one.end()
    rules.refuses = () => undefined
  })

  const say = (sql: string): Promise<readonly Reply[]> => q(one, sql)
  /** Each by itself; the last one's rows, or its error. */
  const outcome = async (...statements: readonly string[]): Promise<string> => {
    let last: readonly Reply[] = []
    for (const sql of statements) last = await say(sql)
    return code(last) ?? rows(last).join()
  }
  const close = (): Promise<unknown> => at.admin.query(CLOSED)
  const hasTemporary = async (name: string): Promise<boolean> =>
    (await outcome(`select to_regclass('pg_temp.${name}') is null`)) === 'f'

  /** What does not depend on the version. */
  const onPlain: (name: string, run: () => Promise<void>, ms?: number) => void =
    kind === 'plain' ? test : () => undefined

  onPlain('a name that something governed has is not given', async () => {
    expect(await outcome('create temp table t (id int, title text)')).toBe('')
    const names = [
      ...['docs', '"docs"', 'DoCs', 'shown', 'elsewhere', LONG, `${LONG}x`, 'pg_class'],
      ...['int4', '"text"', 'mood', '_mood', '__mood', '_int4', 'docs_pkey', 'a_b_c_seq'],
    ]
    const forms: readonly ((name: string) => string)[] = [
      (name) => `create temp table ${name} (id int)`,
      (name) => `alter table t rename to ${name}`,
      (name) => `create temporary table if not exists ${name} (id int)`,
      (name) => `create table pg_temp.${name} (id int)`,
      (name) => `create temp table ${name} as select 1 as id`,
      (name) => `select 1 as id into temp ${name}`,
      (name) => `select 1 as id into pg_temp.${name}`,
      (name) => `explain analyze create temp table ${name} as select 1 as id`,
      (name) => `create temp table ${name} (like docs)`,
      (name) => `create index ${name} on t (id)`,
      (name) => `alter table t add constraint ${name} unique (id)`,
      (name) => `create temp table other (id int constraint ${name} primary key)`,
      (name) => `create temp table other (id int, constraint ${name} unique (id))`,
    ]
    for (const [at, name] of names.entries())
      for (const form of at < 1 ? forms : forms.slice(0, 2))
        expect(await outcome(form(name)), form(name)).toBe('42501')
    for (const sql of [
      'create temp table a (b_c serial)',
      'create temp table a (b_c int generated always as identity)',
      'alter table t rename to a; alter table a add b_c serial',
      `create temp table ${'é'.repeat(30)} (id int)`,
    ])
      expect(await outcome(sql), sql).toMatch(/42501|0A000/)
    const left = "select relname from pg_class where relpersistence = 't' and relkind = 'r'"
    expect(await outcome(left)).toBe('t')
  })

  onPlain('a table that comes later is told from the temporary one', async () => {
    expect(await outcome(MAKE)).toBe('')
    await close()
    expect(await outcome(READ)).toBe('own')
    expect(judged).toEqual(['$temp.t'])
    expect(await outcome('select title from pg_temp.t')).toBe('own')
    for (const sql of [
      'select title from public.t',
      'insert into public.t values (2)',
      'select a.title from t a, public.t b',
      'copy public.t to stdout',
    ])
      expect(await outcome(sql), sql).toBe('42501')
    expect(await outcome("insert into t values (2, 'more')", READ)).toBe('own,more')
    expect(await outcome('drop table t')).toBe('')
    expect(await outcome('drop table t')).toBe('42501')
    expect(await outcome(READ)).toBe('42501')
    expect(await outcome(MAKE)).toBe('42501')
    expect((await at.admin.query('select title from public.t')).rows).toEqual([{ title: 'closed' }])
  })

  test('what code of the database makes or drops is found, also where it hides something', async () => {
    expect(await outcome('select title from docs where id = 1')).toBe('open 1')
    expect(await outcome('select hides()', 'select title from docs')).toBe('own')
    expect(judged).toEqual(['$temp.docs'])
    // A view means what it meant.
    expect(await outcome('select title from shown where id = 1')).toBe('open 1')
    expect(judged).toEqual(expect.arrayContaining(['shown', 'docs']))
    expect(await outcome('discard temp', 'select title from docs where id = 2')).toBe('open 2')
    expect(judged).toEqual(['docs'])
    expect(await outcome('select retypes()', "select 'x'::text")).toBe('42501')
    expect(await outcome("select 'x'::pg_catalog.text")).toBe('x')
    await close()
    expect(await outcome('insert into watched values (1)')).toBe('')
    expect(await outcome(READ)).toBe('')
    expect(judged).toEqual(['$temp.t'])
    expect(await outcome('delete from watched')).toBe('')
    expect(await outcome(READ)).toBe('42501')
    expect(await outcome('select below()', 'select count(*) from docs')).toBe('4')
    expect(judged).toEqual(expect.arrayContaining(['docs', '$temp.child']))
  })

  onPlain('what goes uncovers what it hid, in every order of messages', async () => {
    const gone: readonly (readonly string[])[] = [
      ['drop table t'],
      ['alter table t rename to other'],
      ['discard temp'],
      ['discard all'],
      ['select uncovers()'],
      ['begin', 'drop table t', 'commit'],
      ['begin', 'savepoint s', 'drop table t', 'release s'],
    ]
    await close()
    for (const statements of gone) {
      await at.admin.query('alter table public.t rename to was')
      expect(await outcome('rollback', 'discard temp', MAKE)).toBe('')
      await at.admin.query('alter table was rename to t')
      expect(await outcome(READ)).toBe('own')
      expect(await outcome(...statements, READ), statements.join('; ')).toBe('42501')
      // The same in one go.
      await say('rollback')
      await at.admin.query('alter table public.t rename to was')
      expect(await outcome('discard temp', MAKE)).toBe('')
      await at.admin.query('alter table was rename to t')
      const sent: MessageStep[] = [
        ...statements.flatMap((sql) => [...run(sql), SYNC]),
        ...run(READ),
        SYNC,
      ]
      expect(rows(await leg(one, sent)), statements.join('; ')).not.toContain('closed')
      await say('rollback')
      // One string.
      expect(rows(await say([...statements, READ].join('; ')))).not.toContain('closed')
      await say('rollback')
    }
  })

  onPlain('what is taken back uncovers what it hid', async () => {
    const ways: readonly (readonly string[])[] = [
      ['begin', MAKE, 'rollback'],
      ['begin', 'savepoint s', MAKE, 'select 1/0', 'rollback to s'],
      ['begin', MAKE, 'select 1/0', 'commit'],
      ['begin', 'create temp table t on commit drop as select 1 as id, 2 as title', 'commit'],
      ['create temp table t (id int, title text) on commit drop'],
    ]
    const open = 'alter table public.t rename to was'
    const shut = 'alter table if exists was rename to t'
    await close()
    for (const statements of ways) {
      for (const how of ['single', 'pipeline', 'string'] as const) {
        await say('rollback')
        await at.admin.query(open)
        const sent = statements.flatMap((sql) => run(sql))
        const all = [...sent, SYNC]
        if (how === 'single') await outcome(...statements)
        else if (how === 'string') await say(statements.join('; '))
        else await leg(one, all)
        await at.admin.query(shut)
        expect(rows(await say(READ)), `${how}: ${statements.join('; ')}`).toEqual([])
        expect(await outcome('rollback', READ)).toBe('42501')
        // With the read in the same go.
        if (how === 'single') continue
        if (how === 'string') expect(rows(await say([...statements, READ].join(';')))).toEqual([])
        else expect(rows(await leg(one, [...sent, ...run(READ), SYNC]))).not.toContain('closed')
      }
    }
  })

  test('what was prepared, bound or opened does not run as something else', async () => {
    const prepared: MessageStep[] = [{ m: 'P', name: 's', sql: READ }, SYNC]
    const bound: MessageStep[] = [
      { m: 'B', portal: '', stmt: 's' },
      { m: 'E', portal: '', max: 0 },
      SYNC,
    ]
    expect(await outcome(MAKE)).toBe('')
    await leg(one, prepared)
    await say(`prepare p as ${READ}`)
    expect(rows(await leg(one, bound))).toEqual(['own'])
    await close()
    // Planned anew by a Describe while the name means the closed one, then named back.
    await say('alter table t rename to other')
    await leg(one, [{ m: 'D', kind: 'S', name: 's' }, { m: 'D', kind: 'S', name: 'p' }, SYNC])
    expect(code(await leg(one, bound))).toBe('42501')
    expect(await outcome('execute p')).toMatch(/42501|0A000/)
    await at.admin.query('alter table public.t rename to was')
    expect(await outcome('alter table other rename to t')).toBe('')
    await at.admin.query('alter table was rename to t')
    expect(rows(await leg(one, bound))).toEqual(['own'])
    expect(await outcome('execute p')).toMatch(/^(?:own|0A000)$/)
    // The same within a transaction that takes the name back.
    for (const change of ['alter table t rename to other', 'drop table t']) {
      await say('begin')
      await say(change)
      await leg(one, [{ m: 'D', kind: 'S', name: 's' }, { m: 'D', kind: 'S', name: 'p' }, SYNC])
      await say('rollback')
      expect(rows(await leg(one, bound)), change).toEqual(['own'])
      expect(await outcome('execute p'), change).toMatch(/^(?:own|0A000)$/)
    }
    // Bound before the swap.
    for (const sql of [
      READ,
      'insert into docs select id + 100, title from t',
      'copy t to stdout',
      'truncate t',
    ]) {
      await say('begin')
      const replies = await leg(one, [
        { m: 'P', name: '', sql },
        { m: 'B', portal: 'before', stmt: '' },
        ...run('drop table t', 'now').map((each) => ({
          ...each,
          name: each.m === 'P' ? 'x' : undefined,
          ...(each.m === 'B' ? { stmt: 'x' } : {}),
        })),
        { m: 'E', portal: 'before', max: 0 },
        SYNC,
      ])
      expect(rows(replies), sql).not.toContain('closed')
      await say('rollback')
      await say('deallocate x')
      expect((await at.admin.query('select title from public.t')).rows, sql).toEqual([
        { title: 'closed' },
      ])
      expect(await outcome("select count(*) from docs where title = 'closed'"), sql).toBe('0')
    }
    // A cursor stays what it was opened on.
    await say(`declare c cursor with hold for ${READ}`)
    await say('drop table t')
    expect(await outcome('fetch all from c')).toBe('own')
    expect(await outcome(`declare d cursor with hold for ${READ}`)).toBe('42501')
  })

  test('nothing is made there in a roundabout way, and nothing stands on it', async () => {
    expect(await outcome(MAKE)).toBe('')
    const own = await outcome('select pg_my_temp_schema()::regnamespace::text')
    for (const sql of [
      'set search_path = pg_temp, public',
      `set search_path = ${own}`,
      "select set_config('search_path', 'pg_temp', false)",
      'alter table docs set schema pg_temp',
      `alter table docs set schema ${own}`,
      'alter table t set schema public',
      `create table ${own}.x (id int)`,
      `select * from ${own}.t`,
      `drop table ${own}.t`,
      'create temp table x () inherits (docs)',
      'alter table t inherit docs',
      'create temp table x partition of docs default',
      'create temp view v as select 1',
      'create view pg_temp.v as select 1',
      'create view v as select * from t',
      'create view v as select (select title from t)',
      'create view v as with x as (select * from t) select 1 from docs',
      'create or replace view shown as select id, title from t',
      'create materialized view v as select * from t',
      'create materialized view pg_temp.v as select 1 as one',
      'create temp sequence x',
      'create sequence pg_temp.x',
      'create temp table public.x (id int)',
      'create table x (id int) on commit drop',
      'create table x on commit drop as select 1 as id',
      'create table x (like docs)',
      'create unlogged table x (id int)',
      'select null::t',
      'create table x (it t)',
    ])
      expect(await outcome(sql), sql).toMatch(/^(?:42501|42P01|0A000)$/)
    expect(await outcome(READ)).toBe('own')
    expect(await outcome('select moves()', READ)).toBe('42501')
    expect(await outcome('create table made (id int)')).toBe('42501')
    expect(await outcome('reset search_path', READ)).toBe('own')
    expect(await hasTemporary('made')).toBe(false)
    expect(at.server.errors).toEqual([])
  })

  onPlain('there is an end to how many a session has', async () => {
    const columns = Array.from({ length: 1_500 }, (_, index) => `c${index} int`).join()
    for (let made = 0; made < 7; made += 1)
      expect(await outcome(`create temp table wide${made} (${columns})`)).toBe('')
    for (const sql of [
      'create temp table wide (id int)',
      'create temp table wide as select 1 as id',
      'create index on wide1 (c1)',
      'alter table wide1 add c int',
    ])
      expect(await outcome(sql), sql).toBe('42501')
    expect(await outcome('drop table wide1', 'create temp table wide (id int)')).toBe('')
  })

  onPlain('in one string nothing is judged by what stands before it', async () => {
    await close()
    const strings = [
      `create temp table u as select 1 as id; ${READ}`,
      `drop table if exists pg_temp.x; create temp table u (id int); drop table t`,
      `begin; create temp table t (id int, title text); insert into t values (1); commit; ${READ}`,
      `discard temp; ${READ}`,
      `prepare p as select 1; create temp table u (id int); execute p; ${READ}`,
    ]
    for (const sql of strings) {
      expect(code(await say(sql)), sql).toMatch(/42501|0A000/)
      await say('rollback')
    }
    expect(await hasTemporary('u')).toBe(false)
  })
})
