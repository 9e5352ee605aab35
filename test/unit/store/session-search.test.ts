// Searches on the embedded database.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore } from '../../../src/store/open.js'
import { searchBehaviour } from '../../support/search-suite.js'

searchBehaviour(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vgate-search-'))
  const clock = { at: 1_000_000, now: () => clock.at }
  const store = openStore({ directory, clock })
  const done = async (): Promise<void> => {
    await store.close()
    rmSync(directory, { recursive: true, force: true })
  }
  return { store, clock, done }
})
