// Owns the rows of short-lived database users: those that are not known to be gone.

import type { Clock } from '../core/clock.js'
import type { Run, Store } from './store.js'

/** The store's methods for them. */
export function createDatabaseUsers(
  run: Run,
  clock: Clock,
): Pick<Store, 'recordUser' | 'forgetUser' | 'listUsers'> {
  return {
    async recordUser({ name, grant, target, heir }) {
      const row = { name, grant_id: grant, target, heir, created_at: clock.now() }
      await run((db) => db.insertInto('database_users').values(row).execute())
    },

    async forgetUser(name) {
      const result = await run((db) =>
        db.deleteFrom('database_users').where('name', '=', name).executeTakeFirst(),
      )
      return result.numDeletedRows === 1n
    },

    async listUsers() {
      const rows = await run((db) =>
        db.selectFrom('database_users').selectAll().orderBy('created_at').orderBy('name').execute(),
      )
      return rows.map(({ name, grant_id: grant, target, heir }) => ({ name, grant, target, heir }))
    },
  }
}
