// Statements behind schema changes of their own transaction, by the real analysis on a real PostgreSQL: with leave for
// everything a session looks like a direct one.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasPostgres } from '../support/postgres.js'
import { q, type SessionServer, startSessionServer, told } from '../support/session-server.js'

describe.runIf(hasPostgres('plain'))('a session behind its own schema changes', () => {
  let at: SessionServer
  beforeAll(async () => {
    at = await startSessionServer()
  })
  afterAll(() => at?.stop())

  test('smoke', async () => {
    const [one, direct] = [await at.through(), await at.direct()]
    const all = [
      'begin',
      'create table a (id int primary key, t text)',
      "insert into a values (1, 'x')",
      'select * from a',
      'create table b (a_id int references a, n int)',
      'create index on b (n)',
      'create view v as select a.id, docs.ssn from a join docs on a.id = docs.id',
      'select id from v',
      'savepoint s',
      'drop view v',
      'alter table a rename to c',
      'select * from c',
      'rollback to s',
      'select * from a',
      'create table if not exists a (x int)',
      'create table if not exists d (x int)',
      'select * from d',
      'select 1/0',
      'select * from d',
      'rollback',
      'select * from a',
    ]
    const expected: (readonly string[])[] = []
    for (const sql of all) expected.push(told(await q(direct, sql)))
    for (const [index, sql] of all.entries()) {
      const t = performance.now()
      const now = told(await q(one, sql))
      console.log((performance.now() - t).toFixed(1), sql, JSON.stringify(now))
      expect.soft(now, sql).toEqual(expected[index]?.map((x) => x.replace(/900-55-1/, '[masked]')))
    }
    one.end()
    direct.end()
  })
})
