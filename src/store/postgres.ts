// Owns the store's database on PostgreSQL: connections, their settings and limits, migrations, and the differences to the
// embedded one. It must never hand a driver's error to a caller, nor show anything of the connection URL.

import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely'
import pg from 'pg'
import { VgateError } from '../core/errors.js'
import type { Secret } from '../core/secret.js'
import { codeOf, POSTGRES, postgresError } from './postgres-errors.js'
import { awaitMigrations, type LockOptions, StoreLock } from './postgres-lock.js'
import { pendingMigrations, type Tables } from './schema.js'
import type { Run, StoreDatabase } from './store.js'

export interface PostgresSettings {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  /** Asked for at each connection, so that a rotated one counts. */
  password(): Secret<string>
  readonly tls: { readonly verify: 'off' } | { readonly verify: 'full'; readonly ca?: string }
}

/** Connections beside the one that holds the lock. */
export const POOL_SIZE = 10
const CONNECT_MS = 5_000
/** The server ends a statement after this time, and a wait for a row sooner. */
const STATEMENT_MS = 5_000
const LOCK_MS = 3_000
/** For a server that is silent: longer than the server's own limit. */
const ANSWER_MS = 6_000
const IDLE_MS = 60_000
/** Tries of a statement that PostgreSQL took back whole, because of others at the same time. */
const TRIES = 4
/** serialization_failure and deadlock_detected (PostgreSQL docs, "Serialization Failure Handling"). */
const TAKEN_BACK = ['40001', '40P01']
const INT8 = 20

/**
 * What the store relies on, whatever role or database say: each statement sees what others have committed; what was
 * acknowledged is on the disk; and the server lets go of a gateway whose machine is gone after some 25 s.
 */
const SESSION = `SELECT
  set_config('default_transaction_isolation', 'read committed', false),
  set_config('synchronous_commit', CASE current_setting('synchronous_commit')
    WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
  set_config('tcp_keepalives_idle', '10', false),
  set_config('tcp_keepalives_interval', '5', false),
  set_config('tcp_keepalives_count', '3', false),
  set_config('tcp_user_timeout', '25000', false),
  current_setting('server_encoding') AS encoding`

/** Opens the database, claims it for one gateway and brings its tables up to date. Rejects with VGATE_STORE_UNAVAILABLE. */
export async function openPostgres(
  settings: PostgresSettings,
  changed: LockOptions['changed'],
): Promise<StoreDatabase> {
  const lock = await StoreLock.take({
    connect: () => connectOne(settings),
    prepare: migrate,
    changed,
  })
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: openPool(settings) }) })
  const run: Run = async (query) => {
    for (let attempt = 1; ; attempt += 1) {
      lock.demand()
      try {
        return await query(db)
      } catch (error) {
        if (attempt >= TRIES || !TAKEN_BACK.includes(codeOf(error))) throw postgresError(error)
      }
    }
  }
  return {
    run,
    alone: (principal, query) =>
      run(() =>
        db.transaction().execute(async (transaction) => {
          // The next statement sees what whoever had the row before has written.
          await transaction
            .selectFrom('principals')
            .select('id')
            .where('id', '=', principal)
            .forNoKeyUpdate()
            .execute()
          return await query(transaction)
        }),
      ),
    close: async () => {
      await db.destroy()
      await lock.close()
    },
  }
}

function clientConfig(settings: PostgresSettings): pg.ClientConfig {
  const { host, port, database, user, tls } = settings
  return {
    host,
    port,
    database,
    user,
    password: () => settings.password().reveal(),
    ssl:
      tls.verify === 'off'
        ? false
        : {
            rejectUnauthorized: true,
            minVersion: 'TLSv1.2',
            ...(tls.ca === undefined ? {} : { ca: tls.ca }),
          },
    application_name: 'vgate',
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: STATEMENT_MS,
    lock_timeout: LOCK_MS,
    idle_in_transaction_session_timeout: STATEMENT_MS,
    query_timeout: ANSWER_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    types: { getTypeParser: parserOf },
  }
}

/** PostgreSQL's bigint comes as text; times and counts are numbers in the store, as libsql gives them. */
const parserOf: typeof pg.types.getTypeParser = (oid: number, format?: 'text' | 'binary') => {
  if (oid !== INT8) return pg.types.getTypeParser(oid, format as 'text')
  return (text: string) => {
    const value = Number(text)
    if (!Number.isSafeInteger(value)) throw new RangeError('a number is too large for the store')
    return value
  }
}

async function connectOne(settings: PostgresSettings): Promise<pg.Client> {
  const client = new pg.Client(clientConfig(settings))
  // Without a listener a broken connection would end the process; the lock hears of its end.
  client.on('error', () => undefined)
  await client.connect()
  await prepareSession(client)
  return client
}

async function prepareSession(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ encoding: string }>(SESSION)
  if (rows[0]?.encoding === 'UTF8') return
  throw new VgateError('VGATE_STORE_UNAVAILABLE', `${POSTGRES} does not keep text in UTF8`, {
    hint: "create its database with ENCODING 'UTF8'",
  })
}

/** The bounded pool as Kysely wants it. A connection that failed, rather than refused a statement, is never used again. */
export function openPool(settings: PostgresSettings): PostgresPool {
  const pool = new pg.Pool({
    ...clientConfig(settings),
    max: POOL_SIZE,
    idleTimeoutMillis: IDLE_MS,
    onConnect: prepareSession,
  })
  // An idle connection that breaks is dropped; the next query makes another.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))
  return {
    connect: async () => reusable(await pool.connect()),
    end: () => pool.end(),
  }
}

function reusable(client: pg.PoolClient): PostgresPoolClient {
  let broken = false
  const query = async (text: string, values: unknown[]): Promise<pg.QueryResult> => {
    try {
      return await client.query(text, values)
    } catch (error) {
      // Whatever the server did not say itself may leave an answer under way.
      broken ||= !(error instanceof pg.DatabaseError)
      throw error
    }
  }
  // Kysely's other form, with a cursor, is for streams, which the store has none of.
  return {
    query: query as unknown as PostgresPoolClient['query'],
    release: () => client.release(broken),
  }
}

async function migrate(client: pg.Client): Promise<void> {
  await client.query('BEGIN')
  try {
    await awaitMigrations(client)
    await client.query('CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)')
    const { rows } = await client.query<{ version: number | null }>(
      'SELECT max(version) AS version FROM schema_version',
    )
    for (const { version, statements } of pendingMigrations(rows[0]?.version ?? 0, POSTGRES)) {
      for (const statement of statements) await client.query(statement)
      await client.query('INSERT INTO schema_version (version) VALUES ($1)', [version])
    }
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw error
  }
}
