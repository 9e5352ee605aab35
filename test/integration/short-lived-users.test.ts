// Database users that live as long as a grant is in use, on a real PostgreSQL and with a gateway's own user that is no
// superuser: what they are, what they may do, that their passwords are nowhere, and that none is left over.

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { SideQuery } from '../../src/core/adapter.js'
import { POSTGRES_USERS } from '../../src/protocol/postgres/short-lived-user.js'
import { startTestGateway, type TestConnection, type TestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { serialising } from '../support/serialising-authority.js'

const POLICY = `
roles:
  reader: { allow: [{ access: read, collections: ["*"] }] }
  maker: { allow: [{ access: admin, collections: ["*"] }] }
access:
  - { who: { group: readers }, role: reader, targets: ["*"] }
  - { who: { group: makers }, role: maker, targets: ["*"] }
`
/** What the documentation tells people to type. */
const SETUP = `
CREATE TABLE docs(id int PRIMARY KEY, body text); INSERT INTO docs VALUES (1, 'one');
CREATE TABLE secrets(id int PRIMARY KEY);
CREATE SCHEMA hidden; CREATE TABLE hidden.docs(id int, body text); INSERT INTO hidden.docs VALUES (9, 'hidden');
GRANT SELECT ON docs TO vgate_reader;
GRANT CREATE, USAGE ON SCHEMA public TO vgate_reader;
GRANT USAGE ON SCHEMA hidden TO vgate;
GRANT SELECT ON ALL TABLES IN SCHEMA hidden TO vgate;
ANALYZE`
const ROLES = `
CREATE ROLE vgate LOGIN CREATEROLE PASSWORD 'vgate-own';
CREATE ROLE vgate_reader NOLOGIN;
GRANT vgate_reader TO vgate WITH ADMIN OPTION;
CREATE ROLE "odd "" ; name" NOLOGIN;
GRANT "odd "" ; name" TO vgate WITH ADMIN OPTION;
CREATE ROLE theirs NOLOGIN;
CREATE ROLE inside NOLOGIN; GRANT vgate TO inside;
CREATE ROLE weak LOGIN PASSWORD 'weak-own';`
const KINDS = ['plain', 'pgvector', '18'] as const
const USERS = { alice: ['corp:readers'], bob: ['corp:makers'] }
const WAIT = { timeout: 25_000, interval: 25 }

/** What has run on the other server already: a test that is left out is not one that was skipped. */
const NOT_AGAIN = Object.assign(() => undefined, {
  each: () => () => undefined,
}) as unknown as typeof it

// Version 16 changed who may give a role to whom: what is not about that runs on one of the two.
const each = describe.skipIf(!KINDS.every(hasPostgres)).each(KINDS)
each('short-lived database users (%s)', (kind) => {
  const once = kind === 'plain' ? it : NOT_AGAIN
  let postgres: TestPostgres
  let database: string
  let admin: pg.Client
  const gateways: TestGateway[] = []

  beforeAll(async () => {
    postgres = await startPostgres({ kind, logStatements: true })
    const setup = await postgres.connect('postgres')
    await setup.query(ROLES)
    await setup.end()
    database = await postgres.createDatabase({ sql: SETUP })
    admin = await postgres.connect(database)
  })
  afterEach(async () => {
    await Promise.all(gateways.splice(0).map((one) => one.stop()))
    expect(await roles()).toEqual([])
  })
  afterAll(async () => {
    await admin?.end()
    await postgres?.stop()
  })

  async function start(
    options: Partial<Parameters<typeof startTestGateway>[0]> = {},
  ): Promise<TestGateway> {
    const gateway = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      users: USERS,
      credential: { username: 'vgate', password: 'vgate-own' },
      mint: { role: { memberOf: ['vgate_reader'], prefix: 'vg_' } },
      wrapAuthority: serialising,
      ...options,
    })
    gateways.push(gateway)
    return gateway
  }
  const connected = async ({ host, port, user, password }: TestConnection, more = {}) => {
    const client = new pg.Client({ host, port, user, password, database, ...more })
    client.on('error', () => undefined)
    await client.connect()
    return client
  }
  const roles = async (): Promise<string[]> => {
    const found = await admin.query<{ rolname: string }>(
      "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'vg_') ORDER BY rolname",
    )
    return found.rows.map(({ rolname }) => rolname)
  }
  const gone = (): Promise<void> => expect.poll(roles, WAIT).toEqual([])

  it('serve the connections of one grant, and are dropped behind its last session', async () => {
    const gateway = await start()
    const at = await gateway.connectAs('alice')
    const [one, two] = [await connected(at), await connected(at)]
    const whoami = 'SELECT current_user::text AS own, session_user::text AS login'
    const { rows } = await one.query<{ own: string; login: string }>(whoami)
    expect(rows[0]?.own).toMatch(/^vg_[a-z2-7]{16}$/)
    expect(rows[0]?.login).toBe(rows[0]?.own)
    expect((await two.query(whoami)).rows).toEqual(rows)
    expect((await one.query('SELECT body FROM docs')).rows).toEqual([{ body: 'one' }])
    // Policy lets them; the database does not.
    await expect(one.query('SELECT id FROM secrets')).rejects.toMatchObject({ code: '42501' })
    const made = await admin.query(
      `SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconnlimit,
         round(extract(epoch FROM rolvaliduntil - now()))::int AS left, shobj_description(oid, 'pg_authid') AS mark
       FROM pg_roles WHERE rolname = $1`,
      [rows[0]?.own],
    )
    const grant = at.session.lease.grant.id
    expect(made.rows[0]).toMatchObject({
      rolsuper: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolreplication: false,
      rolbypassrls: false,
      rolconnlimit: 200,
      mark: `vgate: ${grant}`,
    })
    expect(Math.abs(made.rows[0].left - 3600)).toBeLessThan(60)
    await at.close()
    await gone()
    await expect.poll(() => gateway.ledger.users.size, WAIT).toBe(0)
    expect(gateway.ledger.told.map(([what]) => what)).toEqual(['minted', 'dropped'])
    expect(gateway.reports).toEqual([])
  })

  once('are one for each grant', async () => {
    const gateway = await start()
    const [alice, bob] = [await gateway.connectAs('alice'), await gateway.connectAs('bob')]
    await Promise.all([connected(alice), connected(bob)])
    expect(await roles()).toHaveLength(2)
    await alice.close()
    await expect.poll(roles, WAIT).toHaveLength(1)
    await gateway.revoke(bob)
    await gone()
  })

  once(
    'have passwords that are nowhere: not in the database’s log, nor in recordings and reports',
    async () => {
      const invented: string[] = []
      const { invent } = POSTGRES_USERS
      const maker = POSTGRES_USERS as { invent: typeof invent }
      maker.invent = (...given) => {
        const credential = invent(...given)
        invented.push(credential.password)
        return credential
      }
      try {
        const gateway = await start()
        const at = await gateway.connectAs('alice')
        const client = await connected(at)
        await client.query('SELECT body FROM docs')
        await at.close()
        await gone()
        const log = postgres.log()
        expect(log).toContain("PASSWORD 'SCRAM-SHA-256$4096:")
        const [password = expect.fail('no password')] = invented
        const told = JSON.stringify([gateway.ledger.told, gateway.reports])
        for (const text of [log, told, readFileSync(at.recording, 'latin1')])
          expect(text).not.toContain(password)
      } finally {
        maker.invent = invent
      }
    },
  )

  it('leave what they made to the role that they were members of', async () => {
    const gateway = await start()
    const at = await gateway.connectAs('bob')
    const client = await connected(at)
    await client.query('CREATE TABLE made(id int PRIMARY KEY)')
    await client.query('INSERT INTO made VALUES (1)')
    // A transaction that holds a lock on what is to be given away.
    await client.query('BEGIN')
    await client.query('INSERT INTO made VALUES (2)')
    await at.close()
    await gone()
    const owner = await admin.query(
      "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'made'",
    )
    expect(owner.rows).toEqual([{ relowner: 'vgate_reader' }])
    expect((await admin.query('SELECT id FROM made')).rows).toEqual([{ id: 1 }])
    await admin.query('DROP TABLE made')
  })

  it('have their live connections ended before they are dropped', async () => {
    const query: SideQuery = async (text) =>
      (await own.query({ text, rowMode: 'array' })).rows as string[][]
    const { host, port } = postgres
    const own = new pg.Client({ host, port, database, user: 'vgate', password: 'vgate-own' })
    await own.connect()
    const credential = POSTGRES_USERS.invent('vg_', randomBytes)
    const user = { memberOf: ['vgate_reader'], grant: 'grt_1', lifeMs: 60_000, connections: 2 }
    await POSTGRES_USERS.create(query, credential, user, randomBytes)
    const { username: name, password } = credential
    const left = new pg.Client({ host, port, database, user: name, password })
    const ended = new Promise((resolve) => left.on('error', resolve))
    await left.connect()
    await left.query('BEGIN')
    // Another grant's is none of ours, whatever it is called.
    await POSTGRES_USERS.drop(query, { name, grant: 'grt_2', heir: 'vgate_reader' })
    expect(await roles()).toEqual([name])
    await POSTGRES_USERS.drop(query, { name, grant: 'grt_1', heir: 'vgate_reader' })
    expect(await ended).toMatchObject({ code: '57P01' })
    await POSTGRES_USERS.drop(query, { name, grant: 'grt_1', heir: 'vgate_reader' })
    await own.end()
  })

  once('are dropped by the next start where a gateway died, and no other’s are', async () => {
    const [dead, other] = [await start(), await start()]
    const [theirs, mine] = [await other.connectAs('alice'), await dead.connectAs('alice')]
    await Promise.all([connected(theirs), connected(mine)])
    const [kept] = [...other.ledger.users.keys()]
    const leftUsers = new Map(dead.ledger.users)
    expect(await roles()).toHaveLength(2)
    // The one that died drops nothing any more; its database may be down at first, too.
    const next = await start({ leftUsers })
    await next.dropLeftUsers()
    expect(await roles()).toEqual([kept])
    expect(next.ledger.told.map(([what]) => what)).toEqual(['dropped'])
    const still = await connected(theirs)
    expect((await still.query('SELECT body FROM docs')).rows).toHaveLength(1)
  })

  once('are tried again where the database is away, and dropped when it is back', async () => {
    const gateway = await start()
    const at = await gateway.connectAs('alice')
    await connected(at)
    await admin.end()
    await postgres.down()
    await at.close()
    await expect
      .poll(() => gateway.ledger.told.map(([what]) => what), WAIT)
      .toEqual(['minted', 'not_dropped'])
    await postgres.up()
    admin = await postgres.connect(database)
    await gone()
    await expect
      .poll(() => gateway.ledger.told.map(([what]) => what), WAIT)
      .toEqual(['minted', 'not_dropped', 'dropped'])
  })

  describe('that cannot be made say what lacks', () => {
    type Case = [string, Parameters<typeof start>[0], { message: RegExp; hint: RegExp }]
    const newer: Case[] = [
      [
        'a role that the gateway’s own user may not give away',
        { mint: { role: { memberOf: ['theirs'], prefix: 'vg_' } } },
        { message: /permission denied to grant role "theirs"/, hint: /WITH ADMIN OPTION/ },
      ],
    ]
    const cases: Case[] = [
      [
        'the privilege to make roles',
        { credential: { username: 'weak', password: 'weak-own' } },
        { message: /permission denied to create role/, hint: /CREATEROLE/ },
      ],
      [
        'a role that there is not',
        { mint: { role: { memberOf: ['no_such'], prefix: 'vg_' } } },
        { message: /role "no_such" does not exist/, hint: /CREATE ROLE/ },
      ],
      [
        'a role that leads to the gateway’s own user',
        { mint: { role: { memberOf: ['inside'], prefix: 'vg_' } } },
        { message: /inside|member of role/, hint: /own user|ADMIN OPTION/ },
      ],
      [
        'a superuser',
        { mint: { role: { memberOf: ['vgate_reader', 'postgres'], prefix: 'vg_' } } },
        { message: /"postgres" is a superuser/, hint: /privileges/ },
      ],
    ]
    it.each(kind === 'plain' ? cases : newer)('%s', async (_what, options, expected) => {
      const gateway = await start(options)
      const at = await gateway.connectAs('alice')
      const error = await connected(at).then(
        () => expect.fail('it was let in'),
        (refused: pg.DatabaseError) => refused,
      )
      expect(error).toMatchObject({ severity: 'FATAL', code: '08001' })
      expect(error.message).toMatch(expected.message)
      expect(error.hint).toMatch(expected.hint)
      await expect.poll(() => gateway.ledger.users.size, WAIT).toBe(0)
      expect(gateway.ledger.told.map(([what]) => what)).toContain('not_minted')
    })
  })

  once('that could not be made are made for the next connection where they can be', async () => {
    const gateway = await start({ mint: { role: { memberOf: ['later'], prefix: 'vg_' } } })
    const at = await gateway.connectAs('alice')
    await expect(connected(at)).rejects.toThrow('role "later" does not exist')
    await admin.query('CREATE ROLE later; GRANT SELECT ON docs TO later')
    const client = await connected(at)
    expect((await client.query('SELECT body FROM docs')).rows).toHaveLength(1)
    await at.close()
    await gone()
  })

  once.each([
    ['quotes', 'vg_"; DROP TABLE docs; --'],
    ['an apostrophe and a backslash', "vg_\\'x"],
    ['a dollar and a comment', 'vg_$$/*'],
    ['letters of two bytes', 'vg_äß'],
    ['capitals and spaces', 'vg_My Team'],
  ])('are called so, and do no more than that, by a prefix with %s', async (_what, prefix) => {
    const gateway = await start({ mint: { role: { memberOf: ['odd " ; name'], prefix } } })
    await admin.query('GRANT SELECT ON docs TO "odd "" ; name"')
    const at = await gateway.connectAs('alice')
    const client = await connected(at)
    const { rows } = await client.query('SELECT current_user::text AS own, body FROM docs')
    expect(rows).toEqual([{ own: expect.stringMatching(/^vg_/), body: 'one' }])
    expect(rows[0].own.slice(0, prefix.length)).toBe(prefix)
    await at.close()
    await gone()
  })

  once(
    'look names up where they themselves may, not where the gateway’s own user does',
    async () => {
      await admin.query(
        `ALTER ROLE vgate IN DATABASE "${database}" SET search_path = hidden, public`,
      )
      try {
        const gateway = await start()
        const at = await gateway.connectAs('alice')
        const client = await connected(at)
        expect((await client.query('SELECT body FROM docs')).rows).toEqual([{ body: 'one' }])
        await client.query('DISCARD ALL')
        expect((await client.query('SELECT body FROM docs')).rows).toEqual([{ body: 'one' }])
        const asked = await connected(at, { options: '-c search_path=hidden,public' })
        expect((await asked.query('SELECT body FROM docs')).rows).toEqual([{ body: 'one' }])
        await at.close()
        const judged = readFileSync(at.recording, 'utf8')
        expect(judged).toContain('"collection":"docs"')
        expect(judged).not.toContain('hidden.docs')
      } finally {
        await admin.query(`ALTER ROLE vgate IN DATABASE "${database}" RESET search_path`)
      }
    },
  )

  once('are not needed for that: a schema that may not be used is none of the path', async () => {
    await admin.query('CREATE SCHEMA locked; CREATE TABLE locked.docs(id int, body text)')
    await admin.query('GRANT SELECT ON docs TO vgate')
    const gateway = await startTestGateway({
      postgres,
      database,
      policy: POLICY,
      users: USERS,
      credential: { username: 'vgate', password: 'vgate-own' },
    })
    gateways.push(gateway)
    const at = await gateway.connectAs('alice')
    const client = await connected(at, { options: '-c search_path=locked,public' })
    expect((await client.query('SELECT body FROM docs')).rows).toEqual([{ body: 'one' }])
    await at.close()
    const judged = readFileSync(at.recording, 'utf8')
    expect(judged).toContain('"collection":"docs"')
    expect(judged).not.toContain('locked.docs')
  })
})
