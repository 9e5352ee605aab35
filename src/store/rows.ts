// Owns what the tables' files share: rows that one statement both checks and writes, and the reading of its answer.

import { type RawBuilder, sql } from 'kysely'
import type { Tables } from './schema.js'

/** Most rows that a list answers. */
const MAX_ROWS = 1000

/**
 * `INSERT INTO table … SELECT row`, then `from`: the tables to read, the conditions, and what to do on a conflict. The
 * row's members are named once, so that no value can end up in another's column. They are values, or expressions over
 * the tables of `from`.
 */
export function insertFrom<T extends keyof Tables & string>(
  table: T,
  row: { readonly [Column in keyof Tables[T]]: Tables[T][Column] | RawBuilder<unknown> },
  from: RawBuilder<unknown>,
): RawBuilder<unknown> {
  const columns = Object.keys(row).map((name) => sql.ref(name))
  return sql`INSERT INTO ${sql.table(table)} (${sql.join(columns)})
    SELECT ${sql.join(Object.values(row))} ${from}`
}

/** True when a conditional statement changed the one row that it was about. */
export function changedOne(result: {
  readonly numUpdatedRows?: bigint
  readonly numInsertedOrUpdatedRows?: bigint | undefined
  readonly numAffectedRows?: bigint | undefined
}): boolean {
  const { numUpdatedRows, numInsertedOrUpdatedRows, numAffectedRows } = result
  return (numUpdatedRows ?? numInsertedOrUpdatedRows ?? numAffectedRows) === 1n
}

/** How many rows a list answers when `asked` are wanted: 1–1000. */
export function rowLimit(asked: number): number {
  return Math.min(MAX_ROWS, Math.max(1, Math.trunc(asked)))
}
