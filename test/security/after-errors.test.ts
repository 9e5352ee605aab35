// What an error leaves behind, as it was found by review: texts of what the database runs by itself quote rows that
// nobody named, and a cursor that was rolled back vouches for nothing.

import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { hasPostgres } from '../support/postgres.js'
import { errorFields, type RawPostgres } from '../support/raw-postgres.js'
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

const SQL = `
  create table parents (id int primary key, name text);
  insert into parents select n, 'p' || n from generate_series(1, 9) n;
  create table cleared (id int references parents on delete set null on update cascade, ssn text,
    constraint needed check (id is not null and id < 100));
  insert into cleared values (1, 'SECRET-ONE'), (2, 'SECRET-TWO');
  create table keyed (parent int references parents on update cascade on delete cascade, ssn text unique,
    other int, unique (parent, ssn));
  insert into keyed values (3, 'SECRET-THREE', 3);
  create schema app;
  create function app.opens() returns int language plpgsql as $$ declare c refcursor := 'c'; begin
    open c for select ssn from docs; return 1; end $$;
  create table later (id int);
`
const run = (sql: string): Leg => [{ m: 'P', sql }, { m: 'B' }, { m: 'E' }]
const DECLARE = 'DECLARE c CURSOR WITH HOLD FOR SELECT body FROM notes'

describe.runIf(hasPostgres('plain'))('after errors', () => {
  let at: SessionServer
  let admin: pg.Client
  let raw: RawPostgres
  beforeAll(async () => {
    at = await startSessionServer(SQL)
    admin = await at.postgres.connect(at.database)
  })
  afterAll(async () => {
    await admin?.end()
    await at?.stop()
  })
  beforeEach(async () => {
    rules.refuses = () => undefined
    rules.rows = undefined
    rules.bytes = undefined
    at.server.deliveries.length = 0
    raw = await at.through()
    return () => raw.end()
  })

  test.each([
    ['DELETE FROM parents WHERE id = 1', 'SET NULL'],
    ['UPDATE parents SET id = 300 WHERE id = 2', 'CASCADE'],
  ])('a row that a cascade cannot change is not quoted: %s', async (sql, _) => {
    await expect(admin.query(sql)).rejects.toMatchObject({
      code: '23514',
      detail: expect.stringContaining('SECRET-'),
    })
    const steps: Leg = [...run(sql), { m: 'S' }]
    for (const replies of [await q(raw, sql), await leg(raw, steps)]) {
      const error = replies.find(({ type }) => type === 'E')
      expect(errorFields(error?.body ?? Buffer.alloc(0))).toMatchObject({ C: '23514' })
      expect(replies.map(({ body }) => body.toString('latin1')).join()).not.toContain('SECRET')
    }
    // What is recorded of it.
    expect(at.server.deliveries.some(({ error }) => error?.sqlstate === '23514')).toBe(true)
    expect(JSON.stringify(at.server.deliveries)).not.toContain('SECRET')
  })

  test('one’s own row is still quoted', async () => {
    const replies = await q(raw, "INSERT INTO parents VALUES (5, 'mine')")
    const error = replies.find(({ type }) => type === 'E')
    expect(errorFields(error?.body ?? Buffer.alloc(0))['D']).toBe('Key (id)=(5) already exists.')
  })

  /** Opens another cursor under the name, and reads what is under it. */
  const leaked = async (): Promise<string> => {
    await q(raw, 'BEGIN')
    await q(raw, 'SELECT app.opens()')
    const replies = await q(raw, 'FETCH ALL FROM c')
    expect(code(replies)).toBe('34000')
    return data(replies)
  }

  test('a cursor WITH HOLD is kept by a commit only', async () => {
    const ways: readonly (readonly Leg[])[] = [
      [[...run(DECLARE), ...run('SELECT 1/0'), { m: 'S' }]],
      [[{ m: 'Q', sql: `${DECLARE}; SELECT 1/0` }]],
      [[{ m: 'Q', sql: 'BEGIN' }], [{ m: 'Q', sql: DECLARE }], [{ m: 'Q', sql: 'ROLLBACK' }]],
      [
        [{ m: 'Q', sql: `BEGIN; ${DECLARE}` }],
        [{ m: 'Q', sql: 'SELECT 1/0' }],
        [{ m: 'Q', sql: 'COMMIT' }],
      ],
      [
        [{ m: 'Q', sql: `BEGIN; ${DECLARE}` }],
        [...run('SELECT 1/0'), ...run('COMMIT'), { m: 'S' }],
        [{ m: 'Q', sql: 'COMMIT' }],
      ],
    ]
    for (const way of ways) {
      for (const each of way) await leg(raw, each)
      expect(await leaked()).not.toContain('900-55')
      await q(raw, 'ROLLBACK')
    }
    await leg(raw, [...run(DECLARE), { m: 'S' }])
    expect(data(await q(raw, 'FETCH 1 FROM c'))).toContain('note 1')
  })

  test('nor is it kept where something beside it could not be proved', async () => {
    const bound: Leg = [{ m: 'B', stmt: 'n' }, { m: 'E' }, { m: 'S' }]
    // Prepared, and its guard known, before.
    await leg(raw, [{ m: 'P', name: 'n', sql: 'SELECT id FROM later' }, ...bound])
    const from = raw.replies.length
    for (const step of [...run(DECLARE), { m: 'H' }]) raw.step(step)
    const came = () => raw.replies.slice(from)
    await expect.poll(() => came().some(({ type }) => type === 'C'), { timeout: 30_000 }).toBe(true)
    await admin.query('DROP TABLE later')
    const replies = await leg(raw, bound)
    expect(code(replies)).toBe('40001')
    expect(await leaked()).not.toContain('900-55')
  })
})
