// Temporary tables by the real analysis on real PostgreSQL servers: whatever a session does with them at random, and what
// drivers do with them, looks like a direct session.

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasPostgres } from '../support/postgres.js'
import { errorFields, type Reply } from '../support/raw-postgres.js'
import {
  leg,
  rules,
  type SessionServer,
  startSessionServer,
  told,
} from '../support/session-server.js'
import { TEMPORARY_GROUND, TEMPORARY_ROWS, temporaryWalk } from '../support/temporary-walk.js'

const RUNS = Number(process.env['WALKS'] ?? 10)

/** A RowDescription without the OIDs of tables, which no two sessions share. */
function withoutTables({ type, body }: Reply): Reply {
  if (type !== 'T') return { type, body }
  const plain = Buffer.from(body)
  for (let at = 2, left = plain.readUInt16BE(0); left > 0; left -= 1) {
    at = plain.indexOf(0, at) + 1
    plain.fill(0, at, at + 4)
    at += 18
  }
  return { type, body: plain }
}
/** Where a statement names what is not there, the gateway says so at its Parse, and the server says it where it runs. */
function shown(replies: readonly Reply[]): readonly string[] {
  const lines: string[] = []
  for (const line of told(replies.map(withoutTables))) {
    if (line.startsWith('E ')) while (/^(?:[12n] |T )/.test(lines.at(-1) ?? '')) lines.pop()
    // In one batch the gateway may look at names before it knows that the transaction has failed.
    if (line.startsWith('E ') && lines.findLast((each) => each.startsWith('Z')) === 'Z E') {
      lines.push('E failed')
      continue
    }
    // Before anything temporary was made there is no such schema.
    lines.push(line.replace(/^E 3F000 schema "pg_temp".*|^E 42P01 relation "pg_temp.*/, 'E none'))
  }
  return lines
}

const kinds = (['plain', 'pgvector', '18'] as const).filter(hasPostgres)
describe.each(kinds)('temporary tables on %s', (kind) => {
  let at: SessionServer
  beforeAll(async () => {
    at = await startSessionServer(TEMPORARY_GROUND, kind)
    rules.refuses = () => undefined
    rules.rows = undefined
  })
  afterAll(() => at?.stop())
  const left = async (): Promise<unknown> =>
    (await at.admin.query('select * from things order by 1, 2')).rows

  test('with leave for everything, a random session looks like a direct one', async () => {
    const seen = new Set<string>()
    await fc.assert(
      fc.asyncProperty(temporaryWalk, async (legs) => {
        await at.admin.query(TEMPORARY_ROWS)
        const plain = await at.direct()
        const expected: (readonly string[])[] = []
        for (const steps of legs) expected.push(shown(await leg(plain, steps)))
        const then = await left()
        plain.end()
        for (const line of expected.flat()) seen.add(line)
        await at.admin.query(TEMPORARY_ROWS)
        const judged = await at.through()
        for (const [index, steps] of legs.entries())
          expect(shown(await leg(judged, steps)), legs.slice(0, index + 1).flatMap((l) => l.filter((m) => 'QPBDES'.includes(m.m)).map((m) => m.sql === undefined ? m.m + (m.stmt ?? '') : m.m + ' ' + (m.name ?? '') + m.sql)).join('\n')).toEqual(
            expected[index],
          )
        judged.end()
        expect(await left()).toEqual(then)
      }),
      { seed: Number(process.env['SEED'] ?? 28), numRuns: RUNS, endOnFailure: true },
    )
    const met = [...seen]
    const wanted = ['three', 'changed', 'seven', 'E 42P01', 'E 42P07', 'E 25P02', 'E 22012']
    expect(wanted.filter((what) => !met.some((line) => line.includes(what)))).toEqual([])
    expect(at.server.errors).toEqual([])
  }, 120_000)
})
void errorFields
