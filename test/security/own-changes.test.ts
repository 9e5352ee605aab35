// Owns what was tried against statements behind schema changes of their own transaction: names that come to mean something
// else, there or by others meanwhile, and a search path that lies to whoever reads the catalogue.

import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { hasPostgres } from '../support/postgres.js'
import type { RawPostgres, Reply } from '../support/raw-postgres.js'
import type { MessageStep } from '../support/raw-postgres-messages.js'
import {
  code,
  data,
  leg,
  q,
  rules,
  type SessionServer,
  startSessionServer,
} from '../support/session-server.js'

const GROUND = `
drop schema if exists mine cascade; drop schema public cascade;
create schema public; create schema mine;
create table docs (id int primary key, title text, ssn text);
insert into docs select n, 'open ' || n, '900-55-' || n from generate_series(1, 3) n;
create table secrets (id int primary key, title text);
insert into secrets values (1, 'hidden');
create view shown as select id, title from docs;
create table mine.docs (id int primary key, title text);
insert into mine.docs values (1, 'mine');
`
const PATH = '-c search_path=mine,public'
/** From now on the name means a view of what nobody may read. */
const SWAP =
  'alter table docs rename to docs_before; create view docs as select *, title as ssn from secrets'

const run = (sql: string, portal = ''): MessageStep[] => [
  { m: 'P', name: '', sql },
  { m: 'B', portal, stmt: '' },
  { m: 'E', portal, max: 0 },
]

