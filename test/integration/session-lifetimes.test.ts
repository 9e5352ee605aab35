// How long a judgement lasts in a session of the real analysis before a real PostgreSQL: nothing is given on one that is
// over, and no two names that the server takes for one are two here.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { JudgeRequest, Ruling } from '../../src/core/adapter.js'
import { isOperation } from '../../src/core/operation.js'
import { PGVECTOR } from '../../src/databases/pgvector.js'
import { postgresFamily } from '../../src/protocol/postgres/family.js'
import { createAnalyzer } from '../../src/protocol/postgres/sql/analyzer.js'
import { AdapterServer, PORT_SECRET } from '../support/adapter-host.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'
import { errorFields, RawPostgres, type Reply } from '../support/raw-postgres.js'
import type { MessageStep } from '../support/raw-postgres-messages.js'

const SQL = `
  create table notes (id int primary key, body text);
  insert into notes select n, 'note ' || n from generate_series(1, 8) n;
  create table secrets (id int primary key, body text);
  insert into secrets select n, 'secret ' || n from generate_series(1, 8) n;
`

function judge(request: JudgeRequest): Ruling {
  const message = 'not for you'
  const refusal = { sqlstate: '42501', http: 403, grpc: 7, rule: 'test', message, hint: '' }
  const refused = request.operations.some(
    (one) =>
      !isOperation(one) || one.collections.some(({ collection }) => collection === 'secrets'),
  )
  if (refused && request.phase === 'execute') return { verdict: 'deny', refusal }
  const obligations = request.operations.map(() => ({ masks: [], record: 'text' as const }))
  return { verdict: 'permit', obligations }
}

describe.runIf(hasPostgres('plain'))('a judgement in a session', () => {
  let postgres: TestPostgres
  let server: AdapterServer
  let raw: RawPostgres
  let database: string

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    database = await postgres.createDatabase({ sql: SQL })
    const { host, port, superuser: user, password } = postgres
    server = await AdapterServer.start({
      family: postgresFamily(PGVECTOR.product, createAnalyzer(PGVECTOR.product)),
      upstream: { host, port, user, password },
      database,
      masker: { forField: () => ({ alwaysNull: true, mask: () => ({ value: null, masked: 1 }) }) },
      judge,
    })
  })
  afterAll(async () => {
    await server?.stop()
    await postgres?.stop()
  })
  beforeEach(async () => {
    raw = await RawPostgres.login({
      host: '127.0.0.1',
      port: server.port,
      user: 'anna',
      password: PORT_SECRET,
      database,
      timeoutMs: 30_000,
    })
    return () => raw.end()
  })

  /** Sends these messages and a Sync in one go; what came up to its end, or to the connection's. */
  async function segment(...steps: readonly MessageStep[]): Promise<readonly Reply[]> {
    const from = raw.replies.length
    for (const step of [...steps, { m: 'S' } as const]) raw.step(step)
    expect(await raw.waitFor('Z', from)).not.toBe('timeout')
    return raw.replies.slice(from)
  }
  const rowsIn = (replies: readonly Reply[]): number =>
    replies.filter(({ type }) => type === 'D').length
  const delivered = (): number => server.deliveries.reduce((sum, { rowCount }) => sum + rowCount, 0)

  /** A portal that gave one row before an error ended its run, and outlived the error behind a savepoint. */
  async function outlived(): Promise<void> {
    await raw.query('BEGIN')
    await segment(
      { m: 'P', name: 's', sql: 'SELECT body FROM notes' },
      { m: 'B', stmt: 's', portal: 'c' },
      { m: 'E', portal: 'c', max: 1 },
    )
    await raw.query('SAVEPOINT a')
  }
  const mistake: readonly MessageStep[] = [{ m: 'P', sql: 'SELECT 1/0' }, { m: 'B' }, { m: 'E' }]

  test('ends with an error, also for a portal that outlives the error', async () => {
    await outlived()
    await segment(...mistake)
    await raw.query('ROLLBACK TO a')
    const rows = delivered()
    const replies = await segment({ m: 'E', portal: 'c', max: 2 })
    expect(rowsIn(replies)).toBe(delivered() - rows)
  })

  test('is not outlived by rows that were asked for before the error was known', async () => {
    await outlived()
    const rows = delivered()
    const from = raw.replies.length
    for (const step of [...mistake, { m: 'S' } as const]) raw.step(step)
    raw.step({ m: 'Q', sql: 'ROLLBACK TO a' })
    raw.step({ m: 'E', portal: 'c', max: 2 })
    raw.step({ m: 'S' })
    const over = (): boolean =>
      raw.closed || raw.replies.slice(from).filter(({ type }) => type === 'Z').length === 3
    await expect.poll(over, { timeout: 30_000, interval: 5 }).toBe(true)
    expect(rowsIn(raw.replies.slice(from))).toBe(delivered() - rows)
  })

  test('is not carried over by a name that the server takes for another one', async () => {
    const long = 'n'.repeat(63)
    await segment({ m: 'P', name: `${long}1`, sql: 'SELECT 1' })
    await segment({ m: 'C', kind: 'S', name: `${long}2` })
    await segment({ m: 'P', name: `${long}3`, sql: "UPDATE secrets SET body = ''" })
    const replies = await segment({ m: 'B', stmt: `${long}1` }, { m: 'E' })
    const error = replies.find(({ type }) => type === 'E')
    expect(error && errorFields(error.body)['C']).toBe('42501')
    const admin = await postgres.connect(database)
    const { rows } = await admin.query("SELECT count(*)::int AS n FROM secrets WHERE body = ''")
    await admin.end()
    expect(rows).toEqual([{ n: 0 }])
  })

  test('is asked for by a name whose end only the server knows: the connection ends', async () => {
    raw.step({ m: 'P', name: '\u00e4'.repeat(40), sql: 'SELECT 1' })
    raw.step({ m: 'S' })
    expect(await raw.waitClosed()).toBe('found')
  })
})
