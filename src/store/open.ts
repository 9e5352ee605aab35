// Owns the assembly of the store on the embedded database.

import type { Clock } from '../core/clock.js'
import { openDatabase, storeError } from './database.js'
import { createGrants } from './grants.js'
import { createPrincipals } from './principals.js'
import { createRequests } from './requests.js'
import { createSessionIndex } from './session-index.js'
import { createSessionSearch } from './session-search.js'
import { createSessions } from './sessions.js'
import type { Run, Store } from './store.js'
import { createWorkloadGrants } from './workload-grants.js'

/**
 * Opens the store in a directory that exists. Times come from `clock`.
 * Throws VGATE_STORE_UNAVAILABLE, also when another gateway uses the directory.
 */
export function openStore(options: { readonly directory: string; readonly clock: Clock }): Store {
  const { db, close } = openDatabase(options.directory)
  const run: Run = async (query) => {
    try {
      return await query(db)
    } catch (error) {
      throw storeError(error)
    }
  }
  return {
    ...createPrincipals(run, options.clock),
    ...createGrants(run, options.clock),
    ...createSessions(run, options.clock),
    ...createWorkloadGrants(run),
    ...createRequests(run, options.clock),
    ...createSessionIndex(run, 'libsql'),
    ...createSessionSearch(run, 'libsql'),
    close: () => run(close),
  }
}
