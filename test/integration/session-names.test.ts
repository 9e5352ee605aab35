// What a name of a session stands for, through SQL and messages, is judged where it runs: by the real analysis on a
// real PostgreSQL.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { isOperation, type Operation } from '../../src/core/operation.js'
import { hasPostgres } from '../support/postgres.js'
import type { RawPostgres, Reply } from '../support/raw-postgres.js'
import {
  code,
  data,
  leg,
  q,
  rules,
  type SessionServer,
  startSessionServer,
} from '../support/session-server.js'
import type { Leg } from '../support/session-walk.js'

describe.runIf(hasPostgres('plain'))('what a name stands for', () => {
  let at: SessionServer
  beforeAll(async () => {
    at = await startSessionServer()
  })
  afterAll(() => at?.stop())
  beforeEach(async () => {
    rules.refuses = () => undefined
    rules.rows = undefined
    at.server.requests.length = 0
    at.server.deliveries.length = 0
    await at.fresh()
  })

  let raw: RawPostgres
  beforeEach(async () => {
    raw = await at.through()
    return () => raw.end()
  })
  const operations = () => at.server.requests.flatMap((request) => request.operations)
  const texts = () => at.server.requests.map((request) => request.text)
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
    const recorded = at.server.deliveries.flatMap((delivery) => delivery.rows ?? [])
    expect(JSON.stringify(recorded)).toContain('[masked]')
  })

  test('whoever may no longer read cannot go on with what was prepared or declared before', async () => {
    await q(
      raw,
      'PREPARE p AS SELECT ssn FROM docs; BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM docs',
    )
    expect(code(await q(raw, 'FETCH 1 FROM c'))).toBeUndefined()
    rules.refuses = ssn
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
    rules.rows = 5
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
      return at.server.requests.at(-1)?.exact?.()
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

  test('a full record names what ran behind a name, with its values', async () => {
    const whole = () => at.server.requests.map((request) => request.whole?.().text ?? '')
    await q(raw, 'PREPARE p AS SELECT body FROM notes WHERE id > 3; PREPARE s(int) AS SELECT $1')
    await q(raw, 'BEGIN; DECLARE c CURSOR FOR SELECT body\nFROM notes WHERE id > 2')
    await leg(raw, [
      { m: 'P', sql: 'SELECT body FROM notes WHERE id > $1::int' },
      { m: 'B', portal: 'b', params: ['41'] },
      { m: 'S' },
    ])
    at.server.requests.length = 0
    const message = (sql: string, ...params: string[]): Leg => [
      { m: 'P', sql },
      { m: 'B', params },
      { m: 'E' },
      { m: 'S' },
    ]
    await q(raw, 'FETCH 1 FROM c')
    await leg(raw, message('FETCH 1 FROM c'))
    await q(raw, 'EXECUTE p')
    await leg(raw, message('EXECUTE s($1)', '17'))
    await q(raw, 'FETCH 1 FROM b; FETCH 1 FROM c; FETCH 2 FROM b')
    await leg(raw, [{ m: 'E', portal: 'c', max: 1 }, { m: 'S' }])
    const cursor = 'BEGIN; DECLARE c CURSOR FOR SELECT body\nFROM notes WHERE id > 2'
    const declared = cursor.slice('BEGIN; '.length)
    const commented = `-- ${declared.replace('\n', '\n-- ')}\n`
    const prepared = 'PREPARE s(int) AS SELECT $1'
    const bound = '-- SELECT body FROM notes WHERE id > $1::int\n-- $1 = "41"\n'
    expect(whole()).toEqual([
      `${commented}FETCH 1 FROM c`,
      `${commented}FETCH 1 FROM c`,
      '-- PREPARE p AS SELECT body FROM notes WHERE id > 3\nEXECUTE p',
      `-- ${prepared}\nEXECUTE s($1)`,
      `${bound}${commented}FETCH 1 FROM b; FETCH 1 FROM c; FETCH 2 FROM b`,
      declared,
    ])
    expect(at.server.requests[3]?.whole?.().parameters).toEqual(['17'])
  })

  test('a write that is read by FETCH is still a write of its keys', async () => {
    await q(raw, 'BEGIN')
    await leg(raw, [
      { m: 'P', sql: 'DELETE FROM notes WHERE id IN ($1, $2) RETURNING id' },
      { m: 'B', portal: 'd', params: ['1', '2'] },
      { m: 'S' },
    ])
    at.server.requests.length = 0
    at.server.deliveries.length = 0
    expect(code(await q(raw, 'FETCH ALL FROM d'))).toBeUndefined()
    const [request] = at.server.requests
    expect(request?.keys).toEqual({ notes: ['1', '2'] })
    expect(request?.preview?.()).toMatchObject([{ collection: 'notes', parameters: ['1', '2'] }])
    expect(at.server.deliveries.flatMap(({ keys }) => keys?.['notes'] ?? [])).toEqual(['1', '2'])
  })

  test('rows are counted once, however many statements of one message read them', async () => {
    const rows = (): unknown =>
      at.server.requests
        .at(-1)
        ?.operations.flatMap((one) => (isOperation(one) ? [one.returns.rows] : []))
    const read = async (text: string): Promise<unknown> => {
      await q(raw, text)
      return rows()
    }
    await q(raw, 'BEGIN; DECLARE c SCROLL CURSOR FOR SELECT id FROM notes LIMIT 6')
    expect(await read('FETCH 2 FROM c')).toEqual([2])
    expect(await read('FETCH 1 FROM c; FETCH 2 FROM c')).toEqual([5, 5])
    expect(await read('FETCH ALL FROM c; FETCH ALL FROM c')).toEqual([6, 6])
    expect(await read('MOVE BACKWARD ALL FROM c; FETCH 4 FROM c')).toEqual([10, 10])
    expect(await read('FETCH 1 FROM c')).toEqual([11])
  })

  test('what is on its way counts as given, and no more than can come', async () => {
    await q(raw, 'BEGIN; DECLARE c CURSOR FOR SELECT id FROM notes LIMIT 3')
    const fetch = (count: string): Leg => [
      { m: 'P', sql: `FETCH ${count} FROM c` },
      { m: 'B' },
      { m: 'E' },
    ]
    at.server.requests.length = 0
    await leg(raw, [...fetch('2'), ...fetch('ALL'), ...fetch('1'), { m: 'S' }])
    expect(operations().map((one) => (isOperation(one) ? one.returns.rows : one.reason))).toEqual([
      2, 3, 3,
    ])
  })

  test('a pipeline longer than what may wait for its answers goes through', async () => {
    const names = Array.from({ length: 1500 }, (_, number) => `n${number}`)
    const all: Leg = [
      ...names.map((name) => ({ m: 'P', name, sql: 'SELECT 1' }) as const),
      { m: 'P', name: 'gone', sql: 'DEALLOCATE ALL' },
      ...names.flatMap((stmt): Leg => [{ m: 'B', stmt }, { m: 'E' }]),
      ...names.slice(0, 300).flatMap((): Leg => [{ m: 'B', stmt: 'gone' }, { m: 'E' }]),
      { m: 'S' },
    ]
    const replies = await leg(raw, all)
    expect(code(replies)).toBe('26000')
    expect(replies.filter(({ type }) => type === 'D')).toHaveLength(1500)
    expect(replies.filter(({ type }) => type === '2')).toHaveLength(1501)
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
    rules.refuses = ssn
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

  test('a notification comes while its channel is permitted, and is recorded', async () => {
    const named = (one: string) => `$channel.${one}(orders)`
    const allowed = [named('listen'), named('notify')]
    rules.refuses = ({ functions }) =>
      functions.every((use) => allowed.includes(use)) ? undefined : 'another channel'
    for (const text of ['LISTEN people', "NOTIFY people, 'x'", 'UNLISTEN people; LISTEN "Orders"'])
      expect(code(await q(raw, text)), text).toBe('42501')
    expect(code(await q(raw, 'LISTEN Orders'))).toBeUndefined()
    const other = await at.through()
    expect(code(await q(other, "NOTIFY orders, 'seven'"))).toBeUndefined()
    const came = () =>
      raw.replies.filter(({ type }) => type === 'A').map(({ body }) => String(body))
    await expect.poll(() => came().length, { timeout: 20_000 }).toBe(1)
    expect(came()[0]).toContain('orders\0seven\0')
    const rows = at.server.deliveries.flatMap((delivery) => delivery.rows ?? [])
    expect(rows).toEqual([['orders', 'seven']])
    allowed.splice(0, 1)
    expect(code(await q(other, "NOTIFY orders, 'eight'"))).toBeUndefined()
    const judged = () => at.server.requests.filter(({ form }) => form === 'notification').length
    await expect.poll(judged, { timeout: 20_000 }).toBe(2)
    await q(raw, 'SELECT 1')
    expect(came()).toHaveLength(1)
    other.end()
  })
})
