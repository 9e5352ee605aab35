// Owns row locks of SELECT … FOR UPDATE and its kin: PostgreSQL asks for the right to update, and so do we.

import type { Analysis } from './analysis.js'
import type { Range } from './scope.js'
import { expectNode, list, NotUnderstood } from './tree.js'

/** Notes that the relations of FROM are locked. A list of tables (OF) is not narrowed: more is asked, never less. */
export function lockRows(clauses: unknown, ranges: readonly Range[], analysis: Analysis): void {
  for (const each of list(clauses)) expectNode(each, 'LockingClause')
  for (const item of ranges.flatMap((range) => range.items)) {
    // PostgreSQL would lock the rows inside a subquery too.
    if (item.relation === undefined)
      throw new NotUnderstood('not supported yet: row locks of anything but tables')
    if (item.relation !== undefined)
      analysis.reach(item.relation, 'write', 'update', { kind: 'none' }, item.only)
  }
}
