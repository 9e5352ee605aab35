// The process is killed at random moments under load: what PostgreSQL ran has its intent in the recording, and every
// recording verifies as closed or incomplete. The long form is test/bench/kill.long.ts.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KILLS_SQL, killUnderLoad } from '../support/kills.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

describe.skipIf(!hasPostgres('plain'))('a data plane that is killed', () => {
  let postgres: TestPostgres

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain', logStatements: true })
  })
  afterAll(() => postgres?.stop())

  it('leaves nothing that ran without its intent, four times', async () => {
    const database = await postgres.createDatabase({ sql: KILLS_SQL })
    const found = await killUnderLoad({ postgres, database, kills: 4, loadMs: 300, seed: 1 })
    expect(found.unrecorded).toEqual([])
    expect(found.executed).toBeGreaterThan(40)
    expect(found.verdicts).toEqual({ incomplete: 8 })
  }, 120_000)
})
