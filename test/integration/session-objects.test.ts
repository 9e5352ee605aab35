// Prepared statements and cursors of SQL and of the protocol, by the real analysis on a real PostgreSQL: a session
// with leave for everything looks like a direct one, and nothing that a name stands for runs unjudged.

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
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

  describe('judged', () => {
    let raw: RawPostgres
    beforeEach(async () => {
      await fresh()
      raw = await through()
      return () => raw.end()
    })
    const operations = () => server.requests.flatMap((request) => request.operations)
    const texts = () => server.requests.map((request) => request.text)
    const ssn = (operation: Operation): string | undefined =>
      operation.collections.some(({ collection }) => collection === 'docs') ? 'not docs' : undefined

    test.each<readonly [string, readonly Leg[]]>([
      ['EXECUTE', [[{ m: 'Q', sql: 'PREPARE p AS SELECT ssn FROM docs; EXECUTE p' }]]],
      [
        'Bind of what PREPARE made',
        [
          [{ m: 'Q', sql: 'PREPARE p AS SELECT ssn FROM docs' }],
          [{ m: 'B', stmt: 'p' }, { m: 'E' }, { m: 'S' }],
        ],
      ],
      [
        'EXECUTE of what Parse made',
        [
          [{ m: 'P', name: 'p', sql: 'SELECT ssn FROM docs' }, { m: 'S' }],
          [{ m: 'Q', sql: 'EXECUTE p' }],
        ],
      ],
      [
        'FETCH from a cursor',
        [[{ m: 'Q', sql: 'BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM docs; FETCH ALL FROM c' }]],
      ],
      [
        'a binary cursor',
        [
          [
            {
              m: 'Q',
              sql: 'BEGIN; DECLARE c BINARY CURSOR FOR SELECT ssn FROM docs; FETCH 3 FROM c',
            },
          ],
        ],
      ],
      [
        'Execute on a cursor of SQL',
        [
          [{ m: 'Q', sql: 'BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM docs' }],
          [{ m: 'E', portal: 'c', max: 2 }, { m: 'E', portal: 'c', max: 2 }, { m: 'S' }],
        ],
      ],
      [
        'FETCH from a portal of the protocol',
        [
          [{ m: 'Q', sql: 'BEGIN' }],
          [{ m: 'P', sql: 'SELECT ssn FROM docs' }, { m: 'B', portal: 'c' }, { m: 'S' }],
          [{ m: 'Q', sql: 'FETCH 2 FROM c' }],
        ],
      ],
      [
        'a cursor that outlives its transaction, read in binary',
        [
          [
            { m: 'P', sql: 'DECLARE c CURSOR WITH HOLD FOR SELECT ssn FROM docs' },
            { m: 'B' },
            { m: 'E' },
            { m: 'S' },
          ],
          [{ m: 'P', sql: 'FETCH ALL FROM c' }, { m: 'B', rfmt: [1] }, { m: 'E' }, { m: 'S' }],
        ],
      ],
      [
        'EXECUTE by messages',
        [
          [{ m: 'Q', sql: 'PREPARE p(int) AS SELECT ssn FROM docs WHERE id = $1' }],
          [
            { m: 'P', sql: 'EXECUTE p(3)' },
            { m: 'B' },
            { m: 'D', kind: 'P' },
            { m: 'E' },
            { m: 'S' },
          ],
        ],
      ],
    ])('a mask holds: %s', async (_, legs) => {
      const replies = []
      for (const steps of legs) replies.push(...(await leg(raw, steps)))
      expect(code(replies)).toBeUndefined()
      expect(data(replies)).toContain('[masked]')
      expect(Buffer.concat(raw.replies.map(({ body }) => body)).toString()).not.toContain('900-55')
      const recorded = server.deliveries.flatMap((delivery) => delivery.rows ?? [])
      expect(JSON.stringify(recorded)).toContain('[masked]')
    })

    test('whoever may no longer read cannot go on with what was prepared or declared before', async () => {
      await q(
        raw,
        'PREPARE p AS SELECT ssn FROM docs; BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM docs',
      )
      expect(code(await q(raw, 'FETCH 1 FROM c'))).toBeUndefined()
      refuses = ssn
      expect(code(await q(raw, 'FETCH 1 FROM c'))).toBe('42501')
      await q(raw, 'ROLLBACK')
      for (const text of ['EXECUTE p', 'EXPLAIN ANALYZE EXECUTE p', 'CREATE TABLE x AS EXECUTE p'])
        expect(code(await q(raw, text)), text).toBe('42501')
      expect(code(await leg(raw, [{ m: 'B', stmt: 'p' }, { m: 'E' }, { m: 'S' }]))).toBe('42501')
      for (const text of [
        'PREPARE r AS SELECT ssn FROM docs',
        'DECLARE c CURSOR FOR SELECT ssn FROM docs',
      ])
        expect(code(await q(raw, text)), text).toBe('42501')
    })

    test('a cursor is one read, however it is read', async () => {
      rows = 5
      const given = (replies: readonly Reply[]) => replies.filter(({ type }) => type === 'D').length
      const open = async (how = 'CURSOR'): Promise<void> => {
        await q(raw, `ROLLBACK; BEGIN; DECLARE c ${how} FOR SELECT id FROM notes`)
      }
      await open()
      expect(given(await q(raw, 'FETCH 3 FROM c'))).toBe(3)
      expect(given(await q(raw, 'FETCH 2 FROM c'))).toBe(2)
      const over = await q(raw, 'FETCH 1 FROM c')
      expect([given(over), code(over)]).toEqual([0, '53400'])
      await open()
      const all = await q(raw, 'FETCH ALL FROM c')
      expect([given(all), code(all)]).toEqual([5, '53400'])
      await open('SCROLL CURSOR')
      await q(raw, 'FETCH 3 FROM c')
      const back = await q(raw, 'FETCH BACKWARD ALL FROM c')
      expect([given(back), code(back)]).toEqual([2, undefined])
      const again = await q(raw, 'FETCH FORWARD ALL FROM c')
      expect([given(again), code(again)]).toEqual([0, '53400'])
      // Two in one go: the second is judged before the first has given anything.
      await open()
      const fetch: Leg = [{ m: 'P', sql: 'FETCH 4 FROM c' }, { m: 'B' }, { m: 'E' }]
      const piped = await leg(raw, [...fetch, ...fetch, { m: 'S' }])
      expect([given(piped), code(piped)]).toEqual([5, '53400'])
      // By messages and by SQL in turn.
      await open()
      await leg(raw, [{ m: 'E', portal: 'c', max: 3 }, { m: 'S' }])
      const rest = await q(raw, 'FETCH 3 FROM c')
      expect([given(rest), code(rest)]).toEqual([2, '53400'])
      await open()
      expect(code(await q(raw, 'MOVE ALL FROM c'))).toBeUndefined()
      // A bound in the query proves as much.
      await q(raw, 'ROLLBACK; BEGIN; DECLARE c CURSOR FOR SELECT id FROM notes LIMIT 5')
      expect(given(await q(raw, 'FETCH ALL FROM c'))).toBe(5)
    })

    test('what a request is includes what its names stand for', async () => {
      const exact = async (text: string): Promise<string | undefined> => {
        await q(raw, text)
        return server.requests.at(-1)?.exact?.()
      }
      const seen = [
        await exact('PREPARE p AS DELETE FROM notes WHERE id = 1'),
        await exact('EXECUTE p'),
      ]
      await q(raw, 'DEALLOCATE p')
      await exact('PREPARE p AS DELETE FROM notes')
      seen.push(await exact('EXECUTE p'))
      for (const table of ['notes', 'big']) {
        await exact(`ROLLBACK; BEGIN; DECLARE c CURSOR FOR SELECT id FROM ${table}`)
        seen.push(await exact('FETCH ALL FROM c'))
      }
      expect(new Set(seen).size).toBe(seen.length)
      expect(texts().filter((text) => text.includes('EXECUTE p'))).toEqual([
        '-- PREPARE p AS DELETE FROM notes WHERE id = 1\nEXECUTE p',
        '-- PREPARE p AS DELETE FROM notes\nEXECUTE p',
      ])
    })

    test('arguments count as the values of parameters', async () => {
      await q(raw, 'PREPARE p(int[]) AS DELETE FROM notes WHERE id = ANY($1)')
      const effect = async (args: string): Promise<unknown> => {
        await q(raw, `EXECUTE p(${args})`)
        const last = operations().at(-1)
        return last && isOperation(last) ? last.collections.at(-1)?.effect : last
      }
      expect(await effect("'{1,2,3}'")).toEqual({ kind: 'ids', count: 3 })
      expect(await effect('ARRAY[1, 2]')).toEqual({ kind: 'ids', count: 2 })
      expect(await effect("'{1}'::text::int[]")).toMatchObject({ kind: 'unknown' })
      expect(await effect('(SELECT array_agg(id) FROM docs)')).toMatchObject({
        reason: 'an argument of EXECUTE may not read anything',
      })
    })

    test('names that differ behind their 63rd byte are one name', async () => {
      const long = 'n'.repeat(63)
      await leg(raw, [{ m: 'P', name: `${long}1`, sql: 'SELECT 1' }, { m: 'S' }])
      await leg(raw, [{ m: 'C', kind: 'S', name: `${long}2` }, { m: 'S' }])
      await leg(raw, [{ m: 'P', name: `${long}3`, sql: 'SELECT ssn FROM docs' }, { m: 'S' }])
      refuses = ssn
      const replies = await leg(raw, [{ m: 'B', stmt: `${long}1` }, { m: 'E' }, { m: 'S' }])
      expect([code(replies), data(replies)]).toEqual(['42501', ''])
      expect(code(await q(raw, `EXECUTE ${long}`))).toBe('42501')
    })

    test('a name whose end only the server knows is refused', async () => {
      expect(code(await q(raw, 'PREPARE "\u00e4" AS SELECT 1'))).toBe('42501')
      expect(code(await q(raw, 'BEGIN; DECLARE "\u00e4" CURSOR FOR SELECT 1'))).toBe('42501')
      raw.step({ m: 'P', name: '\u00e4'.repeat(40), sql: 'SELECT 1' })
      raw.step({ m: 'S' })
      await expect.poll(() => raw.closed, { timeout: 20_000 }).toBe(true)
    })

    test('a portal does not run what its name stood for only later', async () => {
      await q(raw, 'BEGIN; PREPARE p AS SELECT id FROM notes')
      await leg(raw, [{ m: 'P', sql: 'EXECUTE p' }, { m: 'B', portal: 'x' }, { m: 'S' }])
      await q(raw, 'DEALLOCATE p; PREPARE p AS SELECT ssn FROM docs')
      const replies = await leg(raw, [{ m: 'E', portal: 'x' }, { m: 'S' }])
      expect([code(replies), data(replies)]).toEqual(['0A000', ''])
    })

    test('only queries are run or read through a name', async () => {
      await leg(raw, [{ m: 'P', name: 's', sql: 'SET application_name = x' }, { m: 'S' }])
      await leg(raw, [{ m: 'P', name: 'e', sql: 'EXECUTE s' }, { m: 'S' }])
      for (const text of ['EXECUTE s', 'EXECUTE e'])
        expect(code(await q(raw, text)), text).toBe('0A000')
      await leg(raw, [
        { m: 'Q', sql: 'BEGIN' },
        { m: 'P', sql: 'EXECUTE s' },
        { m: 'B', portal: 'y' },
        { m: 'S' },
      ])
      expect(code(await q(raw, 'FETCH 1 FROM y'))).toBe('0A000')
    })
  })

  describe('clients', () => {
    const bin = findPostgres().plain ?? ''
    const where = () => ['-h', '127.0.0.1', '-p', String(server.port), '-U', 'anna', database]
    const env = { ...process.env, PGPASSWORD: PORT_SECRET, PGSSLMODE: 'disable' }

    test('psql reads by cursor', async () => {
      const text = 'select id from big order by id'
      const args = ['-XAtq', '-v', 'FETCH_COUNT=1000', '-c', text, ...where()]
      const { stdout } = await run(join(bin, 'psql'), args, { env })
      expect(stdout.trim().split('\n')).toHaveLength(2500)
      const fetched = server.requests.filter(({ text: sent }) => /FETCH FORWARD 1000/.test(sent))
      expect(fetched).toHaveLength(3)
    })

    test.each(['simple', 'extended', 'prepared'])('pgbench, %s', async (mode) => {
      const folder = mkdtempSync(join(tmpdir(), 'vgate-pgbench-'))
      const script = join(folder, 'script')
      writeFileSync(
        script,
        `\\set id random(1, 8)
        UPDATE notes SET body = body WHERE id = :id;
        SELECT id FROM notes WHERE id = :id;`,
      )
      const args = ['-n', '-M', mode, '-t', '20', '-c', '2', '-f', script, ...where()]
      const { stdout } = await run(join(bin, 'pgbench'), args, { env })
      rmSync(folder, { recursive: true })
      expect(stdout).toContain('number of transactions actually processed: 40/40')
    })
  })
})
