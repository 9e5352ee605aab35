// Proves the corpus' runner itself: each item, sent straight to PostgreSQL, shows the effect that the corpus
// says it has there. Without this an item could pass through the gateway because it never did anything.

import { readFileSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { leaksIn, postgresItems } from '../support/corpus.js'
import { errorsOf, runItem } from '../support/corpus-driver.js'
import { changesBetween, stateOf } from '../support/corpus-state.js'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.js'

const setup = readFileSync(new URL('../corpus/setup.sql', import.meta.url), 'utf8')

/** Items whose effect this build cannot show, with the error that says why. */
const BUILD_LACKS: Readonly<Record<string, string>> = {
  'pg-emb-020': '42704', // halfvec came with pgvector 0.7
  'pg-mask-060': '0A000', // built without libxml
  'pg-srv-034': '0A000',
  'pg-srv-035': '0A000',
  'pg-srv-038': '0A000',
}

describe.skipIf(!hasPostgres('pgvector'))('an item sent straight to the database', () => {
  let server: TestPostgres
  let template: string

  beforeAll(async () => {
    server = await startPostgres({ kind: 'pgvector' })
    template = await server.createDatabase({ sql: `CREATE EXTENSION vector;\n${setup}` })
  })
  afterAll(async () => {
    await server.stop()
    rmSync('/tmp/vgate-corpus-leak.csv', { force: true }) // what one item writes on the server
  })

  const controlled = postgresItems().filter((item) => typeof item.direct_pg15 === 'object')

  it.each(controlled.map((item) => [item.id, item] as const))('%s', async (_, item) => {
    const database = await server.createDatabase({ template })
    const admin = await server.connect(database)
    try {
      const before = await stateOf(admin)
      const seen = await runItem(item, {
        host: server.host,
        port: server.port,
        user: server.superuser,
        password: server.password,
        database,
      })
      seen.connection.end()
      const direct = typeof item.direct_pg15 === 'object' ? item.direct_pg15 : undefined
      const observed = {
        leaks: leaksIn(item, seen.bytes).length > 0,
        changes: changesBetween(before, await stateOf(admin)),
        errors: errorsOf(seen.replies).map((error) => `${error['C']} ${error['M']}`),
        timedOut: seen.timedOut,
      }
      expect(observed.timedOut).toBe(false)
      const lacking = BUILD_LACKS[item.id]
      if (lacking) expect(observed.errors.join()).toContain(lacking)
      else if (direct?.leaks) expect(observed).toMatchObject({ leaks: true })
      if (direct?.changes.length) {
        expect(observed.changes).toEqual(expect.arrayContaining(direct.changes))
      }
    } finally {
      await admin.end()
      await server.dropDatabase(database)
    }
  })
})
