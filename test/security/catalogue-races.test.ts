// Definitions that others change between a statement's judgement and its run: no statement may run that was judged
// with another catalogue. Each race is driven by hand: the judge itself makes the change before it answers.

import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { JudgeRequest, Ruling } from '../../src/core/adapter.js'
import { isOperation } from '../../src/core/operation.js'
import { PGVECTOR } from '../../src/databases/pgvector.js'
import { postgresFamily } from '../../src/protocol/postgres/family.js'
import { createAnalyzer } from '../../src/protocol/postgres/sql/analyzer.js'
import { AdapterServer, PORT_SECRET } from '../support/adapter-host.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { errorFields, RawPostgres, type Reply, rowValues } from '../support/raw-postgres.js'
import type { MessageStep } from '../support/raw-postgres-messages.js'

const SQL = `
  create table docs (id int primary key, title text);
  insert into docs select n, 'open ' || n from generate_series(1, 3) n;
  create table secrets (id int primary key, title text);
  insert into secrets select n, 'hidden ' || n from generate_series(1, 3) n;
  create table notes (id int primary key, title text);
  insert into notes values (1, 'a note');
  create view shown as select id, title from docs;
  create table tree (id int, title text);
  create table branch () inherits (tree);
  create schema mine;
`
/** Planned once in a session: the next time its Bind comes alone. */
const NAMED = { name: 'again', text: 'select title from docs where id = $1', values: [1] }
/** From now on the name means a view of what nobody may read. */
const SWAP = 'alter table docs rename to docs_before; create view docs as select * from secrets'

const DENIED: Ruling = {
  verdict: 'deny',
  refusal: {
    sqlstate: '42501',
    http: 403,
    grpc: 7,
    rule: 'default deny',
    message: 'reading secrets is not allowed',
    hint: 'ask the owner',
  },
}

