// Owns the rows of budgets. A row changes by compare-and-set on its version, so that of any number of leases at once
// none is lost and none is given twice.

import type { Kysely } from 'kysely'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import { fold, lease, NEW_BUDGET, readBudget, writeBudget } from './budget-state.js'
import { changedOne } from './rows.js'
import type { Tables } from './schema.js'
import type { BudgetOf, Run, Store } from './store.js'

type Part = Pick<Store, 'leaseBudget' | 'foldBudgets'>

/** Times that others may be faster before a lease gives up. */
const TRIES = 100

interface Row {
  readonly state: string
  readonly version: number
}

/** The store's methods for budgets. Times are the clock's. */
export function createBudgets(run: Run, clock: Clock): Part {
  return {
    async leaseBudget(asked, { grow }) {
      for (let attempt = 1; attempt <= TRIES; attempt += 1) {
        const row = await run((db) => find(db, asked))
        const before = row === undefined ? NEW_BUDGET : readBudget(row.state)
        const { state, standing } = lease(before, asked, clock.now(), grow)
        if (await write(run, asked, row, writeBudget(state))) return standing
      }
      throw new VgateError('VGATE_STORE_UNAVAILABLE', 'a budget is asked for by too many at once')
    },

    async foldBudgets() {
      const rows = await run((db) => db.selectFrom('budgets').selectAll().execute())
      for (const row of rows) {
        const state = fold(readBudget(row.state), clock.now())
        // What counts no more is nothing to keep.
        if (state.entries.length === 0) await run((db) => remove(db, row))
        else await write(run, row, row, writeBudget(state))
      }
    },
  }
}

function find(
  db: Kysely<Tables>,
  { principal, target, counter }: BudgetOf,
): Promise<Row | undefined> {
  return db
    .selectFrom('budgets')
    .select(['state', 'version'])
    .where('principal', '=', principal)
    .where('target', '=', target)
    .where('counter', '=', counter)
    .executeTakeFirst()
}

/** True when nobody was faster. */
async function write(
  run: Run,
  { principal, target, counter }: BudgetOf,
  row: Row | undefined,
  state: string,
): Promise<boolean> {
  if (row === undefined) {
    const result = await run((db) =>
      db
        .insertInto('budgets')
        .values({ principal, target, counter, state, version: 1 })
        .onConflict((it) => it.doNothing())
        .executeTakeFirst(),
    )
    return changedOne(result)
  }
  const result = await run((db) =>
    db
      .updateTable('budgets')
      .set({ state, version: row.version + 1 })
      .where('principal', '=', principal)
      .where('target', '=', target)
      .where('counter', '=', counter)
      .where('version', '=', row.version)
      .executeTakeFirst(),
  )
  return changedOne(result)
}

async function remove(db: Kysely<Tables>, row: Row & BudgetOf): Promise<void> {
  await db
    .deleteFrom('budgets')
    .where('principal', '=', row.principal)
    .where('target', '=', row.target)
    .where('counter', '=', row.counter)
    .where('version', '=', row.version)
    .execute()
}
