// Statements behind schema changes of their own transaction, by the real analysis on a real PostgreSQL: with leave for
// everything a session looks like a direct one.

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readRowDescription } from '../../src/protocol/postgres/columns.js'
import { message } from '../../src/protocol/postgres/wire.js'
import { hasPostgres } from '../support/postgres.js'
import type { RawPostgres, Reply } from '../support/raw-postgres.js'
import { GROUND, LEFT, schemaWalk } from '../support/schema-walk.js'
import { leg, type SessionServer, startSessionServer, told } from '../support/session-server.js'
import type { Leg } from '../support/session-walk.js'

const RUNS = { plain: 6, pgvector: 3, '18': 3 }
const PATH = '-c search_path=mine,public'
/** As `told`, with no OIDs, and without what tells how far an utility came that cannot run. */
function shown(replies: readonly Reply[]): readonly string[] {
  return replies.flatMap((reply) => {
    if (/^[12n]$/.test(reply.type)) return []
    // Where two of its names are wrong the server may find the other one first.
    if (reply.type === 'E') return told([reply]).map((one) => one.replace(/^E 42P0[17].*/, 'E 42P'))
    if (reply.type !== 'T') return told([reply])
    const columns = readRowDescription(message('T', reply.body))
    return [`T ${columns.map(({ name, attribute, type }) => [name, attribute, type]).join(' ')}`]
  })
}

const kinds = (['plain', 'pgvector', '18'] as const).filter(hasPostgres)
describe.each(kinds)('a session behind its own schema changes, on %s', (kind) => {
  let at: SessionServer
  beforeAll(async () => {
    at = await startSessionServer('', kind)
  })
  afterAll(() => at?.stop())

  async function lived(raw: RawPostgres, legs: readonly Leg[]): Promise<(readonly string[])[]> {
    const all: (readonly string[])[] = []
    const status = (): string | undefined => all.at(-1)?.at(-1)?.at(-1)
    const say = async (steps: Leg): Promise<void> => {
      all.push(shown(await leg(raw, steps)))
    }
    const one = (sql: string): Promise<void> => say([{ m: 'Q', sql }])
    for (const steps of legs) {
      // Most of a life is led in transactions that have not failed.
      if (status() === 'E') await one('rollback to s')
      if (status() === 'E') await one('rollback')
      if (status() === 'I') await one('begin')
      if (status() === 'T' && all.length % 3 === 0) await one('savepoint s')
      await say(steps)
    }
    await one('commit')
    raw.end()
    const { rows } = await at.admin.query(LEFT)
    for (const row of rows)
      row.rows = (await at.admin.query(`select * from ${row.name} order by 1`)).rows
    return [...all, rows.map((row) => JSON.stringify(row))]
  }

  test('with leave for everything, it looks like a direct one', async () => {
    const seen = new Set<string>()
    await fc.assert(
      fc.asyncProperty(schemaWalk, async (legs) => {
        await at.admin.query(GROUND)
        const expected = await lived(await at.direct(PATH), legs)
        await at.admin.query(GROUND)
        const judged = await lived(await at.through(PATH), legs)
        for (const [index, one] of expected.entries())
          expect(judged[index], JSON.stringify(expected.slice(0, index + 1))).toEqual(one)
        for (const line of expected.flat()) seen.add(line)
      }),
      { seed: 26, numRuns: RUNS[kind], endOnFailure: true },
    )
    // The walks met what they are about.
    const wanted = [
      'CREATE TABLE',
      'CREATE VIEW',
      'DROP TABLE',
      'ALTER TABLE',
      'SELECT 2',
      'INSERT 0',
    ]
    const met = [...seen].filter((line) => line.startsWith('C '))
    expect(wanted.filter((tag) => !met.some((line) => line.includes(tag)))).toEqual([])
  }, 120_000)
})
