// Prepared statements and cursors of SQL and of the protocol, by the real analysis on a real PostgreSQL: a session
// with leave for everything looks like a direct one.

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { PORT_SECRET } from '../support/adapter-host.js'
import { findPostgres, hasPostgres } from '../support/postgres.js'
import {
  leg,
  rules,
  type SessionServer,
  startSessionServer,
  told,
} from '../support/session-server.js'
import { walk } from '../support/session-walk.js'

const run = promisify(execFile)
const RUNS = 14

describe.runIf(hasPostgres('plain'))('a session and its names', () => {
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

  test('with leave for everything, a random session looks like a direct one', async () => {
    const seen = new Set<string>()
    await fc.assert(
      fc.asyncProperty(walk, async (legs) => {
        await at.fresh()
        const plain = await at.direct()
        const expected: (readonly string[])[] = []
        for (const steps of legs) expected.push(told(await leg(plain, steps)))
        const left = await at.notes()
        plain.end()
        for (const line of expected.flat()) seen.add(line.replace(/"n+1?2?"/, ''))
        await at.fresh()
        const judged = await at.through()
        for (const [index, steps] of legs.entries())
          expect(told(await leg(judged, steps)), JSON.stringify(steps)).toEqual(expected[index])
        judged.end()
        expect(await at.notes()).toEqual(left)
      }),
      { seed: 5, numRuns: RUNS, endOnFailure: true },
    )
    // The walks met what they are about.
    const met = [...seen]
    const tags = ['PREPARE', 'DECLARE CURSOR', 'FETCH 2', 'MOVE', 'CLOSE CURSOR', 'DEALLOCATE']
    const states = ['25P01', '25P02', '26000', '34000', '42P03', '42P05']
    const wanted = [...tags.map((tag) => `C ${tag}`), ...states.map((state) => `E ${state}`)]
    expect(wanted.filter((line) => !met.some((one) => one.startsWith(line)))).toEqual([])
  }, 120_000)

  describe('clients', () => {
    const bin = findPostgres().plain ?? ''
    const where = () => ['-h', '127.0.0.1', '-p', String(at.server.port), '-U', 'anna', at.database]
    const env = { ...process.env, PGPASSWORD: PORT_SECRET, PGSSLMODE: 'disable' }

    test('psql reads by cursor', async () => {
      const text = 'select id from big order by id'
      const args = ['-XAtq', '-v', 'FETCH_COUNT=1000', '-c', text, ...where()]
      const { stdout } = await run(join(bin, 'psql'), args, { env })
      expect(stdout.trim().split('\n')).toHaveLength(2500)
      const fetched = at.server.requests.filter(({ text: sent }) => /FETCH FORWARD 1000/.test(sent))
      expect(fetched).toHaveLength(3)
    })

    test.each(['simple', 'extended', 'prepared'])('pgbench, %s', async (mode) => {
      const folder = mkdtempSync(join(tmpdir(), 'vgate-pgbench-'))
      const script = join(folder, 'script')
      writeFileSync(
        script,
        `\\set id random(1, 8)
        UPDATE notes SET body = body WHERE id = :id;
        SELECT id FROM notes WHERE id = :id;`,
      )
      const args = ['-n', '-M', mode, '-t', '20', '-c', '2', '-f', script, ...where()]
      const { stdout } = await run(join(bin, 'pgbench'), args, { env })
      rmSync(folder, { recursive: true })
      expect(stdout).toContain('number of transactions actually processed: 40/40')
    })
  })
})
