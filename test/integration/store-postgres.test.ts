// Owns the proof that the store on PostgreSQL does what the embedded one does, belongs to one gateway at a time, fails
// closed while the database is away and comes back by itself.

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { VgateError } from '../../src/core/errors.js'
import { Secret } from '../../src/core/secret.js'
import { openPostgresStore } from '../../src/store/open.js'
import { openPool, type PostgresSettings } from '../../src/store/postgres.js'
import { MIGRATIONS } from '../../src/store/schema.js'
import type { Store } from '../../src/store/store.js'
import { selfSignedCertificate } from '../support/certificates.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { storeRaces } from '../support/store-races.js'
import { ana, bob, grantOf, type OpenedStore, storeBehaviour } from '../support/store-suite.js'

const WAIT = { timeout: 25_000, interval: 50 }

describe.skipIf(!hasPostgres('plain'))('the store on PostgreSQL', () => {
  let postgres: TestPostgres
  const stores: Store[] = []

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
  })
  afterEach(async () => {
    await Promise.all(stores.splice(0).map((store) => store.close()))
  })
  afterAll(async () => {
    await postgres?.stop()
  })

  const settingsOf = (over: Partial<PostgresSettings> = {}): PostgresSettings => ({
    host: postgres.host,
    port: postgres.port,
    database: 'postgres',
    user: postgres.superuser,
    password: () => new Secret(postgres.password),
    tls: { verify: 'off' },
    ...over,
  })
  const open = async (
    over: Partial<PostgresSettings> = {},
    more: Partial<Parameters<typeof openPostgresStore>[0]> = {},
  ): Promise<Store> => {
    const store = await openPostgresStore({
      directory: mkdtempSync(join(tmpdir(), 'vgate-store-')),
      clock: { now: () => 1_000_000 },
      settings: settingsOf(over),
      ...more,
    })
    stores.push(store)
    return store
  }
  const fresh = async (): Promise<OpenedStore> => {
    const database = await postgres.createDatabase()
    const clock = { at: 1_000_000, now: () => clock.at }
    const store = await open({ database }, { clock })
    const reopen = async () => {
      await store.close()
      stores.splice(stores.indexOf(store), 1)
      return await open({ database }, { clock })
    }
    return { store, clock, reopen }
  }
  /** What a person and the log are told; the whole of it must hold nothing of the connection. */
  const refusal = async (opening: Promise<unknown>): Promise<string> => {
    const error = await opening.then(
      () => new Error('it was opened'),
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(VgateError)
    if (!(error instanceof VgateError)) throw error
    expect(error.code).toBe('VGATE_STORE_UNAVAILABLE')
    expect(error.hint).toBeTruthy()
    const all = inspect(error, { depth: 20, showHidden: true })
    for (const secret of [postgres.password, 'planted', postgres.host, String(postgres.port)])
      expect(all).not.toContain(secret)
    return error.message
  }
  /** Ends the connection that holds the store's lock, once `waiting` others wait for it. */
  const cutLock = async (database: string, waiting = 0): Promise<void> => {
    const admin = await postgres.connect(database)
    const locks = `FROM pg_locks l JOIN pg_database d ON d.oid = l.database
      WHERE l.locktype = 'advisory' AND d.datname = current_database()`
    const waits = `SELECT 1 ${locks} AND NOT granted`
    await vi.waitFor(async () => expect((await admin.query(waits)).rowCount).toBe(waiting), WAIT)
    const cut = await admin.query(`SELECT pg_terminate_backend(l.pid) ${locks} AND granted`)
    expect(cut.rowCount).toBe(1)
    await admin.end()
  }

  storeBehaviour(fresh)
  storeRaces(fresh)

  describe('belongs to one gateway at a time', () => {
    it('refuses a second one, by name, until the first is gone', async () => {
      const database = await postgres.createDatabase()
      const first = await open({ database })
      expect(await refusal(open({ database }))).toBe(
        'the store (PostgreSQL) is in use by another gateway',
      )
      await first.close()
      stores.length = 0
      expect(await (await open({ database })).findGrant('grt_1')).toBeUndefined()
    })

    it('lets one of two in that start at the same moment, and makes the tables once', async () => {
      const database = await postgres.createDatabase()
      const both = await Promise.allSettled([open({ database }), open({ database })])
      expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    })

    it('locks the data directory as well', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'vgate-store-'))
      await open({ database: await postgres.createDatabase() }, { directory })
      const other = open({ database: await postgres.createDatabase() }, { directory })
      expect(await refusal(other)).toBe('the data directory is in use by another process')
    })

    it('fails closed when its lock is lost, and takes it again', async () => {
      const database = await postgres.createDatabase()
      const heard: string[] = []
      const changed = (event: string, why?: VgateError) => heard.push(`${event} ${why?.code ?? ''}`)
      const store = await open({ database }, { changed })
      await cutLock(database)
      await vi.waitFor(
        () => expect(heard).toEqual(['store.lost VGATE_STORE_UNAVAILABLE', 'store.regained ']),
        WAIT,
      )
      expect(await store.upsertPrincipal(ana)).toBe(true)
    })

    it('stays closed while another gateway has what it lost', async () => {
      const database = await postgres.createDatabase()
      const store = await open({ database })
      // The other one waits in line for the lock when the first loses it.
      const other = open({ database })
      await cutLock(database, 1)
      const second = await other
      await vi.waitFor(async () => {
        const message = await refusal(store.findGrant('grt_1'))
        expect(message).toBe('the store (PostgreSQL) is in use by another gateway')
      }, WAIT)
      expect(await second.upsertPrincipal(ana)).toBe(true)
      stores.splice(stores.indexOf(second), 1)
      await second.close()
      await vi.waitFor(async () => expect(await store.isPrincipalActive(ana.id)).toBe(true), WAIT)
    })
  })

  describe('refuses, saying why and nothing of the connection', () => {
    it('a server that is not there', async () => {
      const message = await refusal(open({ port: 1 }))
      expect(message).toBe('the store (PostgreSQL) cannot be reached (ECONNREFUSED)')
    })

    it('a wrong password, and a password that cannot be had any more', async () => {
      const wrong = open({ password: () => new Secret('planted') })
      expect(await refusal(wrong)).toBe('the store (PostgreSQL) refuses the login (28P01)')
      const none = open({
        password: () => {
          throw new VgateError('VGATE_CONFIG_INVALID', 'env:X is not set')
        },
      })
      expect(await refusal(none)).toBe(
        'the store (PostgreSQL) cannot be reached: its URL cannot be read any more',
      )
    })

    it('a database that does not exist', async () => {
      const message = await refusal(open({ database: 'planted' }))
      expect(message).toBe('the store (PostgreSQL) does not exist (3D000)')
    })

    it('a user who may not', async () => {
      const sql = `CREATE ROLE planted LOGIN PASSWORD 'planted-password'; REVOKE CREATE ON SCHEMA public FROM PUBLIC`
      const database = await postgres.createDatabase({ sql })
      const password = () => new Secret('planted-password')
      const message = await refusal(open({ database, user: 'planted', password }))
      expect(message).toBe('the store (PostgreSQL) cannot be used: permission denied (42501)')
    })

    it('a database that is read only', async () => {
      const database = await postgres.createDatabase()
      const admin = await postgres.connect(database)
      await admin.query(`ALTER DATABASE "${database}" SET default_transaction_read_only = on`)
      await admin.end()
      const message = await refusal(open({ database }))
      expect(message).toBe('the store (PostgreSQL) cannot be written: it is read only (25006)')
    })

    it('a database that does not keep every text', async () => {
      const admin = await postgres.connect('postgres')
      await admin.query(`CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0`)
      await admin.end()
      const message = await refusal(open({ database: 'ascii' }))
      expect(message).toBe('the store (PostgreSQL) does not keep text in UTF8')
    })

    it('tables of a newer version', async () => {
      const database = await postgres.createDatabase({
        sql: 'CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (99)',
      })
      expect(await refusal(open({ database }))).toBe(
        `the store (PostgreSQL) was written by a newer vgate (schema 99, known ${MIGRATIONS.length})`,
      )
    })

    it('a server without TLS when TLS is asked for', async () => {
      const message = await refusal(open({ tls: { verify: 'full' } }))
      expect(message).toBe('the store (PostgreSQL) offers no TLS')
    })
  })

  it('tries a statement again that PostgreSQL took back because of others', async () => {
    const database = await postgres.createDatabase()
    const store = await open({ database })
    const admin = await postgres.connect(database)
    // A sequence is not rolled back: the first two updates fail, the third succeeds.
    await admin.query(`CREATE SEQUENCE tries; CREATE FUNCTION taken_back() RETURNS trigger AS $$
      BEGIN IF nextval('tries') < 3 THEN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END IF; RETURN NEW; END
      $$ LANGUAGE plpgsql; CREATE TRIGGER t BEFORE UPDATE ON grants FOR EACH ROW EXECUTE FUNCTION taken_back()`)
    await store.upsertPrincipal(ana)
    await store.createGrant(grantOf(ana, 'grt_1'), 'hash')
    expect(await store.revokeGrant('grt_1', bob.id, 'left')).toBe(true)
    expect((await admin.query('SELECT last_value FROM tries')).rows[0].last_value).toBe('3')
    await admin.end()
  })

  it('acknowledges only what is on the disk, whatever the server is set to', async () => {
    const pool = openPool(settingsOf())
    const client = await pool.connect()
    const shown = async (name: string) => (await client.query(`SHOW ${name}`, [])).rows[0]
    const admin = await postgres.connect('postgres')
    expect((await admin.query('SHOW synchronous_commit')).rows[0]).toEqual({
      synchronous_commit: 'off',
    })
    await admin.end()
    expect(await shown('synchronous_commit')).toEqual({ synchronous_commit: 'on' })
    expect(await shown('statement_timeout')).toEqual({ statement_timeout: '5s' })
    client.release()
    await pool.end()
  })

  it('takes a password that was changed meanwhile', async () => {
    const database = await postgres.createDatabase()
    const admin = await postgres.connect(database)
    await admin.query(`CREATE ROLE rotated SUPERUSER LOGIN PASSWORD 'one'`)
    let password = 'one'
    const store = await open({ database, user: 'rotated', password: () => new Secret(password) })
    await admin.query(`ALTER ROLE rotated PASSWORD 'two'`)
    password = 'two'
    await admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'`,
    )
    await admin.end()
    await vi.waitFor(async () => expect(await store.upsertPrincipal(ana)).toBe(true), WAIT)
  })

  describe('with TLS', () => {
    const { cert, key } = selfSignedCertificate()
    let secured: TestPostgres
    beforeAll(async () => {
      secured = await startPostgres({ kind: 'plain', tls: { cert, key } })
    })
    afterAll(async () => {
      await secured?.stop()
    })
    const at = (tls: PostgresSettings['tls'], host = secured.host) =>
      open({ host, port: secured.port, password: () => new Secret(secured.password), tls })

    it('connects to a server that the given authority proves', async () => {
      const store = await at({ verify: 'full', ca: cert })
      expect(await store.upsertPrincipal(ana)).toBe(true)
    })

    it('refuses a server that nobody proves, one of another name, and none', async () => {
      const untrusted = 'the store (PostgreSQL) shows a certificate that cannot be verified'
      expect(await refusal(at({ verify: 'full' }))).toContain(untrusted)
      expect(await refusal(at({ verify: 'full', ca: cert }, '127.0.0.2'))).toMatch(
        /cannot be (verified|reached)/,
      )
      expect(await refusal(at({ verify: 'off' }))).toContain('refuses the login (28000)')
    })
  })

  // Last, for every client of the server is cut.
  it('fails closed while the database is away, and comes back by itself', async () => {
    const database = await postgres.createDatabase()
    const store = await open({ database })
    await store.upsertPrincipal(ana)
    await Promise.all(Array.from({ length: 20 }, () => store.isPrincipalActive(ana.id)))
    await postgres.down()
    await vi.waitFor(async () => {
      expect(await refusal(store.isPrincipalActive(ana.id))).toContain('cannot be reached')
    }, WAIT)
    const refused = await Promise.allSettled(
      Array.from({ length: 100 }, () => store.upsertPrincipal(bob)),
    )
    expect(refused.every(({ status }) => status === 'rejected')).toBe(true)
    await postgres.up()
    await vi.waitFor(async () => expect(await store.isPrincipalActive(ana.id)).toBe(true), WAIT)
    expect(await store.isPrincipalActive(bob.id)).toBe(false)
  })
})
