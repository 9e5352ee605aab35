// limits.bytes on a real PostgreSQL, in every form of the protocol: what fits is what it is without a gateway, what does
// not fails where the database would have failed it, and never more leaves than the limit.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { hasPostgres } from '../support/postgres.js'
import { errorFields, type RawPostgres, type Reply } from '../support/raw-postgres.js'
import {
  code,
  leg,
  q,
  rules,
  type SessionServer,
  startSessionServer,
  told,
} from '../support/session-server.js'
import type { Leg } from '../support/session-walk.js'

const run = (sql: string): Leg => [{ m: 'P', sql }, { m: 'B' }, { m: 'D', kind: 'P' }, { m: 'E' }]
const SYNC: Leg = [{ m: 'S' }]
const BIG = 'SELECT id FROM big ORDER BY id'
const LIMIT = 4000

/** Rows as the protocol carries them. */
const sent = (replies: readonly Reply[]): number =>
  replies.filter(({ type }) => type === 'D').reduce((sum, { body }) => sum + body.length + 5, 0)
const status = (replies: readonly Reply[]) => replies.at(-1)?.body.toString()
const message = (replies: readonly Reply[]) => {
  const error = replies.find(({ type }) => type === 'E')
  return error && errorFields(error.body)['M']
}

const kinds = (['plain', '18'] as const).filter(hasPostgres)
describe.each(kinds)('limits.bytes on the %s server', (kind) => {
  let at: SessionServer
  let raw: RawPostgres
  beforeAll(async () => {
    at = await startSessionServer('', kind)
  })
  afterAll(() => at?.stop())
  beforeEach(async () => {
    rules.refuses = () => undefined
    rules.rows = undefined
    rules.bytes = LIMIT
    at.server.deliveries.length = 0
    await at.fresh()
    raw = await at.through()
    return () => raw.end()
  })

  test.each<readonly [string, readonly Leg[]]>([
    ['a Query', [[{ m: 'Q', sql: BIG }]]],
    ['messages', [[...run(BIG), ...SYNC]]],
    [
      'pages of Execute',
      [
        [
          { m: 'P', sql: BIG },
          { m: 'B', portal: 'c' },
          { m: 'E', portal: 'c', max: 64 },
          { m: 'E', portal: 'c', max: 200 },
          { m: 'E', portal: 'c', max: 1 },
          { m: 'E', portal: 'c', max: 0 },
          { m: 'S' },
        ],
      ],
    ],
    [
      'cursors',
      [
        [{ m: 'Q', sql: `BEGIN; DECLARE c SCROLL CURSOR FOR ${BIG}` }],
        [{ m: 'Q', sql: 'FETCH 100 FROM c' }],
        [...run('FETCH 70 FROM c'), ...run('MOVE BACKWARD 10 FROM c'), ...SYNC],
        [{ m: 'Q', sql: 'FETCH 3 FROM c; FETCH 65 FROM c' }],
        [{ m: 'Q', sql: 'COMMIT' }],
      ],
    ],
    [
      'what writes and returns',
      [
        [
          {
            m: 'Q',
            sql: "INSERT INTO notes SELECT n, 'x' FROM generate_series(100, 399) n RETURNING id",
          },
        ],
        [...run("UPDATE notes SET body = 'y' WHERE id > 90 RETURNING id"), ...SYNC],
        [
          {
            m: 'Q',
            sql: 'WITH gone AS (DELETE FROM notes WHERE id > 90 RETURNING id) SELECT * FROM gone',
          },
        ],
      ],
    ],
    ['plans', [[{ m: 'Q', sql: 'EXPLAIN (COSTS OFF) SELECT id FROM big' }]]],
    ['names', [[{ m: 'Q', sql: `PREPARE p AS ${BIG}` }], [{ m: 'Q', sql: 'EXECUTE p' }]]],
    ['several reads of one message', [[{ m: 'Q', sql: `${BIG} LIMIT 3; SELECT 1; ${BIG}` }]]],
    ['an error in the middle', [[{ m: 'Q', sql: 'SELECT 10 / (100 - id) FROM big ORDER BY id' }]]],
    [
      'no rows',
      [[{ m: 'Q', sql: `${BIG} LIMIT 0` }], [...run('SELECT id FROM notes WHERE id < 0'), ...SYNC]],
    ],
  ])('what fits is as it is without: %s', async (_, legs) => {
    rules.bytes = 200_000
    const other = await at.direct()
    const seen: unknown[] = []
    for (const one of [other, raw]) {
      await at.fresh()
      const answers: unknown[] = []
      for (const each of legs) answers.push(told(await leg(one, each)))
      seen.push([answers, await at.notes()])
    }
    other.end()
    expect(seen[1]).toEqual(seen[0])
  })

  test.each<readonly [string, Leg]>([
    ['a Query', [{ m: 'Q', sql: BIG }]],
    ['messages', [...run(BIG), ...SYNC]],
    ['several reads', [{ m: 'Q', sql: `SELECT 1; ${BIG}; SELECT id FROM notes` }]],
  ])('what does not fit fails: %s', async (_, steps) => {
    const replies = await leg(raw, steps)
    // Another statement's row may stand before it.
    expect(sent(replies)).toBeLessThanOrEqual(LIMIT + 12)
    // There was no room for another.
    expect(sent(replies)).toBeGreaterThan(LIMIT - 20)
    expect([code(replies), message(replies), status(replies)]).toEqual([
      '53400',
      'the result went past 4000 bytes (limits.bytes)',
      'I',
    ])
    expect(told(await q(raw, 'SELECT count(*) FROM notes'))[1]).toContain('8')
    const given = at.server.deliveries.filter(({ bytes }) => bytes > 0)
    expect(given.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(LIMIT + 40)
  })

  test('in a transaction the transaction fails', async () => {
    for (const sql of [BIG, `SELECT 1; ${BIG}; INSERT INTO notes VALUES (701, 'x')`]) {
      await q(raw, "BEGIN; INSERT INTO notes VALUES (700, 'x')")
      const replies = await q(raw, sql)
      expect([code(replies), status(replies)], sql).toEqual(['53400', 'E'])
      expect(sent(replies)).toBeLessThanOrEqual(LIMIT + 20)
      expect(code(await q(raw, 'SELECT 1'))).toBe('25P02')
      await q(raw, 'COMMIT')
      expect(await at.notes()).toHaveLength(8)
    }
  })

  test('pages of one portal and FETCHes of one cursor are one result', async () => {
    const page: Leg = [{ m: 'E', portal: 'c', max: 100 }]
    const pages = await leg(raw, [
      { m: 'P', sql: BIG },
      { m: 'B', portal: 'c' },
      ...page,
      ...page,
      ...page,
      ...page,
      ...SYNC,
    ])
    expect(sent(pages)).toBeLessThanOrEqual(LIMIT)
    expect([code(pages), pages.filter(({ type }) => type === 's').length]).toEqual(['53400', 2])
    await q(raw, `BEGIN; DECLARE c SCROLL CURSOR FOR ${BIG}`)
    let all = 0
    const codes: (string | undefined)[] = []
    // Back and forth is given again.
    for (const sql of [
      'FETCH 100 FROM c',
      'MOVE BACKWARD ALL FROM c',
      'FETCH 100 FROM c',
      'FETCH 200 FROM c',
    ]) {
      const replies = await q(raw, sql)
      all += sent(replies)
      codes.push(code(replies))
    }
    expect(all).toBeLessThanOrEqual(LIMIT)
    expect(codes).toEqual([undefined, undefined, undefined, '53400'])
  })

  test('what stands behind it in a pipeline does not run, and what it wrote is taken back', async () => {
    const write = run("INSERT INTO notes VALUES (800, 'x')")
    expect(
      code(
        await leg(raw, [
          ...write,
          ...run(BIG),
          ...run("INSERT INTO notes VALUES (801, 'x')"),
          ...SYNC,
        ]),
      ),
    ).toBe('53400')
    for (const sql of [
      "INSERT INTO notes SELECT n, 'x' FROM generate_series(100, 999) n RETURNING id",
      'DELETE FROM notes RETURNING repeat(body, 200)',
    ]) {
      expect(code(await q(raw, sql)), sql).toBe('53400')
      expect(code(await leg(raw, [...run(sql), ...SYNC])), sql).toBe('53400')
    }
    expect(await at.notes()).toHaveLength(8)
  })

  test('one long row is none', async () => {
    const replies = await q(raw, 'SELECT repeat(body, 1000) FROM notes WHERE id = 1')
    expect([sent(replies), code(replies)]).toEqual([0, '53400'])
  })

  test('masked values count as they are given', async () => {
    rules.bytes = 8 * (5 + 2 + 4 + '[masked]'.length)
    expect(code(await q(raw, 'SELECT ssn FROM docs'))).toBeUndefined()
    rules.bytes -= 1
    expect(code(await q(raw, 'SELECT ssn FROM docs'))).toBe('53400')
  })

  test('the smaller of two limits ends a read', async () => {
    rules.rows = 10
    expect(message(await q(raw, BIG))).toBe('the read went past 10 rows (limits.rows)')
    rules.rows = 2000
    expect(message(await q(raw, BIG))).toBe('the result went past 4000 bytes (limits.bytes)')
  })

  test('what cannot be failed is refused before it runs', async () => {
    for (const sql of [
      `INSERT INTO notes VALUES (900, 'x'); ${BIG}`,
      `${BIG}; COMMIT`,
      `PREPARE p AS SELECT 1; ${BIG}`,
      'COPY notes TO STDOUT',
    ])
      expect(code(await q(raw, sql)), sql).toBe('0A000')
    expect(await at.notes()).toHaveLength(8)
  })
})
