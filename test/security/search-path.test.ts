// Owns that a statement is judged with the search path that its session has when it runs, whatever changed that and
// however it comes: `mine` is free, and hides tables of the same names that nobody may touch.

import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { isOperation } from '../../src/core/operation.js'
import { hasPostgres } from '../support/postgres.js'
import { errorFields, type RawPostgres, type Reply, rowValues } from '../support/raw-postgres.js'
import type { MessageStep } from '../support/raw-postgres-messages.js'
import {
  code,
  leg,
  q,
  rules,
  type SessionServer,
  startSessionServer,
} from '../support/session-server.js'

const MORE = `
  alter table docs add title text default 'public';
  create schema mine;
  create table mine.docs as select id, 'mine'::text as title from docs;
  create schema third;
  create table third.docs as select id, 'third'::text as title from docs;
  create function public.away() returns int language plpgsql as
    $$ begin perform set_config('search_path', 'public', false); return 1; end $$;
  create function public.own() returns int language plpgsql set search_path = public as
    $$ begin return 2; end $$;
`
const SYNC: MessageStep = { m: 'S' }
const READ = 'select title from docs where id = 1'

describe.runIf(hasPostgres('plain'))('the search path of a session', () => {
  let at: SessionServer
  let admin: pg.Client
  let one: RawPostgres

  beforeAll(async () => {
    at = await startSessionServer(MORE)
    admin = await at.postgres.connect(at.database)
  })
  afterAll(async () => {
    await admin?.end()
    await at?.stop()
  })
  beforeEach(async () => {
    // Of public.docs nothing may be touched.
    rules.refuses = ({ collections }) =>
      collections.some(({ collection }) => collection === 'docs') ? 'reading docs' : undefined
    rules.rows = undefined
    at.server.requests.length = 0
    one = await at.through()
  })
  afterEach(() => one.end())

  const rows = (replies: readonly Reply[]): (string | null)[] =>
    replies.filter(({ type }) => type === 'D').map(({ body }) => rowValues(body)[0] ?? null)
  const codes = (replies: readonly Reply[]): (string | undefined)[] =>
    replies.filter(({ type }) => type === 'E').map(({ body }) => errorFields(body)['C'])
  const run = (sql: string): MessageStep[] => [
    { m: 'P', name: '', sql },
    { m: 'B', portal: '', stmt: '' },
    { m: 'E', portal: '', max: 0 },
  ]
  /** Each statement by itself; the last one's rows, or its error. */
  const after = async (...statements: readonly string[]): Promise<string> => {
    let last: readonly Reply[] = []
    for (const sql of statements) last = await q(one, sql)
    return codes(last)[0] ?? rows(last).join()
  }
  const MINE = 'set search_path = mine, public'

  test('names are looked up where the session looks them up', async () => {
    expect(await after(READ)).toBe('42501')
    expect(await after(MINE, READ)).toBe('mine')
    expect(await after('set search_path to third', READ)).toBe('third')
    expect(await after("select set_config('search_path', 'mine', false)", READ)).toBe('mine')
    expect(await after("set schema 'third'", READ)).toBe('third')
    expect(await after('reset search_path', READ)).toBe('42501')
    expect(await after(MINE, 'set search_path to default', READ)).toBe('42501')
    expect(await after(MINE, 'reset all', READ)).toBe('42501')
    expect(await after(MINE, 'discard all', READ)).toBe('42501')
    expect(await after("select pg_catalog.set_config('search_path', '', false)", READ)).toBe(
      '42P01',
    )
    expect(await after('select title from mine.docs where id = 1')).toBe('mine')
    expect(await after("set search_path = ''", 'select count(*) from pg_class where oid = 1')).toBe(
      '0',
    )
    expect(at.server.errors).toEqual([])
  })

  test('what a transaction changed ends with it', async () => {
    expect(await after('begin', 'set local search_path = mine', READ)).toBe('mine')
    expect(await after('commit', READ)).toBe('42501')
    expect(await after('rollback', 'begin', MINE, READ)).toBe('mine')
    expect(await after('rollback', READ)).toBe('42501')
    expect(await after('begin', MINE, 'commit', READ)).toBe('mine')
    expect(await after('begin', 'set local search_path = public', 'commit and chain', READ)).toBe(
      'mine',
    )
    expect(await after('rollback', 'reset search_path', READ)).toBe('42501')
  })

  test('a savepoint takes back what was set behind it', async () => {
    expect(await after('begin', 'savepoint a', MINE, READ)).toBe('mine')
    expect(await after('rollback to a', READ)).toBe('42501')
    expect(
      await after('rollback', 'begin', MINE, 'savepoint a', 'reset search_path', 'selec'),
    ).toBe('42601')
    expect(await after('rollback to a', READ)).toBe('mine')
    expect(await after('savepoint b', 'set local search_path = third', 'release b', READ)).toBe(
      'third',
    )
    expect(await after('rollback to a', READ)).toBe('mine')
    await after('rollback')
  })

  test('in one message nothing that looks up a name stands behind a change', async () => {
    const behind = async (sql: string): Promise<string> => (await after(sql)) || 'nothing'
    for (const change of [
      MINE,
      'set local search_path = mine',
      'reset search_path',
      'reset all',
      "select set_config('search_path', 'mine', true)",
    ]) {
      expect(await behind(`${change}; ${READ}`), change).toBe('0A000')
      expect(await behind(`begin; ${change}; prepare p as select 1`), change).toBe('0A000')
      expect(await behind(`begin; ${change}; show search_path; commit; begin; rollback`)).not.toBe(
        '0A000',
      )
      await after('rollback', 'reset search_path')
    }
    await after('begin', MINE)
    for (const end of ['rollback', 'commit', 'rollback and chain'])
      expect(await behind(`${end}; ${READ}`)).toBe('0A000')
    await after('rollback', MINE, 'begin', 'savepoint a', 'reset search_path')
    expect(await behind(`rollback to a; ${READ}`)).toBe('0A000')
    expect(await after('rollback', READ)).toBe('mine')
  })

  test('in a failed transaction its end and a statement are not one message', async () => {
    await after(MINE, 'begin', 'reset search_path', 'selec')
    expect(await after(`rollback; ${READ}`)).toBe('0A000')
    expect(await after('rollback', READ)).toBe('mine')
    await after('reset search_path', 'begin', MINE, 'selec')
    expect(codes(await leg(one, [...run('rollback'), ...run(READ), SYNC]))).toEqual(['42501'])
  })

  test('a pipeline asks behind the answer to the change', async () => {
    const replies = await leg(one, [
      ...run(MINE),
      ...run(READ),
      SYNC,
      ...run(READ),
      SYNC,
      ...run('begin'),
      ...run('set local search_path = third'),
      ...run(READ),
      SYNC,
      ...run('commit'),
      ...run(READ),
      SYNC,
      ...run('reset search_path'),
      SYNC,
      ...run(READ),
      SYNC,
    ])
    expect([rows(replies), codes(replies)]).toEqual([['mine', 'mine', 'third', 'mine'], ['42501']])
  })

  test('an error takes back what its part of a pipeline changed', async () => {
    const failing = [...run(MINE), ...run(READ), ...run('select 1/0'), SYNC]
    const replies = await leg(one, [...failing, ...run(READ), SYNC])
    expect([rows(replies), codes(replies)]).toEqual([['mine'], ['22012', '42501']])
    expect(await after(`${MINE}; selec`)).toBe('42601')
    expect(await after(READ)).toBe('42501')
  })

  test('what was parsed before is judged by the path of its run', async () => {
    const bind: MessageStep = { m: 'B', portal: '', stmt: 'kept' }
    const execute: MessageStep = { m: 'E', portal: '', max: 0 }
    await after(MINE)
    await leg(one, [{ m: 'P', name: 'kept', sql: READ }, SYNC])
    expect(rows(await leg(one, [bind, execute, SYNC]))).toEqual(['mine'])
    await after('set search_path = third')
    expect(rows(await leg(one, [bind, execute, SYNC]))).toEqual(['third'])
    await after('reset search_path')
    expect(codes(await leg(one, [bind, execute, SYNC]))).toEqual(['42501'])
    const set: MessageStep[] = [
      { m: 'P', name: 'set', sql: "select set_config('search_path', $1, false)" },
      { m: 'B', portal: '', stmt: 'set', params: ['mine'] },
      execute,
    ]
    const replies = await leg(one, [...set, bind, execute, SYNC])
    expect([rows(replies), codes(replies)]).toEqual([['mine', 'mine'], []])
    await after('prepare p as select title from docs where id = 2')
    expect(await after('execute p')).toBe('mine')
    expect(await after('reset search_path', 'execute p')).toMatch(/42501|0A000/)
    expect(await after('set search_path = third', 'execute p')).toBe('0A000')
  })

  test('a portal goes on as what it was bound as', async () => {
    const replies = await leg(one, [
      ...run(MINE),
      { m: 'P', name: '', sql: 'select title from docs order by id' },
      { m: 'B', portal: 'c', stmt: '' },
      { m: 'E', portal: 'c', max: 1 },
      ...run('reset search_path'),
      { m: 'E', portal: 'c', max: 1 },
      SYNC,
    ])
    expect([rows(replies), codes(replies)]).toEqual([['mine', 'mine'], []])
    await after(MINE, 'begin', 'declare k cursor with hold for select title from docs', 'commit')
    expect(await after('reset search_path', 'fetch 1 from k')).toBe('mine')
    await after(
      'begin',
      'declare k2 cursor for select title from mine.docs',
      'set local search_path = third',
    )
    expect(await after('fetch 1 from k2')).toBe('mine')
    await after('rollback')
  })

  test('a function that a role names may change it, in any form', async () => {
    expect(await after(MINE, 'select away()', READ)).toBe('42501')
    expect(await after(MINE, 'begin', 'select away()', READ)).toBe('42501')
    expect(await after('rollback', READ)).toBe('mine')
    expect(await after(`select away(); ${READ}`)).toBe('0A000')
    const replies = await leg(one, [...run('select away()'), ...run(READ), SYNC])
    expect([rows(replies), codes(replies)]).toEqual([['1'], ['42501']])
    await after(MINE, 'begin', 'declare c cursor for select public.away()', READ)
    expect(await after('fetch 1 from c', READ)).toBe('42501')
    await after('rollback', 'prepare f as select public.away()')
    expect(await after(READ)).toBe('mine')
    expect(await after('execute f', READ)).toBe('42501')
    expect(await after(MINE, 'select public.own()', READ)).toBe('mine')
  })

  test('a trigger that changes it does not get past a guard', async () => {
    await admin.query(`create table mine.watched (id int);
      create function mine.turn() returns trigger language plpgsql as
        $$ begin perform set_config('search_path', 'public', false); return new; end $$;
      create trigger t before insert on mine.watched for each row execute function mine.turn()`)
    expect(await after(MINE, READ, 'insert into watched values (1)', READ)).toBe('42501')
    expect(await after(MINE, 'begin', 'insert into watched values (1)', READ)).toMatch(
      /42501|40001/,
    )
    await after('rollback')
    await admin.query('drop table mine.watched; drop function mine.turn()')
  })

  test('schemas that come, go or are closed make another path of the same setting', async () => {
    await admin.query('create schema fourth')
    expect(await after('set search_path = fourth, mine', READ)).toBe('mine')
    await admin.query('create table fourth.docs as select 1 as id, $$fourth$$::text as title')
    expect(await after(READ)).toBe('fourth')
    await admin.query('drop schema fourth cascade')
    expect(await after(READ)).toBe('mine')
    expect(await after('set search_path = nowhere, mine')).toBe('42501')
    expect(await after(READ)).toBe('mine')
    expect(await after('set search_path = "$user", mine', READ)).toBe('mine')
  })

  test('a path that cannot be judged refuses all but leaving it', async () => {
    await admin.query(`create function mine.worse() returns int language plpgsql as
      $$ begin perform set_config('search_path', 'mine, pg_catalog', false); return 1; end $$`)
    expect(await after('select mine.worse()', READ)).toBe('42501')
    expect(await after('select 1')).toBe('42501')
    expect(await after('show search_path')).toBe('mine, pg_catalog')
    expect(await after('reset search_path', 'select 1')).toBe('1')
    await admin.query('drop function mine.worse()')
  })

  test('the answer that is asked for does not get in the way of modes, units and cancels', async () => {
    await after('begin', 'set local search_path = mine')
    expect(await after('set transaction isolation level serializable')).toBe('')
    expect(await after(READ)).toBe('mine')
    expect(await after('commit')).toBe('')
    // The unnamed statement lasts from unit to unit.
    await after('set search_path = third')
    await leg(one, [{ m: 'P', name: '', sql: READ }, SYNC])
    await leg(one, [{ m: 'P', name: 'm', sql: MINE }, SYNC])
    const unnamed: MessageStep[] = [
      { m: 'B', portal: 'x', stmt: 'm' },
      { m: 'E', portal: 'x', max: 0 },
      SYNC,
      { m: 'B', portal: '', stmt: '' },
      { m: 'E', portal: '', max: 0 },
      SYNC,
    ]
    expect(rows(await leg(one, unnamed))).toEqual(['mine'])
  })

  test('what is asked for by an approval names the path', async () => {
    await after(MINE)
    await after(READ)
    const first = at.server.requests.findLast(({ phase }) => phase === 'execute')?.exact?.()
    await after('set search_path = mine', READ)
    const second = at.server.requests.findLast(({ phase }) => phase === 'execute')?.exact?.()
    expect(first).toMatch(/^[0-9a-f]{64}$/)
    expect(second).not.toBe(first)
    const known = at.server.requests.flatMap(({ operations }) => operations).every(isOperation)
    expect(known).toBe(true)
    expect(code(await q(one, 'select 1'))).toBeUndefined()
  })
})