const kinds = (['plain', '18'] as const).filter(hasPostgres)
describe.each(kinds)('behind a schema change of its own transaction, on %s', (kind) => {
  let at: SessionServer
  let one: RawPostgres
  const others: pg.Client[] = []

  beforeAll(async () => {
    at = await startSessionServer('', kind)
  })
  afterAll(() => at?.stop())
  beforeEach(async () => {
    await at.admin.query(GROUND)
    // Nothing of secrets; of what is in public, to read.
    rules.refuses = ({ collections }) => {
      const bad = collections.find(
        ({ collection, access }) =>
          collection.includes('secrets') ||
          (access === 'admin' && !/^mine\./.test(collection) && !/^own/.test(collection)),
      )
      return bad && `no ${bad.access} of ${bad.collection}`
    }
    one = await at.through(PATH)
  })
  afterEach(async () => {
    one.end()
    await Promise.all(others.splice(0).map((each) => each.end()))
    rules.refuses = () => undefined
  })

  const other = async (): Promise<pg.Client> => {
    const client = await at.postgres.connect(at.database)
    others.push(client)
    return client
  }
  const say = (sql: string): Promise<readonly Reply[]> => q(one, sql)
  const begin = async (how = 'begin'): Promise<void> => {
    expect(code(await say(how))).toBeUndefined()
    expect(code(await say('create table mine.made (id int)'))).toBeUndefined()
  }
  const there = async (name: string): Promise<boolean> =>
    (await at.admin.query('select to_regclass($1) is not null as there', [name])).rows[0].there

  test('what is uncovered by a drop is judged as what it is', async () => {
    await begin()
    await say('drop table docs')
    expect(code(await say('drop table docs'))).toBe('42501')
    await say('rollback')
    // In one message nobody can look in between.
    const sql = 'drop table mine.docs; drop table docs'
    for (const before of ['select 1', 'begin']) {
      await say(before)
      expect(code(await say(sql))).toBe('42501')
      await say('rollback')
      await say(before)
      expect(
        code(
          await say(
            'alter table mine.docs rename to away; create table mine.t as select * from docs',
          ),
        ),
      ).toBe('42501')
      await say('rollback')
    }
    expect(await there('public.docs')).toBe(true)
  })

  test('a view is read in the path in which its definition was told', async () => {
    await at.admin.query('create view public.over as select id, title from public.secrets')
    rules.refuses = ({ collections }) =>
      collections.some(({ collection }) => collection === 'secrets') ? 'no secrets' : undefined
    await begin()
    await say('create table mine.secrets (id int primary key, title text)')
    expect(code(await say('select 1 from public.docs'))).toBeUndefined()
    expect(code(await say('set local search_path = public'))).toBeUndefined()
    expect(code(await say('select title from public.over'))).toBe('42501')
  })

  test('a portal does not run with what its names mean by then', async () => {
    const dropped = await leg(one, [
      ...run('drop table docs').slice(0, 1),
      { m: 'B', portal: 'late', stmt: '' },
      ...run('drop table mine.docs'),
      { m: 'E', portal: 'late', max: 0 },
      { m: 'S' },
    ])
    expect(code(dropped)).toBe('42501')
    expect(await there('public.docs')).toBe(true)
    await begin()
    const locked = await leg(one, [
      { m: 'P', name: 'l', sql: 'copy docs to stdout' },
      { m: 'B', portal: 'late', stmt: 'l' },
      ...run('alter table mine.docs rename to away'),
      { m: 'E', portal: 'late', max: 0 },
      { m: 'S' },
    ])
    expect(code(locked)).toBe('42501')
    expect(data(locked)).toBe('')
  })

  test('a plan that was made before stands for what was judged', async () => {
    await leg(one, [{ m: 'P', name: 'd', sql: 'select title from docs' }, { m: 'S' }])
    const again: MessageStep[] = [
      { m: 'B', portal: '', stmt: 'd' },
      { m: 'E', portal: '', max: 0 },
      { m: 'S' },
    ]
    expect(data(await leg(one, again))).toContain('mine')
    await begin()
    expect(data(await leg(one, again))).toContain('mine')
    await say('drop table docs')
    expect(data(await leg(one, again))).toContain('open 1')
    await say('create view docs as select id, title from public.docs where id = 2')
    const own = await leg(one, again)
    expect([data(own).includes('open 2'), data(own).includes('open 1')]).toEqual([true, false])
    await say('rollback')
    expect(data(await leg(one, again))).toContain('mine')
  })

  test('what others redefine meanwhile is judged as what it is', async () => {
    for (const sql of [
      'select title from public.docs',
      'select title from shown',
      'insert into mine.docs select id + 10, title from public.docs',
    ]) {
      await at.admin.query(GROUND)
      await begin()
      await at.admin.query(SWAP)
      await at.admin.query('create or replace view shown as select id, title from secrets')
      const replies = await say(sql)
      expect([sql, code(replies), data(replies)]).toEqual([sql, '42501', ''])
      await say('rollback')
    }
  })

  test('what it was judged with is locked before it runs', async () => {
    const swapper = await other()
    await begin()
    const allowed = rules.refuses
    let pending: Promise<unknown> | undefined
    rules.refuses = (operation) => {
      pending ??= swapper.query(SWAP)
      return allowed(operation)
    }
    expect(data(await say('select title from public.docs where id = 1'))).toContain('open 1')
    expect(data(await say('select title from public.docs where id = 2'))).toContain('open 2')
    await say('commit')
    await pending
    expect(code(await say('select title from public.docs'))).toBe('42501')
  })

  test('a lock that is given back with a savepoint proves nothing any more', async () => {
    await begin()
    await say('savepoint s')
    expect(data(await say('select title from public.docs where id = 1'))).toContain('open 1')
    await say('rollback to s')
    await at.admin.query(SWAP)
    expect(code(await say('select title from public.docs where id = 1'))).toBe('42501')
  })

  test('a transaction that does not see what others do is not looked into', async () => {
    for (const level of ['repeatable read', 'serializable']) {
      await begin(`begin isolation level ${level}`)
      const replies = await say('select title from public.docs')
      expect([code(replies), data(replies)]).toEqual(['42501', ''])
      await say('rollback')
    }
  })

  test('nothing of it is left when it is undone', async () => {
    await begin()
    await say('drop table docs')
    expect(code(await say('rollback; drop table docs'))).toBe('0A000')
    await say('rollback')
    await begin()
    await say('savepoint s')
    await say('drop table docs')
    await say('rollback to s')
    expect(data(await say('select title from docs'))).toContain('mine')
    await say('savepoint s')
    await say('drop table docs')
    expect(code(await say('rollback to s; drop table docs'))).toBe('0A000')
    expect(code(await say('rollback to s'))).toBeUndefined()
    expect(code(await say('drop table docs; commit'))).toBeUndefined()
    expect([await there('public.docs'), await there('mine.docs')]).toEqual([true, false])
  })

  test('nothing else of that name is counted for whoever has to approve it', async () => {
    await say('delete from mine.docs')
    expect(at.server.requests.at(-1)?.preview?.()[0]).toHaveProperty('count')
    await begin()
    await say('alter table mine.docs rename to away')
    await say('create table mine.docs (id int)')
    await say('delete from mine.docs')
    const [preview] = at.server.requests.at(-1)?.preview?.() ?? []
    const unknown = 'its transaction has changed the schema'
    expect(preview).toEqual({ collection: 'mine.docs', unknown })
  })

  test('nobody else is judged by it', async () => {
    const second = await at.through(PATH)
    await begin()
    expect(code(await say('select * from mine.made'))).toBeUndefined()
    expect(code(await q(second, 'select * from mine.made'))).toBe('42P01')
    await say('rollback')
    expect(code(await say('select * from mine.made'))).toBe('42P01')
    second.end()
  })

  test('what a column comes from is followed through views of its own', async () => {
    await begin()
    await say('create view mine.one as select id, ssn from public.docs')
    await say('create view mine.two as select ssn from mine.one')
    const replies = await say('select ssn from mine.two')
    expect([data(replies).includes('masked'), data(replies).includes('900')]).toEqual([true, false])
    expect(code(await say('create view mine.three as select * from secrets'))).toBe('42501')
  })

  test('a cursor from before goes on, with its masks', async () => {
    await at.admin.query('create view over as select id, ssn from docs')
    await say('begin; declare c cursor for select ssn from over')
    await say('create table mine.made (id int)')
    const replies = await say('fetch 2 from c')
    expect([data(replies).includes('masked'), data(replies).includes('900')]).toEqual([true, false])
  })

  test('a path of lies changes nothing', async () => {
    await at.admin.query(`
      create domain mine.text as pg_catalog.text; create domain mine.oid as pg_catalog.oid; create domain mine.int8 as pg_catalog.int8;
      create domain mine.regclass as pg_catalog.regclass;
      create function mine.yes(name, name) returns bool language sql immutable as 'select true';
      create function mine.yes(oid, oid) returns bool language sql immutable as 'select true';
      create function mine.no(name, name) returns bool language sql immutable as 'select false';
      create function mine.yes("char", "char") returns bool language sql immutable as 'select true';
      create operator mine.= (leftarg = name, rightarg = name, function = mine.yes);
      create operator mine.= (leftarg = oid, rightarg = oid, function = mine.yes);
      create operator mine.= (leftarg = "char", rightarg = "char", function = mine.yes);
      create operator mine.<> (leftarg = name, rightarg = name, function = mine.no);
      create operator mine.~~ (leftarg = name, rightarg = name, function = mine.yes);
      create function mine.json_agg(anyelement) returns json language sql as 'select null::json';
      create function mine.pg_get_viewdef(oid) returns text language sql as $$select 'select 1 as id, ''x'' as title'$$;
      create function mine.current_setting(text) returns text language sql as $$select 'read committed'$$;
      create view over as select id, title from secrets`)
    await expect(at.through('-c search_path=mine,pg_catalog,public')).rejects.toThrow(/search_path/)
    expect(code(await say('set search_path = mine, pg_catalog, public'))).toBe('42501')
    await begin()
    for (const sql of ['select title from secrets', 'select title from over']) {
      expect(code(await say(sql)), sql).toBe('42501')
      await say('rollback')
      await begin()
    }
    expect(data(await say('select title from shown'))).toContain('open 3')
  })

  test('the session’s own timeouts end the statement, with the server’s words', async () => {
    const holder = await other()
    await say("set lock_timeout = '50ms'")
    await begin()
    await holder.query('begin; lock table pg_catalog.pg_operator in access exclusive mode')
    expect(code(await say('select title from public.docs'))).toBe('55P03')
    expect(code(await say('select 1'))).toBe('25P02')
    await holder.query('rollback')
    expect(code(await say('rollback'))).toBeUndefined()
    expect(data(await say('select title from public.docs'))).toContain('open 1')
    expect(await there('mine.made')).toBe(false)
  })
})
