// Owns what a query or a write is called: search, get, scroll, count, or the write that it is.

import { CATALOG } from '../../../core/operation.js'
import type { Analysis } from './analysis.js'
import type { Query } from './query.js'
import { expectNode, type Fields, isFields, list, tagOf, text } from './tree.js'

const WRITE_NAMES = [
  'truncate',
  'delete_by_filter',
  'update_by_filter',
  'delete',
  'update',
  'upsert',
  'insert',
]

/** The action that a query or a write is called by, which its uses of tables get too. */
export function nameOf(select: Fields | undefined, result: Query, analysis: Analysis): string {
  const writes = analysis.collections.filter((use) => use.access === 'write')
  if (analysis.writes > 1) return 'batch_write'
  if (analysis.writes === 1) {
    const own =
      WRITE_NAMES.find((name) => writes.some((use) => use.action === name)) ?? 'batch_write'
    // A write inside a SELECT is still a write, but not only one.
    return select === undefined ? own : 'batch_write'
  }
  const name = readName(select, result, analysis)
  for (const [index, use] of analysis.collections.entries()) {
    if (use.access !== 'read' || use.action !== 'get') continue
    analysis.collections[index] = { ...use, action: name }
  }
  return name
}

function readName(select: Fields | undefined, result: Query, analysis: Analysis): string {
  const governed = analysis.collections.some((use) => use.collection !== CATALOG)
  if (!governed) return analysis.collections.length > 0 ? 'describe_collection' : 'get'
  if (analysis.searches) return 'search'
  if (select !== undefined && isCount(select)) return 'count'
  return Number.isFinite(result.rows) ? 'get' : 'scroll'
}

/** `SELECT count(…) FROM …`. */
function isCount(select: Fields): boolean {
  const targets = list(select['targetList'])
  if (targets.length !== 1 || list(select['groupClause']).length > 0) return false
  const value = expectNode(targets[0], 'ResTarget')['val']
  if (!isFields(value) || tagOf(value) !== 'FuncCall') return false
  const call = expectNode(value, 'FuncCall')
  const last = list(call['funcname']).slice(-1)[0]
  return (
    call['over'] === undefined &&
    last !== undefined &&
    text(expectNode(last, 'String')['sval']) === 'count'
  )
}
