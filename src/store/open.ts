// Owns the assembly of the store, on the embedded database or on PostgreSQL.

import type { Clock } from '../core/clock.js'
import { createBudgets } from './budgets.js'
import { createDatabaseUsers } from './database-users.js'
import { claimDirectory } from './directory-lock.js'
import type { Dialect } from './full-text.js'
import { createGrants } from './grants.js'
import { openLibsql } from './libsql.js'
import { openPostgres, type PostgresSettings } from './postgres.js'
import type { LockOptions } from './postgres-lock.js'
import { createPrincipals } from './principals.js'
import { createRequests } from './requests.js'
import { createSessionIndex } from './session-facts.js'
import { createSessionSearch } from './session-search.js'
import { createSessions } from './sessions.js'
import type { Store, StoreDatabase } from './store.js'
import { createWorkloadGrants } from './workload-grants.js'

/**
 * Opens the embedded store in a directory that exists. Times come from `clock`.
 * Throws VGATE_STORE_UNAVAILABLE, also when another gateway uses the directory.
 */
export function openStore(options: { readonly directory: string; readonly clock: Clock }): Store {
  return assemble(openLibsql(options.directory), options.clock, 'libsql')
}

/**
 * Opens the store on a PostgreSQL, and locks the data directory that holds the rest. Times come from `clock`, as in the
 * embedded one. While the database cannot be used every call rejects with VGATE_STORE_UNAVAILABLE; `changed` hears when
 * that begins and ends. Rejects with the same, also when another gateway uses the database or the directory.
 */
export async function openPostgresStore(options: {
  readonly directory: string
  readonly clock: Clock
  readonly settings: PostgresSettings
  readonly changed?: LockOptions['changed']
}): Promise<Store> {
  const { directory, clock, settings, changed = () => undefined } = options
  const held = claimDirectory(directory, 'the data directory')
  try {
    const database = await openPostgres(settings, changed)
    const close = () => database.close().finally(() => held.close())
    return assemble({ ...database, close }, clock, 'postgres')
  } catch (error) {
    held.close()
    throw error
  }
}

function assemble(database: StoreDatabase, clock: Clock, dialect: Dialect): Store {
  const { run } = database
  return {
    ...createPrincipals(run, clock),
    ...createGrants(run, clock),
    ...createSessions(database, clock),
    ...createWorkloadGrants(run),
    ...createDatabaseUsers(run, clock),
    ...createRequests(run, clock),
    ...createBudgets(run, clock),
    ...createSessionIndex(run, dialect),
    ...createSessionSearch(run, dialect),
    close: () => database.close(),
  }
}
