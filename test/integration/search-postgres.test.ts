// Searches on PostgreSQL: the same answers as on the embedded database.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'vitest'
import { Secret } from '../../src/core/secret.js'
import { openPostgresStore } from '../../src/store/open.js'
import { hasPostgres, startPostgres } from '../support/postgres.js'
import { searchBehaviour } from '../support/search-suite.js'

describe.skipIf(!hasPostgres('plain'))('on PostgreSQL', () => {
  searchBehaviour(async () => {
    const postgres = await startPostgres({ kind: 'plain' })
    const database = await postgres.createDatabase()
    const directory = mkdtempSync(join(tmpdir(), 'vgate-search-'))
    const clock = { at: 1_000_000, now: () => clock.at }
    const { host, port, superuser: user, password } = postgres
    const settings = {
      ...{ host, port, database, user, tls: { verify: 'off' as const } },
      password: () => new Secret(password),
    }
    const store = await openPostgresStore({ directory, clock, settings })
    const done = async (): Promise<void> => {
      await store.close()
      await postgres.stop()
      rmSync(directory, { recursive: true, force: true })
    }
    return { store, clock, done }
  })
})
