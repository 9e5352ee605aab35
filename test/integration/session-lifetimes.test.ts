// How long a judgement lasts in a session of the real analysis before a real PostgreSQL: nothing is given on one that is
// over, no two names that the server takes for one are two here, and no name vouches for what is not behind it any more.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Operation } from '../../src/core/operation.js'
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

/** Opens a cursor under a name of the caller's choice. */
const OPENER = `
  create function openit(n refcursor) returns refcursor language plpgsql as
  $$ begin open n for select upper(ssn) as x from docs; return n; end $$
`

describe.runIf(hasPostgres('plain'))('a judgement in a session', () => {
  let at: SessionServer
  let raw: RawPostgres

  beforeAll(async () => {
    at = await startSessionServer(OPENER)
  })
  afterAll(() => at?.stop())
  beforeEach(async () => {
    rules.refuses = () => undefined
    rules.rows = undefined
    await at.fresh()
    raw = await at.through()
    return () => raw.end()
  })

  const segment = (...steps: Leg): Promise<readonly Reply[]> => leg(raw, [...steps, { m: 'S' }])
  const rowsIn = (replies: readonly Reply[]): number =>
    replies.filter(({ type }) => type === 'D').length
  const delivered = (): number =>
    at.server.deliveries.reduce((sum, { rowCount }) => sum + rowCount, 0)
  const writes = ({ access }: Operation): string | undefined =>
    access === 'write' ? 'no writes' : undefined

  /** A portal that gave one row before an error ended its run, and outlived the error behind a savepoint. */
  async function outlived(): Promise<void> {
    await q(raw, 'BEGIN')
    await segment(
      { m: 'P', name: 's', sql: 'SELECT body FROM notes' },
      { m: 'B', stmt: 's', portal: 'c' },
      { m: 'E', portal: 'c', max: 1 },
    )
    await q(raw, 'SAVEPOINT a')
  }
  const mistake: Leg = [{ m: 'P', sql: 'SELECT 1/0' }, { m: 'B' }, { m: 'E' }]

  test('ends with an error, also for a portal that outlives the error', async () => {
    await outlived()
    await segment(...mistake)
    await q(raw, 'ROLLBACK TO a')
    const rows = delivered()
    const replies = await segment({ m: 'E', portal: 'c', max: 2 })
    expect(rowsIn(replies)).toBe(2)
    expect(delivered() - rows).toBe(2)
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

  describe('on a cursor that outlives its transaction', () => {
    const begun = async (): Promise<void> => {
      await q(raw, 'DECLARE c CURSOR WITH HOLD FOR SELECT body FROM notes')
      await segment({ m: 'E', portal: 'c', max: 1 })
    }

    test('is asked for anew by each Execute of another transaction', async () => {
      await begun()
      const rows = delivered()
      expect(rowsIn(await segment({ m: 'E', portal: 'c', max: 2 }))).toBe(2)
      expect(delivered() - rows).toBe(2)
      rules.refuses = () => 'revoked'
      const seen = await segment({ m: 'E', portal: 'c', max: 2 })
      expect([code(seen), data(seen)]).toEqual(['42501', ''])
    })

    test('is asked for anew by each Execute of a pipeline of transactions', async () => {
      await begun()
      const rows = delivered()
      const execute: Leg = [{ m: 'E', portal: 'c', max: 2 }, { m: 'S' }]
      expect(rowsIn(await leg(raw, [...execute, ...execute, ...execute]))).toBe(6)
      expect(delivered() - rows).toBe(6)
    })
  })

  describe('of a cursor that is gone', () => {
    const declare = (how: string): string => `DECLARE c ${how} FOR SELECT 'a'::text AS x`
    const HELD = declare('CURSOR WITH HOLD')
    const BOUND = declare('CURSOR')
    const DROPS: readonly (readonly string[])[] = [
      ['SAVEPOINT a', HELD, 'ROLLBACK TO a'],
      ['SAVEPOINT a', 'SAVEPOINT b', HELD, 'ROLLBACK TO a'],
      ['SAVEPOINT a', HELD, 'SAVEPOINT a', 'RELEASE a', 'ROLLBACK TO a'],
      ['SAVEPOINT a', 'SAVEPOINT b', HELD, 'RELEASE b', 'ROLLBACK TO a'],
      ['SAVEPOINT a', 'ROLLBACK TO a', HELD, 'ROLLBACK TO a'],
      ['SAVEPOINT "\u00e4"', HELD, 'ROLLBACK TO "\u00e4"'],
      [HELD, 'ROLLBACK', 'BEGIN'],
      [BOUND, 'COMMIT', 'BEGIN'],
      [BOUND, 'COMMIT AND CHAIN'],
      [HELD, 'ROLLBACK AND CHAIN'],
      [HELD, 'CLOSE ALL'],
      [HELD, 'CLOSE c'],
    ]
    const OPEN = "SELECT openit('c')"
    const WAYS: readonly [string, (texts: readonly string[]) => Promise<readonly Reply[]>][] = [
      [
        'queries',
        async (texts) => {
          for (const text of [...texts, OPEN]) await q(raw, text)
          return q(raw, 'FETCH ALL FROM c')
        },
      ],
      [
        'one string',
        async (texts) => {
          await q(raw, [...texts, OPEN].join('; '))
          return q(raw, 'FETCH ALL FROM c')
        },
      ],
      [
        'one string with its FETCH',
        (texts) => q(raw, [...texts, OPEN, 'FETCH ALL FROM c'].join('; ')),
      ],
      [
        'a pipeline',
        (texts) =>
          segment(
            ...[...texts, OPEN].flatMap((sql): Leg => [{ m: 'P', sql }, { m: 'B' }, { m: 'E' }]),
            { m: 'E', portal: 'c' },
          ),
      ],
    ]

    test.each(WAYS)('is not used for what a function opens in its place, by %s', async (_, run) => {
      for (const texts of DROPS) {
        await q(raw, 'ROLLBACK; BEGIN')
        expect(data(await run(texts)), texts.join('; ')).not.toContain('900-55')
      }
    })

    test('is not used when COMMIT undid the transaction', async () => {
      await q(raw, `BEGIN; ${HELD}`)
      await q(raw, 'SELECT 1/0')
      const seen = await q(raw, `COMMIT; BEGIN; ${OPEN}; FETCH ALL FROM c`)
      expect(data(seen)).not.toContain('900-55')
      const piped: Leg = ['COMMIT', 'BEGIN', OPEN, 'FETCH ALL FROM c'].flatMap(
        (sql): Leg => [{ m: 'P', sql }, { m: 'B' }, { m: 'E' }],
      )
      await q(raw, `ROLLBACK; BEGIN; ${HELD}`)
      const both = await leg(raw, [...mistake, { m: 'S' }, ...piped, { m: 'S' }])
      expect(data(both)).not.toContain('900-55')
    })

    test('holds for those made before it, and for those it released', async () => {
      await q(raw, 'BEGIN; DECLARE old CURSOR FOR SELECT body FROM notes')
      await q(
        raw,
        'SAVEPOINT a; SAVEPOINT b; DECLARE c CURSOR FOR SELECT body FROM notes; RELEASE b',
      )
      expect(rowsIn(await q(raw, 'FETCH 2 FROM c'))).toBe(2)
      await q(raw, 'ROLLBACK TO a')
      expect(code(await q(raw, 'SAVEPOINT z; FETCH 1 FROM c'))).toBe('34000')
      await q(raw, 'ROLLBACK TO a')
      expect(rowsIn(await q(raw, 'FETCH 2 FROM old'))).toBe(2)
    })
  })

  test('is not carried over by a name that the server takes for another one', async () => {
    const long = 'n'.repeat(63)
    rules.refuses = writes
    await segment({ m: 'P', name: `${long}1`, sql: 'SELECT 1' })
    await segment({ m: 'C', kind: 'S', name: `${long}2` })
    rules.refuses = () => undefined
    await segment({ m: 'P', name: `${long}3`, sql: "UPDATE notes SET body = ''" })
    rules.refuses = writes
    expect(code(await segment({ m: 'B', stmt: `${long}1` }, { m: 'E' }))).toBe('42501')
    expect(JSON.stringify(await at.notes())).toContain('note 8')
  })

  test('is asked for by a name whose end only the server knows: the connection ends', async () => {
    raw.step({ m: 'P', name: '\u00e4'.repeat(40), sql: 'SELECT 1' })
    raw.step({ m: 'S' })
    expect(await raw.waitClosed()).toBe('found')
  })
})
