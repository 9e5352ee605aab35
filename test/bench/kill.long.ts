// The long form of the kill test (`npm run test:long`): 200 kills, or VGATE_LONG_KILLS. Its last result is committed.

import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KILLS_SQL, killUnderLoad } from '../support/kills.js'
import { startPostgres, type TestPostgres } from '../support/postgres.js'

const KILLS = Number(process.env['VGATE_LONG_KILLS'] ?? '200')
const RESULT = fileURLToPath(new URL('kill.result.json', import.meta.url))

describe('a data plane that is killed again and again', () => {
  let postgres: TestPostgres

  beforeAll(async () => {
    postgres = await startPostgres({ kind: 'plain', logStatements: true })
  })
  afterAll(() => postgres?.stop())

  it(`leaves nothing that ran without its intent, ${KILLS} times`, async () => {
    const database = await postgres.createDatabase({ sql: KILLS_SQL })
    const seed = Number(process.env['VGATE_SEED'] ?? '20260301')
    const found = await killUnderLoad({ postgres, database, kills: KILLS, loadMs: 400, seed })
    const result = { when: new Date().toISOString(), node: process.version, seed, ...found }
    writeFileSync(RESULT, `${JSON.stringify(result, null, 2)}\n`)
    expect(found.unrecorded).toEqual([])
    expect(found.executed).toBeGreaterThan(KILLS * 10)
    expect(found.verdicts).toEqual({ incomplete: KILLS * 2 })
  })
})
