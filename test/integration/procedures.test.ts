// CALL on a real PostgreSQL: a procedure does what it does without a gateway, must be named, and what was proved or
// named before it counts for nothing where it may have ended the transaction.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { isOperation } from '../../src/core/operation.js'
import { hasPostgres } from '../support/postgres.js'
import type { RawPostgres } from '../support/raw-postgres.js'
import {
  code,
  data,
  leg,
  q,
  rules,
  type SessionServer,
  startSessionServer,
  told,
} from '../support/session-server.js'
import type { Leg } from '../support/session-walk.js'

const SQL = `
  create schema app;
  create procedure app.add(a int, inout b int, out c text) language plpgsql
    as $$ begin b := a + b; c := 'made'; end $$;
  create procedure app.write(a int default 700) language sql as $$ insert into notes values (a, 'written') $$;
  create procedure app.half() language plpgsql as $$ begin
    insert into notes values (500, 'kept'); commit; insert into notes values (501, 'gone'); rollback; end $$;
  create procedure app.opens() language plpgsql as $$ declare p1 refcursor := 'p1'; begin
    commit; open p1 for select 1, ssn from docs; end $$;
  create procedure app.swap() language plpgsql as $$ begin
    commit; alter table notes rename to notes_before;
    create view notes as select id, ssn as body from docs; commit; end $$;
  create procedure app.back() language plpgsql as $$ begin
    drop view if exists notes; alter table if exists notes_before rename to notes; end $$;
`
const run = (sql: string): Leg => [{ m: 'P', sql }, { m: 'B' }, { m: 'D', kind: 'P' }, { m: 'E' }]
const SYNC: Leg = [{ m: 'S' }]

const kinds = (['plain', '18'] as const).filter(hasPostgres)
describe.each(kinds)('procedures on the %s server', (kind) => {
  let at: SessionServer
  let raw: RawPostgres
  beforeAll(async () => {
    at = await startSessionServer(SQL, kind)
  })
  afterAll(() => at?.stop())
  beforeEach(async () => {
    rules.refuses = () => undefined
    rules.rows = undefined
    at.server.requests.length = 0
    await at.fresh()
    raw = await at.through()
    return () => raw.end()
  })

  test.each<readonly [string, readonly Leg[]]>([
    [
      'what comes back',
      [
        [{ m: 'Q', sql: 'CALL app.add(1, 2, NULL)' }],
        [...run('CALL app.add(1, b => 2, c => NULL)'), ...SYNC],
      ],
    ],
    ['defaults', [[{ m: 'Q', sql: 'CALL app.write()' }], [...run('CALL app.write(701)'), ...SYNC]]],
    [
      'a transaction of its own',
      [[{ m: 'Q', sql: 'CALL app.half()' }], [...run('CALL app.half()'), ...SYNC]],
    ],
    [
      'none inside of another',
      [
        [{ m: 'Q', sql: 'BEGIN' }],
        [{ m: 'Q', sql: 'CALL app.half()' }],
        [{ m: 'Q', sql: 'ROLLBACK' }],
      ],
    ],
    ['none among other statements', [[{ m: 'Q', sql: 'SELECT 1; CALL app.half()' }]]],
    [
      'a cursor around it',
      [
        [
          {
            m: 'Q',
            sql: 'BEGIN; DECLARE c CURSOR FOR SELECT id FROM notes ORDER BY id; FETCH 2 FROM c',
          },
        ],
        [{ m: 'Q', sql: 'CALL app.write(702)' }],
        [...run('CALL app.write(703)'), ...SYNC],
        [{ m: 'Q', sql: 'FETCH 2 FROM c; COMMIT' }],
        [
          {
            m: 'Q',
            sql: 'BEGIN; DECLARE c CURSOR FOR SELECT id FROM notes ORDER BY id; CALL app.write(704)',
          },
        ],
        [{ m: 'Q', sql: 'FETCH 2 FROM c; COMMIT' }],
      ],
    ],
    [
      'a pipeline that it ends in the middle',
      [
        [
          ...run("INSERT INTO notes VALUES (600, 'before')"),
          ...run('CALL app.half()'),
          ...run('SELECT 1/0'),
          ...SYNC,
        ],
      ],
    ],
  ])('do what they do without a gateway: %s', async (_, legs) => {
    const seen: unknown[] = []
    const other = await at.direct()
    for (const one of [other, raw]) {
      await at.fresh()
      const answers: unknown[] = []
      for (const each of legs) answers.push(told(await leg(one, each)))
      seen.push([answers, await at.notes()])
    }
    other.end()
    expect(seen[1]).toEqual(seen[0])
  })

  test('a role must name them, with what they take', async () => {
    rules.refuses = ({ functions }) => functions.join()
    expect(told(await q(raw, 'CALL app.add(1, 2, NULL)'))[0]).toBe(
      'E 42501 app.add(integer,integer)',
    )
    expect(told(await q(raw, 'CALL app.write()'))[0]).toBe('E 42501 app.write(integer)')
    const [first] = at.server.requests.flatMap((request) => request.operations)
    expect(first !== undefined && isOperation(first) && first.returns.rows).toBe(1)
  })

  test('a portal that it leaves under a name of before is not read', async () => {
    const replies = await leg(raw, [
      { m: 'P', name: 'n', sql: 'SELECT id, body FROM notes' },
      { m: 'B', portal: 'p1', stmt: 'n' },
      ...run('CALL app.opens()'),
      { m: 'E', portal: 'p1' },
      { m: 'S' },
    ])
    expect(data(replies)).toBe('')
    // From PostgreSQL 17 on a procedure cannot end the transaction of what ran before it in a pipeline: the guard of `n`.
    expect(code(replies)).toBe(kind === 'plain' ? '34000' : '2D000')
  })

  test('what was proved before it is proved again', async () => {
    const read = run('SELECT id, body FROM notes ORDER BY id LIMIT 3')
    try {
      // The guard is known to the session, as it would be to any that has worked for a while.
      await leg(raw, [...read, ...SYNC])
      const replies = await leg(raw, [...read, ...run('CALL app.swap()'), ...read, ...SYNC])
      expect(data(replies)).toContain('note 1')
      expect(data(replies)).not.toContain('900-55')
    } finally {
      await q(raw, 'CALL app.back()')
    }
  })

  test('DO is refused, and says what to do', async () => {
    expect(code(await q(raw, 'DO $$ begin delete from notes; end $$'))).toBe('42501')
    const [refused] = at.server.requests.at(-1)?.operations ?? []
    expect(refused).toMatchObject({ hint: expect.stringContaining('CALL it') })
  })
})
