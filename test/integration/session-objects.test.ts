// Prepared statements and cursors of SQL and of the protocol, by the real analysis on a real PostgreSQL: a session
// with leave for everything looks like a direct one, and nothing that a name stands for runs unjudged.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { JudgeRequest, Ruling } from '../../src/core/adapter.js'
import type { Obligations } from '../../src/core/decision.js'
import type { MaskerFactory } from '../../src/core/masker.js'
import { isOperation, type Operation } from '../../src/core/operation.js'
import { PGVECTOR } from '../../src/databases/pgvector.js'
import { postgresFamily } from '../../src/protocol/postgres/family.js'
import { createAnalyzer } from '../../src/protocol/postgres/sql/analyzer.js'
import { AdapterServer, PORT_SECRET } from '../support/adapter-host.js'
import { findPostgres, hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { errorFields, RawPostgres, type Reply } from '../support/raw-postgres.js'
import { type Leg, readies, walk } from '../support/session-walk.js'

const run = promisify(execFile)
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
let refuses: (operation: Operation, request: JudgeRequest) => string | undefined
let rows: number | undefined

function obligations(operation: Operation): Obligations {
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
  return { masks, record: 'text', ...(limited ? { rowLimit } : {}) }
}

function judge(request: JudgeRequest): Ruling {
  const deny = (message: string): Ruling => ({
    verdict: 'deny',
    refusal: { sqlstate: '42501', http: 403, grpc: 7, rule: 'test', message, hint: '' },
  })
  const found: Obligations[] = []
  for (const operation of request.operations) {
    if (!isOperation(operation)) {
      const { serverError } = operation
      const { message = operation.reason, sqlstate = '42501' } = serverError ?? {}
      return {
        verdict: 'deny',
        refusal: { sqlstate, http: 403, grpc: 7, rule: '', message, hint: '' },
      }
    }
    const why = refuses(operation, request)
    if (why !== undefined) return deny(why)
    found.push(obligations(operation))
  }
  return { verdict: 'permit', obligations: found }
}

describe.runIf(hasPostgres('plain'))('names of a session', () => {
  let postgres: TestPostgres
  let server: AdapterServer
  let database: string
  let admin: pg.Client

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    database = await postgres.createDatabase({ sql: SQL })
    admin = await postgres.connect(database)
    const { host, port, superuser: user, password } = postgres
    server = await AdapterServer.start({
      family: postgresFamily(PGVECTOR.product, createAnalyzer(PGVECTOR.product)),
      upstream: { host, port, user, password },
      database,
      masker,
      judge,
    })
  })
  afterAll(async () => {
    await server?.stop()
    await admin?.end()
    await postgres?.stop()
  })
  beforeEach(() => {
    refuses = () => undefined
    rows = undefined
    server.requests.length = 0
    server.deliveries.length = 0
  })

  const fresh = async (): Promise<void> => {
    await admin.query(
      "truncate notes; insert into notes select n, 'note ' || n from generate_series(1, 8) n",
    )
  }
  const through = (): Promise<RawPostgres> =>
    RawPostgres.login({
      host: '127.0.0.1',
      port: server.port,
      user: 'anna',
      password: PORT_SECRET,
      database,
      timeoutMs: 30_000,
    })
  const direct = (): Promise<RawPostgres> =>
    RawPostgres.login({
      host: postgres.host,
      port: postgres.port,
      user: postgres.superuser,
      password: postgres.password,
      database,
      timeoutMs: 30_000,
    })

  async function leg(raw: RawPostgres, steps: Leg): Promise<readonly Reply[]> {
    const from = raw.replies.length
    for (const step of steps) raw.step(step)
    const seen = () => raw.replies.slice(from).filter(({ type }) => type === 'Z').length
    await expect.poll(seen, { timeout: 30_000, interval: 1 }).toBe(readies(steps))
    return raw.replies.slice(from)
  }
  const q = (raw: RawPostgres, sql: string): Promise<readonly Reply[]> =>
    leg(raw, [{ m: 'Q', sql }])
  /** Errors by code and message, everything else byte for byte. */
  const told = (replies: readonly Reply[]): readonly string[] =>
    replies
      .filter(({ type }) => type !== 'S' && type !== 'N')
      .map(({ type, body }) => {
        if (type !== 'E') return `${type} ${body.toString('latin1')}`
        const { C, M } = errorFields(body)
        return `E ${C} ${M}`
      })
  const code = (replies: readonly Reply[]): string | undefined => {
    const error = replies.find(({ type }) => type === 'E')
    return error && errorFields(error.body)['C']
  }
  const data = (replies: readonly Reply[]): string =>
    Buffer.concat(replies.filter(({ type }) => type === 'D').map(({ body }) => body)).toString()

  test('with leave for everything, a random session looks like a direct one', async () => {
    await fc.assert(
      fc.asyncProperty(walk, async (legs) => {
        await fresh()
        const plain = await direct()
        const expected: (readonly string[])[] = []
        for (const steps of legs) expected.push(told(await leg(plain, steps)))
        const left = (await admin.query('select * from notes order by id')).rows
        plain.end()
        await fresh()
        const judged = await through()
        for (const [index, steps] of legs.entries())
          expect(told(await leg(judged, steps)), JSON.stringify(steps)).toEqual(expected[index])
        judged.end()
        expect((await admin.query('select * from notes order by id')).rows).toEqual(left)
      }),
      { seed: 5, numRuns: Number(process.env['WALKS'] ?? 12), endOnFailure: true },
    )
  }, 120_000)
})
