// Owns where bulk begins: the risks of an operation that depend on thresholds. What is not known to be small is bulk.
// Counts are per request; windows are not counted yet.

import {
  CATALOG,
  type CollectionUse,
  type Effect,
  type Operation,
  type Risk,
} from '../core/operation.js'
import type { Thresholds } from './defaults.js'
import type { Risks } from './match.js'

const DELETES = new Set(['delete', 'delete_by_filter', 'truncate', 'delete_vectors'])
const UPDATES = new Set([
  'update',
  'update_by_filter',
  'update_payload',
  'overwrite_payload',
  'delete_payload',
  'clear_payload',
  'update_vectors',
])
const INSERTS = new Set(['insert', 'import'])
const EXPORTS = new Set(['export', 'download_snapshot', 'create_snapshot'])

/**
 * The risks of an operation under the thresholds of the roles held. `presume` says how an effect that is not known
 * yet counts: as bulk, or, for a statement that is only prepared, not at all.
 */
export function risksOf(
  operation: Operation,
  limits: Thresholds,
  presume: 'bulk' | 'nothing',
): Risks {
  const whole = new Set<Risk>(operation.risks)
  if (
    EXPORTS.has(operation.name) ||
    returnsMore(operation, limits.rows) ||
    (presume === 'bulk' && gathersMore(operation, limits.rows))
  )
    whole.add('bulk-export')
  const byUse = new Map<CollectionUse, ReadonlySet<Risk>>()
  for (const use of operation.collections) byUse.set(use, useRisks(use, limits, presume))
  return { whole, byUse }
}

/** All risks in the order in which they were found, without repetition. */
export function allRisks(risks: Risks): Risk[] {
  return [...new Set([...risks.whole, ...[...risks.byUse.values()].flatMap((set) => [...set])])]
}

/** True when the operation reads data: something besides the catalogue. */
export function readsData(operation: Operation): boolean {
  return operation.collections.some((use) => use.access !== 'none' && use.collection !== CATALOG)
}

function returnsMore(operation: Operation, rows: number): boolean {
  if (!readsData(operation) || operation.returns.rows === 'unbounded') return false
  // Written so that NaN counts as more.
  return !(operation.returns.rows <= rows)
}

/** True when single values hold more rows than that: no row limit would ever see them. */
export function gathersMore(operation: Operation, rows: number): boolean {
  const { gathers } = operation.returns
  if (gathers === undefined || !readsData(operation)) return false
  return gathers === 'unbounded' || !(gathers <= rows)
}

function useRisks(use: CollectionUse, limits: Thresholds, presume: 'bulk' | 'nothing'): Set<Risk> {
  const risks = new Set<Risk>()
  if (EXPORTS.has(use.action)) risks.add('bulk-export')
  if (use.access !== 'write' && use.access !== 'admin') return risks
  const { effect } = use
  if (effect.kind === 'none' || (effect.kind === 'unknown' && presume === 'nothing')) return risks
  if (DELETES.has(use.action)) {
    if (!names(effect, limits.ids)) risks.add('bulk-delete')
  } else if (UPDATES.has(use.action)) {
    if (!names(effect, limits.ids)) risks.add('bulk-update')
  } else if (INSERTS.has(use.action)) {
    if (!counts(effect, limits.rows)) risks.add('bulk-write')
  } else if (use.action === 'upsert') {
    if (!counts(effect, limits.rows)) risks.add('bulk-write')
    // Every row may meet an existing key.
    if (!counts(effect, limits.ids)) risks.add('overwrite')
  } else if (use.access === 'write' && !names(effect, limits.ids)) {
    // A mixed write (`batch_write`) may be any of them.
    for (const risk of ['bulk-delete', 'bulk-update', 'bulk-write', 'overwrite'] as const)
      risks.add(risk)
  }
  return risks
}

/** Keys that are named, and no more than `limit` of them. */
function names(effect: Effect, limit: number): boolean {
  return effect.kind === 'ids' && effect.count <= limit
}

/** A known number, and no more than `limit`. */
function counts(effect: Effect, limit: number): boolean {
  return (effect.kind === 'ids' || effect.kind === 'rows') && effect.count <= limit
}
