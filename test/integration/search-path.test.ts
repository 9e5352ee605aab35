// The search path of a session, by the real analysis on a real PostgreSQL: a session with leave for everything that
// changes it at random looks like a direct one.

import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PATH_ROWS, PATH_SCHEMAS, pathWalk } from '../support/path-walk.js'
import { hasPostgres } from '../support/postgres.js'
import type { Reply } from '../support/raw-postgres.js'
import {
  leg,
  rules,
  type SessionServer,
  startSessionServer,
  told,
} from '../support/session-server.js'

const RUNS = 14

/** As it was told, but for a function that is not there: what its arguments are only the server says. */
const shown = (replies: readonly Reply[]): readonly string[] =>
  told(replies).map((line) =>
    /^E 42883|^E 42501 unknown function/.test(line) ? 'E no such function' : line,
  )

describe.runIf(hasPostgres('plain'))('a session and its search path', () => {
  let at: SessionServer
  let admin: pg.Client
  beforeAll(async () => {
    at = await startSessionServer(PATH_SCHEMAS)
    admin = await at.postgres.connect(at.database)
    rules.refuses = () => undefined
    rules.rows = undefined
  })
  afterAll(async () => {
    await admin?.end()
    await at?.stop()
  })
  const left = async (): Promise<unknown> => {
    const all = ['public', 'mine', 'third'].map((schema) => `select * from ${schema}.things`)
    return (await admin.query(`${all.join(' union all ')} order by 1, 2`)).rows
  }

  test('with leave for everything, a random session looks like a direct one', async () => {
    const seen = new Set<string>()
    await fc.assert(
      fc.asyncProperty(pathWalk, async (legs) => {
        await admin.query(PATH_ROWS)
        const plain = await at.direct()
        const expected: (readonly string[])[] = []
        for (const steps of legs) expected.push(shown(await leg(plain, steps)))
        const then = await left()
        plain.end()
        for (const line of expected.flat()) seen.add(line)
        await admin.query(PATH_ROWS)
        const judged = await at.through()
        for (const [index, steps] of legs.entries())
          expect(
            shown(await leg(judged, steps)),
            JSON.stringify(legs.slice(index - 4, index + 1)),
          ).toEqual(expected[index])
        judged.end()
        expect(await left()).toEqual(then)
      }),
      { seed: 27, numRuns: RUNS, endOnFailure: true },
    )
    // The walks met what they are about.
    const met = [...seen]
    const wanted = [
      'public',
      'mine',
      'third',
      'turned',
      'E 42P01',
      'E 25P02',
      'E 22012',
      'no such function',
    ]
    expect(wanted.filter((what) => !met.some((line) => line.includes(what)))).toEqual([])
    expect(at.server.errors).toEqual([])
  }, 120_000)
})
