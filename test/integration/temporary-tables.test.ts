// Temporary tables by the real analysis on real PostgreSQL servers: whatever a session does with them at random, and what
// drivers do with them, looks like a direct session.

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasPostgres } from '../support/postgres.js'
import type { Reply } from '../support/raw-postgres.js'
import type { MessageStep } from '../support/raw-postgres-messages.js'
import {
  leg,
  rules,
  type SessionServer,
  startSessionServer,
  told,
} from '../support/session-server.js'
import { TEMPORARY_GROUND, TEMPORARY_ROWS, temporaryWalk } from '../support/temporary-walk.js'

const RUNS = 3

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

const q = (sql: string): MessageStep => ({ m: 'Q', sql })
const SYNC: MessageStep = { m: 'S' }
const run = (sql: string, params: readonly (string | null)[] = []): MessageStep[] => [
  { m: 'P', name: '', sql },
  { m: 'B', portal: '', stmt: '', params },
  { m: 'D', kind: 'P', name: '' },
  { m: 'E', portal: '', max: 0 },
]
const COPIED: MessageStep[] = [{ m: 'd', data: '1\tfirst\n7\tseventh\n' }, { m: 'c' }]
const UPSERT = `INSERT INTO keyed SELECT * FROM incoming
  ON CONFLICT (id) DO UPDATE SET title = excluded.title RETURNING id, title`

/** What drivers and scripts do: as one leg, what waits for no answer. */
const FLOWS: Readonly<Record<string, readonly (readonly MessageStep[])[]>> = {
  'a bulk upsert by simple queries': [
    [q('BEGIN')],
    [q('CREATE TEMP TABLE incoming (LIKE keyed INCLUDING DEFAULTS) ON COMMIT DROP')],
    [q('COPY incoming FROM STDIN'), ...COPIED],
    [q('CREATE INDEX ON incoming (id)')],
    [q('ANALYZE incoming')],
    [q(UPSERT)],
    [q('COMMIT')],
    [q('SELECT * FROM incoming')],
    [q('SELECT * FROM keyed ORDER BY id')],
  ],
  'a bulk upsert by messages, each with its Sync': [
    [...run('BEGIN'), SYNC],
    [...run('CREATE TEMP TABLE incoming (id int, title text) ON COMMIT DROP'), SYNC],
    [...run('INSERT INTO incoming VALUES ($1, $2)', ['1', 'other']), SYNC],
    [...run('COPY incoming FROM STDIN'), ...COPIED, SYNC],
    [...run('DELETE FROM incoming WHERE title = $1', ['other']), SYNC],
    [...run(UPSERT), SYNC],
    [...run('COMMIT'), SYNC],
    [...run('SELECT * FROM keyed ORDER BY id'), SYNC],
  ],
  'one pipeline': [
    [
      ...run('CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT 3 AS id, $$third$$ AS title'),
      ...run('INSERT INTO incoming VALUES ($1, $2)', ['4', 'fourth']),
      ...run(UPSERT),
      SYNC,
      ...run('SELECT * FROM incoming'),
      SYNC,
      ...run('SELECT count(*) FROM keyed'),
      SYNC,
    ],
  ],
  'rows that go at each commit, under SERIALIZABLE': [
    [q('CREATE TEMP TABLE incoming (id int primary key, title text) ON COMMIT DELETE ROWS')],
    [q('BEGIN ISOLATION LEVEL SERIALIZABLE')],
    [q("INSERT INTO incoming VALUES (5, 'fifth') ON CONFLICT DO NOTHING")],
    [q('CREATE TEMP TABLE more AS TABLE incoming')],
    [q('SELECT * FROM more JOIN incoming USING (id, title)')],
    [q('COMMIT')],
    [q('SELECT * FROM incoming')],
    [q('SELECT * FROM more')],
    [q('DISCARD ALL')],
    [q('SELECT * FROM more')],
  ],
  'what an error takes back, with what comes behind it in one go': [
    [q('CREATE TEMP TABLE incoming AS SELECT 1 AS id')],
    [
      ...run('DROP TABLE incoming'),
      ...run('SELECT id FROM incoming'),
      SYNC,
      ...run('SELECT id FROM incoming'),
      SYNC,
    ],
  ],
  'what is there already': [
    [q('CREATE TEMP TABLE incoming (id int)')],
    [q('CREATE TEMP TABLE incoming (id int)')],
    [q('CREATE TEMP TABLE IF NOT EXISTS incoming (id text)')],
    [...run('CREATE TEMP TABLE IF NOT EXISTS incoming (id text)'), SYNC],
    [q('DROP TABLE incoming')],
    [...run('CREATE TEMP TABLE IF NOT EXISTS incoming (id text)'), SYNC],
    [q('SELECT id FROM incoming')],
    [q('COPY incoming TO STDOUT')],
    [q('DROP TABLE IF EXISTS pg_temp.incoming, pg_temp.nothing')],
    [q('SELECT id FROM incoming')],
  ],
}

const kinds = (['plain', '18'] as const).filter(hasPostgres)
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

  test.each(Object.keys(FLOWS))('%s looks like it does directly', async (name) => {
    const seen: (readonly string[])[][] = []
    for (const open of [at.direct, at.through]) {
      await at.admin.query("truncate keyed; insert into keyed values (1, 'one'), (2, 'two')")
      const session = await open()
      const all: (readonly string[])[] = []
      for (const steps of FLOWS[name] ?? []) all.push(shown(await leg(session, steps)))
      seen.push(all)
      session.end()
    }
    expect(seen[1]).toEqual(seen[0])
    expect(at.server.errors).toEqual([])
  })

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
          expect(shown(await leg(judged, steps)), JSON.stringify(legs.slice(0, index + 1))).toEqual(
            expected[index],
          )
        judged.end()
        expect(await left()).toEqual(then)
      }),
      { seed: 28, numRuns: RUNS, endOnFailure: true },
    )
    const met = [...seen]
    const wanted = ['first', 'E 42P01', 'E 25P02']
    expect(wanted.filter((what) => !met.some((line) => line.includes(what)))).toEqual([])
    expect(at.server.errors).toEqual([])
  }, 120_000)
})
