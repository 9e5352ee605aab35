// Owns locks: of rows by SELECT … FOR UPDATE and its kin, of tables by LOCK. PostgreSQL asks for the right to update, and
// so do we; what keeps other writers or readers out is for administrators, as advisory locks are.

import { CATALOG } from '../../../core/operation.js'
import type { Relation } from '../catalogue.js'
import type { Analysis } from './analysis.js'
import { resolveRelation } from './from.js'
import type { Range } from './scope.js'
import { expectNode, type Fields, list, NotUnderstood } from './tree.js'
import { viewColumns } from './view.js'

/** Notes that the relations of FROM are locked. A list of tables (OF) is not narrowed: more is asked, never less. */
export function lockRows(clauses: unknown, ranges: readonly Range[], analysis: Analysis): void {
  for (const each of list(clauses)) expectNode(each, 'LockingClause')
  for (const item of ranges.flatMap((range) => range.items)) {
    // PostgreSQL would lock the rows inside a subquery too.
    if (item.relation === undefined)
      throw new NotUnderstood('not supported yet: row locks of anything but tables')
    analysis.reach(item.relation, 'write', 'update', { kind: 'none' }, item.only)
    if (item.relation.kind === 'v') lockBehind(item.relation, analysis)
  }
}

/** The rows of a view are locked where they are. */
function lockBehind(view: Relation, analysis: Analysis): void {
  const account = analysis.separate(analysis.path)
  viewColumns(view, account)
  for (const use of account.collections)
    if (use.collection !== CATALOG)
      analysis.collection({ ...use, access: 'write', action: 'update', effect: { kind: 'none' } })
}

/** AccessShareLock and RowExclusiveLock (PostgreSQL, lockdefs.h): what a SELECT and an UPDATE take by themselves. */
const [OF_READS, OF_WRITES] = [1, 3]

/** Notes the tables of LOCK, with what inherits from them; answers what it amounts to. */
export function lockTables(fields: Fields, analysis: Analysis): string {
  const mode = typeof fields['mode'] === 'number' ? fields['mode'] : Number.POSITIVE_INFINITY
  const [access, action] =
    mode <= OF_READS
      ? (['read', 'get'] as const)
      : mode <= OF_WRITES
        ? (['write', 'update'] as const)
        : (['admin', 'alter_collection'] as const)
  for (const each of list(fields['relations'])) {
    const { relation, only } = resolveRelation(expectNode(each, 'RangeVar'), analysis)
    if (!['r', 'p', 'f'].includes(relation.kind))
      throw new NotUnderstood(`not supported yet: LOCK of "${relation.name}", which is no table`)
    analysis.reach(relation, access, action, { kind: 'none' }, only)
  }
  return action
}
