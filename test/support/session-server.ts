// Owns the adapter with the real analysis before a real PostgreSQL for tests of a session's names: a judge that lets
// everything pass but what the test refuses, masks `ssn`, and limits reads where the test says so.

import type pg from 'pg'
import { expect } from 'vitest'
import type { JudgeRequest, Ruling } from '../../src/core/adapter.js'
import type { Obligations } from '../../src/core/decision.js'
import type { MaskerFactory } from '../../src/core/masker.js'
import { isOperation, type Operation } from '../../src/core/operation.js'
import { PGVECTOR } from '../../src/databases/pgvector.js'
import { postgresFamily } from '../../src/protocol/postgres/family.js'
import { createAnalyzer } from '../../src/protocol/postgres/sql/analyzer.js'
import { AdapterServer, PORT_SECRET } from './adapter-host.js'
import { type PostgresKind, startPostgres, type TestPostgres } from './postgres.js'
import { errorFields, RawPostgres, type Reply } from './raw-postgres.js'
import { type Leg, readies } from './session-walk.js'

const SQL = `
  create table notes (id int primary key, body text);
  insert into notes select n, 'note ' || n from generate_series(1, 8) n;
  create table docs (id int primary key, ssn text);
  insert into docs select n, '900-55-' || n from generate_series(1, 8) n;
  create table big (id int primary key);
  insert into big select generate_series(1, 2500);
`
const masker: MaskerFactory = {
  forField: () => ({ alwaysNull: false, mask: () => ({ value: '[masked]', masked: 1 }) }),
}

/** What the judge says; a test may change it. */
export const rules: {
  refuses: (operation: Operation) => string | undefined
  /** Where a read that proves no smaller bound ends. */
  rows: number | undefined
  /** Where a result ends by its size. */
  bytes: number | undefined
} = { refuses: () => undefined, rows: undefined, bytes: undefined }

function obligations(operation: Operation): Obligations {
  const { rows } = rules
  const masks = operation.fields
    .filter(({ field, how }) => field === 'ssn' && how === 'output')
    .map(({ collection, field }) => ({
      collection,
      field,
      transforms: [{ kind: 'value', with: 'redact' }] as const,
      scores: 'exact' as const,
      rule: 'mask',
    }))
  const { rows: most } = operation.returns
  const past = rows !== undefined && (most === 'unbounded' || most > rows)
  const limited = past && operation.collections.length > 0
  const rowLimit = { rows: rows ?? 0, rule: 'limits.rows', because: 'limit' } as const
  const sized = rules.bytes !== undefined && most !== 0 && operation.collections.length > 0
  const byteLimit = { bytes: rules.bytes ?? 0, rule: 'limits.bytes' }
  return {
    masks,
    record: 'text',
    ...(limited ? { rowLimit } : {}),
    ...(sized ? { byteLimit } : {}),
  }
}

function judge(request: JudgeRequest): Ruling {
  const deny = (message: string): Ruling => ({
    verdict: 'deny',
    refusal: { sqlstate: '42501', http: 403, grpc: 7, rule: 'test', message, hint: '' },
  })
  const found: Obligations[] = []
  for (const operation of request.operations) {
    if (!isOperation(operation)) {
      const { serverError, reason: message } = operation
      const answer = serverError === undefined ? {} : { serverError }
      const said = { sqlstate: '42501', http: 403, grpc: 7, rule: '', message, hint: '' }
      return { verdict: 'deny', refusal: { ...said, ...answer } }
    }
    const why = rules.refuses(operation)
    if (why !== undefined) return deny(why)
    found.push(obligations(operation))
  }
  return { verdict: 'permit', obligations: found }
}

export interface SessionServer {
  readonly postgres: TestPostgres
  readonly server: AdapterServer
  readonly database: string
  /** A client of the superuser. */
  readonly admin: pg.Client
  /** Puts the table `notes` back as it was. */
  fresh(): Promise<void>
  /** Logs in through the adapter, or straight. */
  through(options?: string): Promise<RawPostgres>
  direct(options?: string): Promise<RawPostgres>
  /** All rows of `notes`. */
  notes(): Promise<unknown>
  stop(): Promise<void>
}

/** Starts both. `more` is run in the new database too. */
export async function startSessionServer(
  more = '',
  kind: PostgresKind = 'plain',
): Promise<SessionServer> {
  const postgres = await startPostgres({ kind })
  const database = await postgres.createDatabase({ sql: SQL + more })
  const admin = await postgres.connect(database)
  const { host, port, superuser: user, password } = postgres
  const server = await AdapterServer.start({
    family: postgresFamily(PGVECTOR.product, createAnalyzer(PGVECTOR.product)),
    upstream: { host, port, user, password },
    database,
    masker,
    judge,
  })
  const login = { database, timeoutMs: 30_000 }
  return {
    postgres,
    server,
    database,
    admin,
    fresh: async () => {
      await admin.query(
        "truncate notes; insert into notes select n, 'note ' || n from generate_series(1, 8) n",
      )
    },
    through: (options) =>
      RawPostgres.login({
        host: '127.0.0.1',
        port: server.port,
        user: 'anna',
        password: PORT_SECRET,
        ...login,
        ...(options === undefined ? {} : { options }),
      }),
    direct: (options) =>
      RawPostgres.login({
        ...{ host, port, user, password, ...login },
        ...(options === undefined ? {} : { options }),
      }),
    notes: async () => (await admin.query('select * from notes order by id')).rows,
    stop: async () => {
      await server.stop()
      await admin.end()
      await postgres.stop()
    },
  }
}

/** Sends these messages in one go and waits for every answer. */
export async function leg(raw: RawPostgres, steps: Leg): Promise<readonly Reply[]> {
  const from = raw.replies.length
  for (const step of steps) raw.step(step)
  const seen = () => raw.replies.slice(from).filter(({ type }) => type === 'Z').length
  await expect.poll(seen, { timeout: 30_000, interval: 1 }).toBe(readies(steps))
  return raw.replies.slice(from)
}

/** One Query. */
export const q = (raw: RawPostgres, sql: string): Promise<readonly Reply[]> =>
  leg(raw, [{ m: 'Q', sql }])

/** Errors by code and message, everything else byte for byte. */
export const told = (replies: readonly Reply[]): readonly string[] =>
  replies
    .filter(({ type }) => type !== 'S' && type !== 'N')
    .map(({ type, body }) => {
      if (type !== 'E') return `${type} ${body.toString('latin1')}`
      const { C, M } = errorFields(body)
      return `E ${C} ${M}`
    })

/** SQLSTATE of the first error. */
export const code = (replies: readonly Reply[]): string | undefined => {
  const error = replies.find(({ type }) => type === 'E')
  return error && errorFields(error.body)['C']
}

/** The rows as they came. */
export const data = (replies: readonly Reply[]): string =>
  Buffer.concat(replies.filter(({ type }) => type === 'D').map(({ body }) => body)).toString()