// What guards rest on is held against more versions in test/integration/guard-text.test.ts.
for (const kind of ['plain', '18'] as const) {
  describe.runIf(hasPostgres(kind))(`on the ${kind} server`, () => {
    let postgres: TestPostgres
    let template: string
    let database: string
    let server: AdapterServer
    let admin: pg.Client
    let client: pg.Client
    /** Runs once, while the next statement that would run is judged. */
    let between: (() => Promise<unknown>) | undefined
    let watcher: pg.Client
    /** The last change: it may still wait for a lock. */
    let pending: Promise<unknown> | undefined

    const judge = async (request: JudgeRequest): Promise<Ruling> => {
      const reads = request.operations.flatMap((one) => (isOperation(one) ? one.collections : []))
      const known = request.operations.every(isOperation)
      if (!known || reads.some(({ collection }) => collection === 'secrets')) return DENIED
      if (request.phase === 'execute' && between !== undefined) {
        const now = between
        between = undefined
        await now()
      }
      const obligations = request.operations.map(() => ({ masks: [], record: 'text' as const }))
      return { verdict: 'permit', obligations }
    }

    /** Until it is done, or waits for a lock of the statement that is judged. */
    const ddl = (sql: string) => async () => {
      let done = false
      pending = admin.query(sql).then(() => {
        done = true
      })
      const blocked = 'select 1 from pg_locks where not granted'
      while (!done && (await watcher.query(blocked)).rowCount === 0);
    }
    const titles = async (sql: string | pg.QueryConfig): Promise<string[] | string> => {
      try {
        const { rows } = await client.query<{ title: string }>(sql)
        return rows.map(({ title }) => title)
      } catch (error) {
        return String((error as { code?: string }).code)
      }
    }
    const raw = async (): Promise<RawPostgres> =>
      RawPostgres.login({
        host: '127.0.0.1',
        port: server.port,
        user: 'anna',
        password: PORT_SECRET,
        database,
      })
    /** Sends all at once; what came up to the last ReadyForQuery. */
    const pipeline = async (one: RawPostgres, steps: readonly MessageStep[]): Promise<Reply[]> => {
      const from = one.replies.length
      const syncs = steps.filter(({ m }) => m === 'S').length
      for (const step of steps) one.step(step)
      await expect
        .poll(() => one.replies.slice(from).filter(({ type }) => type === 'Z').length)
        .toBe(syncs)
      return one.replies.slice(from)
    }
    const rows = (replies: readonly Reply[]): (string | null)[] =>
      replies.filter(({ type }) => type === 'D').map(({ body }) => rowValues(body)[0] ?? null)
    const codes = (replies: readonly Reply[]): (string | undefined)[] =>
      replies.filter(({ type }) => type === 'E').map(({ body }) => errorFields(body)['C'])

    beforeAll(async () => {
      postgres = await startPostgres({ kind })
      template = await postgres.createDatabase({ sql: SQL })
    })
    afterAll(async () => {
      await postgres?.stop()
    })
    beforeEach(async () => {
      between = undefined
      database = await postgres.createDatabase({ template })
      admin = await postgres.connect(database)
      watcher = await postgres.connect(database)
      pending = undefined
      server = await AdapterServer.start({
        family: postgresFamily(PGVECTOR.product, createAnalyzer(PGVECTOR.product)),
        upstream: {
          host: postgres.host,
          port: postgres.port,
          user: postgres.superuser,
          password: postgres.password,
        },
        database,
        masker: {
          forField: () => ({ alwaysNull: true, mask: () => ({ value: null, masked: 1 }) }),
        },
        judge,
      })
      client = await server.connect()
    })
    afterEach(async () => {
      await client.end().catch(() => {})
      await pending
      await admin.end()
      await watcher.end()
      await server.stop()
    })

    describe('a table that becomes a view while a statement is judged', () => {
      const FORMS: readonly [string, () => Promise<string[] | string>][] = [
        ['simple', () => titles('select title from docs order by id')],
        ['extended', () => titles(NAMED)],
        [
          'unnamed',
          () => titles({ text: 'select title from docs where id > $1 order by id', values: [0] }),
        ],
        ['two statements', () => titles('select 1; select title from docs')],
      ]
      for (const [form, run] of FORMS) {
        test(`${form}: the first use of a table is judged under its lock`, async () => {
          between = ddl(SWAP)
          expect(String(await run())).not.toContain('hidden')
          await pending
          expect(await run()).toBe('42501')
          expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
        })

        test(`${form}, in a session that has read it before`, async () => {
          expect(await titles('select title from docs where id = 1')).toEqual(['open 1'])
          expect(await titles(NAMED)).toEqual(['open 1'])
          between = ddl(SWAP)
          const result = await run()
          // An unnamed statement's own Parse may hold the lock already: then the change waits for it.
          if (form === 'unnamed') expect(String(result)).not.toContain('hidden')
          else expect(result).toBe('42501')
        })

        test(`${form}, in a transaction that holds no lock of it yet`, async () => {
          for (const begin of ['begin', 'begin isolation level repeatable read']) {
            await client.query(begin)
            await client.query('select title from notes')
            await admin.query(SWAP)
            expect(await run()).toBe('42501')
            await client.query('rollback')
            await admin.query('drop view docs; alter table docs_before rename to docs')
          }
        })
      }

      test('in a transaction the judged table stays what it is until the end', async () => {
        await client.query('begin')
        between = ddl(SWAP)
        expect(await titles('select title from docs where id = 1')).toEqual(['open 1'])
        expect(await titles('select title from docs where id = 2')).toEqual(['open 2'])
        await client.query('commit')
        await pending
        expect(await titles('select title from docs')).toBe('42501')
      })

      test('a write does not reach what it was not judged for', async () => {
        expect(await titles('delete from docs where id = 9')).toEqual([])
        for (const begin of [undefined, 'begin']) {
          if (begin !== undefined) await client.query(begin)
          if (begin === undefined) between = ddl(SWAP)
          else await admin.query(SWAP)
          expect(await titles('delete from docs where id = 1')).toBe('42501')
          await client.query('rollback')
          expect((await admin.query('select 1 from secrets')).rowCount).toBe(3)
          await admin.query('drop view docs; alter table docs_before rename to docs')
        }
      })
    })

    test('a view that is replaced by another of the same columns', async () => {
      expect(await titles('select title from shown where id = 1')).toEqual(['open 1'])
      between = ddl('create or replace view shown as select id, title from secrets')
      expect(await titles('select title from shown')).toBe('42501')
    })

    test('a table that others put below the one that is read, also two levels below', async () => {
      expect(await titles('select title from tree')).toEqual([])
      between = ddl('alter table secrets inherit branch')
      await admin.query('alter table secrets alter id drop not null').catch(() => {})
      expect(await titles('select title from tree')).toBe('42501')
    })

    test('a name that means another table from now on, in a plan that was made before', async () => {
      await client.end()
      client = await server.connect({ options: '-c search_path=mine,public' })
      const named = { name: 'again', text: 'select upper(title) as title from docs', values: [] }
      expect((await client.query(named)).rows).toHaveLength(3)
      // The plan still reads public.docs: nothing tells the server to make another.
      await admin.query(
        "create table mine.docs (id int, title text); insert into mine.docs values (1, 'own')",
      )
      between = ddl('select 1')
      expect((await client.query(named)).rows).toEqual([{ title: 'OWN' }])
      between = ddl('drop table mine.docs')
      expect((await client.query(named)).rows).toHaveLength(3)
    })

    test('what is not redefined is judged once, whatever else happens to it', async () => {
      const read = () => titles('select title from docs where id = 1')
      expect(await read()).toEqual(['open 1'])
      for (const sql of [
        'analyze docs',
        'create index on docs (title)',
        'truncate notes',
        'create schema another',
      ]) {
        between = ddl(sql)
        expect(await read()).toEqual(['open 1'])
        await client.query('begin')
        between = ddl(sql.startsWith('create') ? 'analyze docs' : sql)
        expect(await read()).toEqual(['open 1'])
        await client.query('commit')
      }
      expect(server.errors).toEqual([])
    })

    test('a column that is added is seen at once', async () => {
      expect(await titles('select title from docs where id = 1')).toEqual(['open 1'])
      await admin.query("alter table docs add column more text default 'more'")
      const { rows: found } = await client.query('select * from docs where id = 1')
      expect(found).toEqual([{ id: 1, title: 'open 1', more: 'more' }])
    })

    test('units behind one that is judged again keep their order', async () => {
      const one = await raw()
      const run = (stmt: string): MessageStep[] => [
        { m: 'B', portal: '', stmt },
        { m: 'E', portal: '', max: 0 },
      ]
      const sync: MessageStep = { m: 'S' }
      const texts = ['docs where id = 1', 'docs where id = 2', 'notes']
      await pipeline(one, [
        ...texts.map((text) => ({ m: 'P', name: text, sql: `select title from ${text}` })),
        sync,
      ])
      const [first = '', second = '', notes = ''] = texts
      const steps = [...run(first), sync, ...run(notes), sync, ...run(second), ...run(notes), sync]
      const expected = ['open 1', 'a note', 'open 2', 'a note']
      expect(rows(await pipeline(one, steps))).toEqual(expected)
      between = ddl('analyze docs, notes')
      expect(rows(await pipeline(one, steps))).toEqual(expected)
      between = ddl(SWAP)
      const after = await pipeline(one, steps)
      expect([rows(after), codes(after)]).toEqual([['a note'], ['42501', '42501']])
      one.end()
    })

    test('a lock that is given back with a savepoint proves nothing any more', async () => {
      await client.query('begin; savepoint a')
      expect(await titles('select title from docs where id = 1')).toEqual(['open 1'])
      await client.query('rollback to a')
      await admin.query(SWAP)
      expect(await titles('select title from docs')).toBe('42501')
    })

    test('what was permitted is over with its connection, also before it was sent', async () => {
      const one = await raw()
      // Has the second transaction of the message wait to be proved.
      between = ddl('begin; lock table notes')
      one.step({ m: 'Q', sql: 'begin; delete from docs; commit; select title from notes' })
      const waits = "select from pg_stat_activity where wait_event = 'relation' and query ~ 'vgate'"
      await expect.poll(async () => (await watcher.query(waits)).rowCount).toBe(1)
      one.end()
      const over = () => server.deliveries.filter(({ done }) => done).map(({ index }) => index)
      await expect.poll(() => over().sort()).toEqual([0, 1, 2, 3])
      await pending
      await admin.query('rollback')
    })

    test('a message of several transactions is proved in each of them', async () => {
      const one = await raw()
      for (const sql of [
        'begin; select title from docs where id = 1; commit; select title from docs where id = 2',
        'begin isolation level serializable; select title from docs where id < 3; commit',
        'savepoint x; rollback; select title from docs',
        "begin; commit;\n select 'ü', 1; select 'x'::int, title from docs",
        'begin; insert into docs values (7, $$seven$$); commit; select title from docs where id = 7; begin',
        'rollback and chain; delete from docs where id = 7; rollback; select count(*)::text from docs',
      ]) {
        const direct = await RawPostgres.login({
          host: postgres.host,
          port: postgres.port,
          user: postgres.superuser,
          password: postgres.password,
          database: await postgres.createDatabase({ template }),
        })
        const shown = (replies: readonly Reply[]) =>
          replies.map(({ type, body }) =>
            type === 'E' ? ['C', 'M', 'P'].map((field) => errorFields(body)[field]) : type,
          )
        expect(shown(await one.query(sql)), sql).toEqual(shown(await direct.query(sql)))
        await one.query('rollback; delete from docs where id = 7')
        direct.end()
      }
      one.end()
      await client.query('begin')
      between = ddl(SWAP)
      const insert = "insert into notes values (2, 'once')"
      expect(await titles(`${insert}; commit; select title from docs`)).toBe('40001')
      await pending
      // What was before the change has run, and once.
      expect(await titles('select title from notes where id = 2')).toEqual(['once'])
      expect(await titles('select title from docs')).toBe('42501')
    })

    test('guards that were thrown away are made again, and nobody else makes one', async () => {
      for (const sql of ['deallocate all', 'discard all', 'discard plans']) {
        expect(await titles('select title from docs where id = 1')).toEqual(['open 1'])
        await client.query(sql)
      }
      expect(await titles('select title from docs where id = 1')).toEqual(['open 1'])
      const one = await raw()
      const replies = await pipeline(one, [
        { m: 'P', name: 'vgate_guard_mine', sql: 'select 1' },
        { m: 'S' },
        { m: 'C', kind: 'S', name: 'vgate_guard_mine' },
        { m: 'S' },
      ])
      expect(codes(replies)).toEqual(['42602', '42602'])
      expect(await titles('deallocate vgate_guard_mine')).toBe('42501')
      one.end()
    })
  })
}
