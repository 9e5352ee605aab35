// Owns what was found against guards (ADR 0023) by somebody who may do anything in a schema of their own, which their
// search path names first: what is judged there must not reach the table of the same name behind it.

import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { isOperation } from '../../src/core/operation.js'
import { PGVECTOR } from '../../src/databases/pgvector.js'
import { postgresFamily } from '../../src/protocol/postgres/family.js'
import { createAnalyzer } from '../../src/protocol/postgres/sql/analyzer.js'
import { AdapterServer, PORT_SECRET } from '../support/adapter-host.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { errorFields, RawPostgres, type Reply } from '../support/raw-postgres.js'
import { type MessageStep, startup } from '../support/raw-postgres-messages.js'

const SQL = `
  create table docs (id int primary key, title text);
  insert into docs select n, 'open ' || n from generate_series(1, 3) n;
  create table notes (id int primary key, title text);
  create schema mine;
`
const OWN = 'create table mine.docs (id int primary key, title text)'
const SYNC: MessageStep = { m: 'S' }

describe.runIf(hasPostgres('plain'))('guards', () => {
  let postgres: TestPostgres
  let template: string
  let database: string
  let server: AdapterServer
  let admin: pg.Client

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    template = await postgres.createDatabase({ sql: SQL })
  })
  afterAll(() => postgres?.stop())
  beforeEach(async () => {
    database = await postgres.createDatabase({ template })
    admin = await postgres.connect(database)
    const { host, port, superuser: user, password } = postgres
    server = await AdapterServer.start({
      family: postgresFamily(PGVECTOR.product, createAnalyzer(PGVECTOR.product)),
      upstream: { host, port, user, password },
      database,
      masker: { forField: () => ({ alwaysNull: true, mask: () => ({ value: null, masked: 1 }) }) },
      judge: ({ operations }) =>
        operations.every(isOperation)
          ? {
              verdict: 'permit',
              obligations: operations.map(() => ({ masks: [], record: 'text' as const })),
            }
          : {
              verdict: 'deny',
              refusal: {
                sqlstate: '42501',
                http: 403,
                grpc: 7,
                rule: 'r',
                message: 'no',
                hint: '',
              },
            },
    })
  })
  afterEach(async () => {
    await admin?.end()
    await server?.stop()
  })

  const login = async (): Promise<RawPostgres> => {
    const options = { host: '127.0.0.1', port: server.port, user: 'anna', password: PORT_SECRET }
    const one = await RawPostgres.open(options)
    const path = ['options', '-c search_path=mine,public'] as const
    one.send(startup([['user', 'anna'], ['database', database], path]))
    expect(await one.authenticate(options)).toBe(true)
    return one
  }
  /** Sends these messages at once; what came up to the ReadyForQuery. */
  const segment = async (
    one: RawPostgres,
    ...steps: readonly MessageStep[]
  ): Promise<readonly Reply[]> => {
    const from = one.replies.length
    for (const step of [...steps, SYNC]) one.step(step)
    const came = () => one.replies.slice(from)
    await expect.poll(() => came().some(({ type }) => type === 'Z')).toBe(true)
    return came()
  }
  const codes = (replies: readonly Reply[]) =>
    replies.filter(({ type }) => type === 'E').map(({ body }) => errorFields(body)['C'])
  const count = async (table: string): Promise<number> =>
    Number((await admin.query(`select count(*) from ${table}`)).rows[0]?.['count'])

  test('a new plan counts only when the database has made it', async () => {
    const one = await login()
    await segment(one, { m: 'P', name: 'd', sql: 'delete from docs' })
    await one.query(OWN)
    await one.query('select title from docs')
    const bind: MessageStep = { m: 'B', portal: '', stmt: 'd' }
    // An error in front has the database skip the new plan.
    await segment(one, { m: 'P', name: 'garbage', sql: 'selec' }, bind)
    await segment(one, bind, { m: 'E', portal: '', max: 0 })
    expect(await count('public.docs')).toBe(3)
    one.end()
  })

  test('a plan that a Describe had made meanwhile is not run as what it was before', async () => {
    const one = await login()
    await one.query(OWN)
    await segment(one, { m: 'P', name: 'd', sql: 'delete from docs returning 1' })
    await one.query('prepare p as delete from docs returning 1')
    await admin.query('alter table mine.docs rename to away')
    await segment(one, { m: 'D', kind: 'S', name: 'd' })
    await segment(one, { m: 'D', kind: 'S', name: 'p' })
    await admin.query('alter table mine.away rename to docs')
    await segment(one, { m: 'B', portal: '', stmt: 'd' }, { m: 'E', portal: '', max: 0 })
    expect(await count('public.docs')).toBe(3)
    expect(codes(await one.query('execute p'))).toEqual(['0A000'])
    expect(await count('public.docs')).toBe(3)
    one.end()
  })

  test('what runs in no transaction takes no guard from what stands beside it', async () => {
    const [one, two] = [await login(), await login()]
    await one.query(OWN)
    await one.query('create table mine.x (id int)')
    await one.query('select upper(title) from docs')
    await one.query('begin; select 1')
    await two.query('drop table mine.docs')
    const replies = await one.query('select upper(title) from docs; analyze mine.x')
    expect(replies.filter(({ type }) => type === 'D')).toEqual([])
    one.end()
    two.end()
  })

  test('behind a schema change of its own a name is judged as what it is by then, or not at all', async () => {
    const judged = (): unknown =>
      server.requests
        .at(-1)
        ?.operations.map((one) =>
          isOperation(one) ? one.collections.map(({ collection }) => collection) : one.reason,
        )
    const statements = ['create table mine.copied as select * from docs', 'drop table docs']
    for (const level of ['read committed', 'repeatable read']) {
      const [one, two] = [await login(), await login()]
      const changed = `begin isolation level ${level}; create table mine.x (id int)`
      await one.query(OWN)
      await one.query(changed)
      await two.query('drop table mine.docs')
      for (const sql of statements) {
        const seen = level === 'read committed'
        expect(codes(await one.query(sql)), sql).toEqual(seen ? [] : ['42501'])
        if (seen) expect(JSON.stringify(judged())).toMatch(/"docs"/)
        await one.query('rollback')
        await one.query(changed)
      }
      await one.query('rollback')
      one.end()
      two.end()
    }
    expect(await count('public.docs')).toBe(3)
  })

  test('an ANALYZE between two runs of a pipeline repeats nothing', async () => {
    const one = await login()
    await segment(
      one,
      { m: 'P', name: 'a', sql: 'select title from docs where id = 1' },
      { m: 'P', name: 'b', sql: "insert into notes values (2, 'x')" },
    )
    const run = (stmt: string): readonly MessageStep[] => [
      { m: 'B', portal: '', stmt },
      { m: 'E', portal: '', max: 0 },
    ]
    const types = async () =>
      (await segment(one, ...run('a'), ...run('b'))).map(({ type }) => type).join('')
    const usual = await types()
    await admin.query('delete from notes; analyze docs, notes')
    expect(await types()).toBe(usual)
    expect(await count('notes')).toBe(1)
    one.end()
  })
})
