// Owns the reading of settings by the function behind pg_settings: it must never tell more than the view may.

import type { Relation } from '../catalogue.js'
import type { Analysis } from './analysis.js'
import { expectNode, type Fields, isFields, list, names, tagOf } from './tree.js'

export const SHOW_ALL = 'pg_show_all_settings'

/** `pg_show_all_settings()` gives the rows of pg_settings, and is read like it. */
export function readsSettings(fields: Fields, analysis: Analysis): Relation | undefined {
  const [only, ...others] = list(fields['functions']).map(
    (each) => list(expectNode(each, 'List')['items'])[0],
  )
  const plain = Object.keys(fields).every((key) =>
    ['functions', 'is_rowsfrom', 'alias'].includes(key),
  )
  if (others.length > 0 || !plain || !isFields(only) || tagOf(only) !== 'FuncCall') return undefined
  const call = expectNode(only, 'FuncCall')
  const parts = names(call['funcname'])
  if (parts.at(-1) !== SHOW_ALL || list(call['args']).length > 0) return undefined
  const found = analysis.catalogue.routines(
    parts.length > 1 ? parts[0] : undefined,
    SHOW_ALL,
    analysis.path,
  )
  if (found.length === 0 || found.some(({ schema }) => schema !== 'pg_catalog')) return undefined
  return analysis.catalogue.relation('pg_catalog', 'pg_settings', [])
}
