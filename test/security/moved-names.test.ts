// Owns what was tried against the meeting of a session's own schema changes, its search path, its views and its portals:
// `mine` is free; of public.docs and of `third` nothing may be touched.

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
drop schema if exists mine cascade; drop schema if exists third cascade; drop schema public cascade;
create schema public; create schema mine; create schema third;
create table docs (id int primary key, title text);
insert into docs select n, 'SECRET ' || n from generate_series(1, 3) n;
create table third.docs (id int primary key, title text);
insert into third.docs values (1, 'SECRET third');
create view over as select id, title from third.docs;
create table open (id int primary key, title text);
insert into open values (1, 'open');
create table mine.docs (id int primary key, title text);
insert into mine.docs values (1, 'mine');
create table mine.watched (id int);
create function mine.turn() returns trigger language plpgsql as
  $$ begin perform set_config('search_path', 'public', false); return new; end $$;
create trigger t before insert on mine.watched for each row execute function mine.turn();
create function mine.away() returns int language plpgsql as
  $$ begin perform set_config('search_path', 'public', false); return 1; end $$;
create procedure mine.flip() language plpgsql as $$ begin alter table mine.docs rename to gone; end $$;
`
const SYNC: MessageStep = { m: 'S' }
const TITLE = "select title || '' from docs"
const run = (sql: string, portal = ''): MessageStep[] => [
  { m: 'P', name: '', sql },
  { m: 'B', portal, stmt: '' },
  { m: 'E', portal, max: 0 },
]

const kinds = (['plain', '18'] as const).filter(hasPostgres)
describe.each(kinds)('where path, own changes, views and portals meet, on %s', (kind) => {
  let at: SessionServer
  let one: RawPostgres

  beforeAll(async () => {
    at = await startSessionServer('', kind)
  })
  afterAll(() => at?.stop())
  beforeEach(async () => {
    await at.admin.query(GROUND)
    rules.refuses = ({ collections }) => {
      const bad = collections.find(({ collection }) => /^third|^docs$/.test(collection))
      return bad && `no ${bad.access} of ${bad.collection}`
    }
    one = await at.through('-c search_path=mine,public')
  })
  afterEach(() => {
    one.end()
    rules.refuses = () => undefined
  })
  const say = (sql: string): Promise<readonly Reply[]> => q(one, sql)
  const secret = (replies: readonly Reply[]): boolean =>
    Buffer.concat(replies.map(({ body }) => body)).includes('SECRET')
  const behindOwnChange = async (): Promise<void> => {
    for (const sql of [
      'begin',
      'create table mine.made (id int)',
      'select count(*) from mine.made',
    ])
      expect(code(await say(sql))).toBeUndefined()
  }

  for (const move of [
    'set local search_path = third',
    "select set_config('search_path', 'third', true)",
  ])
    test(`a view's text is read along the path that it is resolved with: ${move}`, async () => {
      await behindOwnChange()
      await say(move)
      const read = await say('select * from public.over')
      expect([secret(read), code(read)]).toEqual([false, '42501'])
      await say('rollback')
      await behindOwnChange()
      await say(move)
      await say('select * from public.over')
      await say("update public.over set title = 'taken'")
      await say('commit')
      expect((await at.admin.query('select title from third.docs')).rows[0].title).toBe(
        'SECRET third',
      )
    })

  const moves = {
    set: 'set local search_path = public',
    function: 'select mine.away()',
    trigger: 'insert into mine.watched values (1)',
  }
  const lates = [
    'copy docs (title) to stdout',
    'copy (select title from docs) to stdout',
    'truncate docs',
    'drop table docs',
    'alter table docs rename to gone',
    'create index on docs (title)',
    'create view mine.taken as select title from docs',
  ]
  for (const [how, move] of Object.entries(moves))
    for (const sql of lates)
      test(`a portal does not run along another path than it was judged with: ${how}, ${sql}`, async () => {
        const state = `select pg_relation_size(to_regclass('public.docs'))::int as size, (select count(*)::int from pg_index
          where indrelid = to_regclass('public.docs')) as indexes, to_regclass('mine.taken') as taken`
        const before = (await at.admin.query(state)).rows
        const replies = await leg(one, [
          { m: 'P', name: 'l', sql },
          { m: 'B', portal: 'late', stmt: 'l' },
          ...run(move),
          { m: 'E', portal: 'late', max: 0 },
          SYNC,
        ])
        expect(secret(replies)).toBe(false)
        expect((await at.admin.query(state)).rows).toEqual(before)
      })

  test('a cursor that a question of ours makes possible is guarded', async () => {
    const second = await at.through('-c search_path=mine,public')
    expect(data(await say(TITLE))).toContain('mine')
    await say('set search_path = mine, public')
    await q(second, 'alter table mine.docs rename to gone')
    second.end()
    const replies = await leg(one, [
      ...run(`declare c cursor for ${TITLE}`),
      ...run('fetch all from c'),
      SYNC,
    ])
    expect(secret(replies)).toBe(false)
  })

  test('what a procedure redefines is proved again', async () => {
    await say('begin')
    expect(data(await say(TITLE))).toContain('mine')
    await say('call mine.flip()')
    const replies = await say(TITLE)
    expect([secret(replies), code(replies)]).toEqual([false, '40001'])
  })

  test('behind a schema change of its own a view that was not read can be written through', async () => {
    await say('begin')
    await say('create view mine.v as select id, title from public.open')
    expect(code(await say("update mine.v set title = 'ok' where id = 1"))).toBeUndefined()
  })
})
