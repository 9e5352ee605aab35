// Owns what becomes of a statement behind a schema change that the catalogue does not show: in one message with it, or in
// a transaction that cannot be looked into. Must never let one be judged by names that may mean something else by then.

import { CATALOG, isOperation } from '../../core/operation.js'
import { takesBack } from './search-path.js'
import type { CatalogueUses, Classification, ParsedStatement } from './statement.js'
import { unclassified } from './unclassified.js'

/** Why a statement behind a schema change that is not committed is refused. */
export const AFTER_CHANGE = {
  reason: 'not supported yet: a statement after a schema change in the same transaction',
  hint: 'commit first, or use READ COMMITTED',
}
const IN_ONE_MESSAGE = { ...AFTER_CHANGE, hint: 'send it as a message of its own' }

const UNKNOWN_NAME = /^unknown (?:relation|column|index)/
/** What may uncover another object of the same name further back in the search path. */
const UNCOVERS: ReadonlySet<string> = new Set([
  'drop_collection',
  'rename_collection',
  'drop_index',
  'alter_index',
])

/** What the catalogue shows of the open transaction's schema changes: there are none, it shows them, or not. */
export interface Standing {
  readonly standing: 'unchanged' | 'seen' | 'unseen'
  /** Where names are looked up, with what comes before the search path. */
  readonly path: readonly string[]
}

/**
 * What each statement of a message is where it runs: behind a schema change that the catalogue does not show, an earlier
 * statement's or the transaction's own, nothing is taken for existing, and only more of the kind may follow.
 */
export function whereItRuns(
  statements: readonly ParsedStatement[],
  found: readonly Classification[],
  { standing, path }: Standing,
): Classification[] {
  let pending = standing === 'unseen'
  let uncovered = false
  let ended = false
  return found.map((one, index) => {
    const { effects, text = '', named } = statements[index] ?? {}
    const controls = effects?.transaction !== undefined
    const changes = effects?.ddl === true
    const runs = pending && one.existing !== undefined ? { operation: one.existing.otherwise } : one
    const trouble =
      (pending && !controls && !changes) ||
      (pending && isUnknown(runs)) ||
      (pending && standing === 'unseen' && (reads(runs) || mistakable(runs.uses, path))) ||
      (uncovered && mistakable(runs.uses, path)) ||
      (ended && (runs.uses !== undefined || changes || named?.kind === 'prepare'))
    pending ||= changes && runs.existing === undefined
    uncovered ||= changes && uncovers(runs)
    // What was judged with its changes runs without them, or with those of others.
    ended ||= standing !== 'unchanged' && effects !== undefined && takesBack(effects)
    if (!trouble) return runs
    const { reason, hint } = standing === 'unseen' ? AFTER_CHANGE : IN_ONE_MESSAGE
    return { operation: unclassified(text, reason, hint) }
  })
}

function isUnknown({ operation }: Classification): boolean {
  return !isOperation(operation) && UNKNOWN_NAME.test(operation.reason)
}

function reads({ operation }: Classification): boolean {
  return (
    isOperation(operation) &&
    operation.collections.some(
      ({ access, collection }) => access === 'read' && collection !== CATALOG,
    )
  )
}

function uncovers({ operation }: Classification): boolean {
  return isOperation(operation) && operation.collections.some(({ action }) => UNCOVERS.has(action))
}

/** It finds something by a name without a schema, which more than one schema may have. */
function mistakable(uses: CatalogueUses | undefined, path: readonly string[]): boolean {
  return path.length > 1 && Object.keys(uses?.names ?? {}).some((name) => !name.includes('"."'))
}
