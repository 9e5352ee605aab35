// Who may take advisory locks, on a real PostgreSQL: whoever administers everything, and a role that names the function.

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestGateway } from '../support/gateway.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const POLICY = `
roles:
  owner: { allow: [{ access: admin, collections: ['*'] }] }
  part: { allow: [{ access: admin, collections: [notes] }] }
  writer: { allow: [{ access: write, collections: ['*'] }] }
  named:
    allow: [{ access: read, collections: [notes] }]
    functions: ['pg_catalog.pg_advisory_xact_lock(bigint)', 'pg_catalog.pg_try_advisory_lock(integer, integer)']
access:
  - { who: { group: corp:owner }, role: owner, targets: [prod-*] }
  - { who: { group: corp:part }, role: part, targets: [prod-*] }
  - { who: { group: corp:writer }, role: writer, targets: [prod-*] }
  - { who: { group: corp:named }, role: named, targets: [prod-*] }
`
const LOCKS = ['', 'try_'].flatMap((attempt) =>
  ['', 'xact_'].flatMap((until) =>
    ['', '_shared'].flatMap((shared) =>
      ['(1)', '(1, 2)'].map((of) => `select pg_${attempt}advisory_${until}lock${shared}${of}`),
    ),
  ),
)

describe.runIf(hasPostgres('plain'))('an advisory lock', () => {
  let postgres: TestPostgres
  let gateway: Awaited<ReturnType<typeof startTestGateway>>
  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain' })
    gateway = await startTestGateway({
      postgres,
      database: await postgres.createDatabase({ sql: 'create table notes (id int primary key)' }),
      policy: POLICY,
      users: Object.fromEntries(
        ['owner', 'part', 'writer', 'named'].map((name) => [name, [`corp:${name}`]]),
      ),
    })
  })
  afterAll(async () => {
    await gateway?.stop()
    await postgres?.stop()
  })

  const allowed = async (who: string): Promise<string[]> => {
    const { close, host, port, user, password, database } = await gateway.connectAs(who)
    const client = new pg.Client({ host, port, user, password, database })
    await client.connect()
    const found: string[] = []
    for (const sql of LOCKS) {
      const code = await client.query(sql).then(
        () => undefined,
        (error: { code?: string }) => error.code,
      )
      if (code === undefined) found.push(sql)
      else expect(code, sql).toBe('42501')
      await client.query('select pg_advisory_unlock_all()')
    }
    await client.end()
    await close()
    return found
  }

  test('whoever administers everything may take any, others what their role names', async () => {
    expect(LOCKS).toHaveLength(16)
    expect(await allowed('owner')).toEqual(LOCKS)
    expect(await allowed('part')).toEqual([])
    expect(await allowed('writer')).toEqual([])
    expect(await allowed('named')).toEqual([
      'select pg_advisory_xact_lock(1)',
      'select pg_try_advisory_lock(1, 2)',
    ])
  })
})
