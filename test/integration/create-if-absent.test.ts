// CREATE … IF NOT EXISTS of what exists: a reader whose database user may create nothing is answered as the server
// answers its owner, in every form and place, and nothing of it reaches the server. What does not exist is judged as the
// change that it is.

import { readFileSync } from 'node:fs'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { errorFields, RawPostgres, type Reply } from '../support/raw-postgres.js'
import type { MessageStep } from '../support/raw-postgres-messages.js'

const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: [docs, docs_mv] }] }
  maker: { allow: [{ access: admin, collections: ["*"] }] }
access:
  - { who: { group: readers }, role: reader, targets: ["*"] }
  - { who: { group: makers }, role: maker, targets: ["*"] }
`
const SETUP = `
CREATE TABLE docs(id int PRIMARY KEY, body text); INSERT INTO docs VALUES (1, 'one');
CREATE INDEX docs_body ON docs(body);
CREATE TABLE "Ö docs"(id int);
CREATE TABLE secrets(id int PRIMARY KEY);
CREATE MATERIALIZED VIEW docs_mv AS SELECT id FROM docs;
CREATE SEQUENCE numbers; CREATE SCHEMA app;
GRANT SELECT ON docs, docs_mv TO vgate; ANALYZE`
/** What exists, in statements that a reader sends. */
const THERE = [
  'CREATE TABLE IF NOT EXISTS docs(id int PRIMARY KEY, body text)',
  'create table if not exists public.docs (id uuid references no_such, made timestamptz default now())',
  'CREATE INDEX IF NOT EXISTS docs_body ON docs USING btree (body)',
  'CREATE TABLE IF NOT EXISTS docs_body(id int)',
  'CREATE TABLE IF NOT EXISTS docs AS SELECT id FROM docs_mv',
  'CREATE MATERIALIZED VIEW IF NOT EXISTS docs_mv AS SELECT id FROM docs',
  'CREATE SCHEMA IF NOT EXISTS app',
  'CREATE EXTENSION IF NOT EXISTS plpgsql',
] as const
const [TABLE] = THERE
/** Characters of several bytes and of two units of UTF-16: positions behind it count characters. */
const ODD = "/* ö 😀 */ CREATE TABLE IF NOT EXISTS docs(b text DEFAULT 'ö😀');"
const USERS = { alice: ['corp:readers'], bob: ['corp:makers'] }

/** A reply as far as it must be the same on both ways. */
function shown({ type, body }: Reply): string {
  if (type === 'E' || type === 'N') {
    const { S, V, C, M, P } = errorFields(body)
    return `${type} ${JSON.stringify({ S, V, C, M, P })}`
  }
  return `${type} ${type === 'C' || type === 'Z' ? body.toString().replace('\0', '') : body.toString('hex')}`
}

const kinds = ['plain', 'pgvector', '18'] as const
const each = describe.skipIf(!kinds.every(hasPostgres)).each(kinds)
each('CREATE … IF NOT EXISTS of what exists (%s)', (kind) => {
  /** What the version of the server has no part in runs on one of them. */
  const once = (name: string, run: () => Promise<void>): void => {
    if (kind === 'plain') it(name, run)
  }
  let postgres: TestPostgres
  let database: string
  let gateway: TestGateway
  let alice: TestConnection
  let bob: TestConnection
  let admin: pg.Client

  beforeAll(async () => {
    postgres = await startPostgres({ kind, logStatements: true })
    const setup = await postgres.connect('postgres')
    await setup.query("CREATE ROLE vgate LOGIN PASSWORD 'vgate-own'")
    await setup.end()
    database = await postgres.createDatabase({ sql: SETUP })
    admin = await postgres.connect(database)
    await admin.query('REVOKE CREATE ON SCHEMA public FROM PUBLIC')
    const credential = { username: 'vgate', password: 'vgate-own' }
    gateway = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      users: USERS,
      credential,
    })
    alice = await gateway.connectAs('alice')
    bob = await gateway.connectAs('bob')
  })
  afterAll(async () => {
    await admin?.end()
    await gateway?.stop()
    await postgres?.stop()
  })

  const through = ({ host, port, user, password }: TestConnection = alice): Promise<RawPostgres> =>
    RawPostgres.login({ host, port, user, password, database, timeoutMs: 30_000 })
  const direct = ({ host, port, superuser: user, password } = postgres): Promise<RawPostgres> =>
    RawPostgres.login({ host, port, user, password, database, timeoutMs: 30_000 })

  /** Everything that comes for these messages, sent at once; each Sync and Query brings one ReadyForQuery. */
  async function answers(raw: RawPostgres, steps: readonly MessageStep[]): Promise<string[]> {
    const from = raw.replies.length
    for (const step of steps) raw.step(step)
    const units = steps.filter(({ m }) => m === 'S' || m === 'Q').length
    const over = () => raw.replies.slice(from).filter(({ type }) => type === 'Z').length === units
    await expect.poll(() => over() || raw.closed, { timeout: 30_000, interval: 5 }).toBe(true)
    return raw.replies.slice(from).map(shown)
  }
  async function same(...batches: (readonly MessageStep[])[]): Promise<string[]> {
    const [one, other] = [await direct(), await through()]
    const all: string[] = []
    for (const steps of batches) {
      const expected = await answers(one, steps)
      expect(await answers(other, steps)).toEqual(expected)
      all.push(...expected)
    }
    one.end()
    other.end()
    return all
  }
  const q = (sql: string): MessageStep => ({ m: 'Q', sql })
  const S: MessageStep = { m: 'S' }
  /** Parse, Describe of both kinds, Bind, Execute. */
  const extended = (sql: string, name = '', more: Partial<MessageStep> = {}): MessageStep[] => [
    { m: 'P', name, sql },
    { m: 'D', kind: 'S', name },
    { m: 'B', stmt: name, portal: name, ...more },
    { m: 'D', kind: 'P', name },
    { m: 'E', portal: name, max: 1 },
  ]

  it.each(THERE)('answers as the server does: %s', async (sql) => {
    const size = postgres.logSize()
    const all = await same([q(sql)], extended(sql).concat(S), [q('BEGIN')], [q(sql)], [q('COMMIT')])
    expect(all.filter((one) => /^N .*already exists, skipping/.test(one))).toHaveLength(3)
    // Once for each of those straight to the server, and never by way of the gateway.
    const log = postgres.log(size)
    expect(log.split(sql).length - 1).toBeLessThanOrEqual(5)
    expect(log.split('SHOW client_min_messages').length - 1).toBeGreaterThanOrEqual(3)
  })

  it('answers as the server does in a failed transaction, and in the segment of an error', async () => {
    await same([q('BEGIN')], [q('SELECT 1/0')], [q(TABLE)], extended(TABLE).concat(S), [
      q('ROLLBACK'),
    ])
    await same([{ m: 'P', sql: 'SELECT 1/0' }, { m: 'B' }, { m: 'E' }, ...extended(TABLE), S])
    await same([
      ...extended(TABLE),
      { m: 'P', sql: 'SELECT 1/0' },
      { m: 'B' },
      { m: 'E' },
      S,
      q('SELECT 1'),
    ])
  })

  it('answers as the server does in pipelines and in strings of several statements', async () => {
    const [, , index] = THERE
    await same([...extended(TABLE, 'a'), ...extended('SELECT 1'), ...extended(index, 'b'), S])
    await same([...extended(TABLE, 'a'), S, ...extended(index), S, { m: 'E', portal: 'a' }, S])
    await same([q(`SELECT 1; ${TABLE}; SELECT id FROM docs; ${index} ;SELECT 2;`)])
    await same([
      q(`/* ö ; */ ${TABLE} -- ; \n; SELECT 'ö'; ${index} /* ; */; SELECT 1/0; ${TABLE}`),
    ])
    await same([q(`${ODD} SELECT 'x'::int`)])
    await same([q(`BEGIN; ${TABLE}; SELECT id FROM docs; COMMIT`)])
    const empty = ['CREATE TABLE IF NOT EXISTS docs()', 'create schema if not exists app']
    await same([q(`${empty.join(';')};SELECT 1`)])
  })

  once('is silent where the session takes no notices', async () => {
    for (const level of ['warning', 'error', 'notice']) {
      const all = await same(
        [q(`SET client_min_messages = ${level}`)],
        [q(TABLE)],
        extended(TABLE, '', { rfmt: [1] }).concat(S),
      )
      const notices = all.filter((one) => one.startsWith('N ') && one.includes('skipping'))
      expect(notices).toHaveLength(['warning', 'error'].includes(level) ? 0 : 2)
    }
  })

  once(
    'binds as the server does: again, under other names, with parameters, after DEALLOCATE and DISCARD',
    async () => {
      const bind = (portal: string): MessageStep[] => [
        { m: 'B', stmt: 's', portal },
        { m: 'E', portal },
      ]
      await same(
        [{ m: 'P', name: 's', sql: TABLE }, ...bind('p'), ...bind('r'), S],
        [...bind('p'), S],
        [q('BEGIN')],
        [...bind('p'), S],
        // A portal that has run does not run again.
        [{ m: 'E', portal: 'p' }, S],
        [q('ROLLBACK')],
        [{ m: 'B', stmt: 's', params: ['1'] }, S],
        [q('DISCARD ALL')],
        [{ m: 'B', stmt: 's' }, S],
        [{ m: 'P', name: 't', sql: TABLE, oids: [23] }, S],
        [{ m: 'B', stmt: 't', params: ['1'] }, { m: 'E' }, S],
        [{ m: 'B', stmt: 't', params: ['x'] }, { m: 'E' }, S],
      )
    },
  )

  once('does not keep what comes behind it in a transaction from running', async () => {
    await same(
      [q('BEGIN')],
      [q(TABLE)],
      [q('SELECT body FROM docs')],
      extended('SELECT id FROM docs').concat(S),
      [q('COMMIT')],
    )
  })

  const code = async (raw: RawPostgres, sql: string): Promise<string | undefined> => {
    const error = (await raw.query(sql)).find(({ type }) => type === 'E')
    return error && errorFields(error.body)['C']
  }

  it('judges what does not exist as the change that it is, and what is not the reader’s to know as a read', async () => {
    const raw = await through()
    const size = postgres.logSize()
    for (const sql of [
      'CREATE TABLE IF NOT EXISTS absent(id int)',
      'CREATE TABLE IF NOT EXISTS app.docs(id int)',
      'CREATE INDEX IF NOT EXISTS absent ON docs(id)',
      'CREATE SCHEMA IF NOT EXISTS absent',
      'CREATE EXTENSION IF NOT EXISTS dblink',
      'CREATE SEQUENCE IF NOT EXISTS numbers',
      'CREATE TABLE IF NOT EXISTS secrets(id int)',
      'CREATE TABLE docs(id int)',
      'CREATE TABLE IF NOT EXISTS docs AS SELECT id FROM secrets',
      'EXPLAIN ANALYZE CREATE TABLE IF NOT EXISTS docs AS SELECT 1',
    ])
      expect([sql, await code(raw, sql)]).toEqual([sql, '42501'])
    expect(await code(raw, `${TABLE}; DROP TABLE docs`)).toBe('42501')
    expect(postgres.log(size)).not.toMatch(/statement: (?:CREATE|EXPLAIN|DROP)/)
    raw.end()
  })

  once(
    'knows what another session has made or dropped just now, also inside a transaction',
    async () => {
      const sql = 'CREATE TABLE IF NOT EXISTS app.late(id int)'
      const makers = await through(bob)
      const tags = async () =>
        (await makers.query(sql)).filter(({ type }) => type === 'C' || type === 'E').map(shown)
      await makers.query('BEGIN')
      await admin.query('CREATE TABLE app.late(id int)')
      expect(await tags()).toEqual(['C CREATE TABLE'])
      await admin.query('DROP TABLE app.late')
      // Now it would be made, which this database user may not.
      expect(await tags()).toEqual([expect.stringContaining('permission denied for schema app')])
      await makers.query('ROLLBACK')
      makers.end()
    },
  )

  once('is not run by another way than it was judged for', async () => {
    const raw = await through()
    await answers(raw, [{ m: 'P', name: 's', sql: TABLE }, S])
    const size = postgres.logSize()
    expect(await code(raw, 'EXECUTE s')).toBeDefined()
    await answers(raw, [{ m: 'B', stmt: 's' }, { m: 'E' }, S])
    // The stand-in is the gateway's own, also for whoever learns its name.
    const own = /execute (vgate_[^:]+): SHOW/.exec(postgres.log(size))?.[1]
    expect(own).toMatch(/^vgate_[0-9a-f]{24}$/)
    const refused = await answers(raw, [{ m: 'B', stmt: own }, { m: 'E' }, S])
    expect(refused[0]).toContain('does not exist')
    expect(postgres.log(size)).not.toMatch(/execute s: CREATE|statement: EXECUTE/)
    raw.end()
  })

  it('does not take for existing what was dropped between its Bind and its Execute', async () => {
    await admin.query('CREATE TABLE passing(id int); ALTER TABLE passing OWNER TO vgate')
    const makers = await through(bob)
    const [late = ''] = (
      await answers(makers, [
        { m: 'P', name: 'c', sql: 'CREATE TABLE IF NOT EXISTS passing(id int)' },
        { m: 'B', stmt: 'c', portal: 'c' },
        { m: 'P', sql: 'DROP TABLE passing' },
        { m: 'B' },
        { m: 'E' },
        { m: 'E', portal: 'c' },
        S,
      ])
    ).filter((one) => one.startsWith('E '))
    expect(late).toContain('after a schema change in the same transaction')
    // As a server error there would have: the drop is undone.
    expect((await admin.query("SELECT to_regclass('passing') IS NULL AS gone")).rows).toEqual([
      { gone: false },
    ])
    makers.end()
    await admin.query('DROP TABLE passing')
  })

  it('does not take for existing what the same transaction has dropped', async () => {
    await admin.query(
      'CREATE TABLE gone(id int); ALTER TABLE gone OWNER TO vgate; GRANT ALL ON SCHEMA public TO vgate',
    )
    const makers = await through(bob)
    const sql = 'CREATE TABLE IF NOT EXISTS gone(id text)'
    const kept = async () =>
      (
        await admin.query(
          "SELECT data_type FROM information_schema.columns WHERE table_name = 'gone'",
        )
      ).rows
    await makers.query(`DROP TABLE gone; ${sql}`)
    expect(await kept()).toEqual([{ data_type: 'text' }])
    const steps: MessageStep[] = [
      ...extended('DROP TABLE gone', 'd'),
      ...extended('CREATE TABLE IF NOT EXISTS gone(id int)', 'c'),
      S,
    ]
    await answers(makers, steps)
    expect(await kept()).toEqual([{ data_type: 'integer' }])
    await makers.query('BEGIN')
    await makers.query('DROP TABLE gone')
    await makers.query(sql)
    await makers.query('COMMIT')
    expect(await kept()).toEqual([{ data_type: 'text' }])
    // A reader is refused in the same place: it would be made.
    const raw = await through()
    expect(await code(raw, `DROP TABLE gone; ${TABLE}`)).toBe('42501')
    expect(await code(makers, `${sql}; CREATE TABLE IF NOT EXISTS new(id int); SELECT 1`)).toBe(
      '42501',
    )
    makers.end()
    raw.end()
    await admin.query(
      'DROP TABLE gone; REVOKE ALL ON SCHEMA public FROM vgate; GRANT USAGE ON SCHEMA public TO vgate',
    )
  })

  once('is recorded with the server’s tag, and with nothing but a read', async () => {
    const at = await gateway.connectAs('alice')
    const raw = await through(at)
    await raw.query(TABLE)
    raw.end()
    await at.close()
    const text = readFileSync(at.recording, 'utf8')
    expect(text).toContain('"tag":"CREATE TABLE"')
    expect(text).toContain('"action":"describe_collection"')
    expect(text).not.toContain('"access":"admin"')
    expect(gateway.reports).toEqual([])
  })
})
