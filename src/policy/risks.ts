// Owns where bulk begins: the risks of an operation that depend on thresholds. What is not known to be small is bulk.
// What was written shortly before counts as if it were the same request.

import {
  CATALOG,
  type CollectionUse,
  type Effect,
  isTemporary,
  type Operation,
  type Risk,
} from '../core/operation.js'
import type { Thresholds } from './defaults.js'
import type { Risks } from './match.js'
import type { Recent } from './windows.js'
import { writeKind } from './write-kinds.js'

const EXPORTS = new Set(['export', 'download_snapshot', 'create_snapshot'])

/** What the uses of an operation come to with what was written before. */
export type RecentUses = ReadonlyMap<CollectionUse, Recent>

/**
 * The risks of an operation under the thresholds of the roles held. `presume` says how an effect that is not known
 * yet counts: as bulk, or, for a statement that is only prepared, not at all.
 */
export function risksOf(
  operation: Operation,
  limits: Thresholds,
  presume: 'bulk' | 'nothing',
  recent?: RecentUses,
): Risks {
  const whole = new Set<Risk>(operation.risks)
  if (
    EXPORTS.has(operation.name) ||
    returnsMore(operation, limits.rows) ||
    (presume === 'bulk' &&
      (gathersMore(operation, limits.rows) || copiesMore(operation, limits.rows)))
  )
    whole.add('bulk-export')
  const byUse = new Map<CollectionUse, ReadonlySet<Risk>>()
  for (const use of operation.collections)
    byUse.set(use, useRisks(use, limits, presume, recent?.get(use)))
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

/**
 * True when more rows than that may be copied into what is the session's own: no rule about where they come from meets
 * them there. What is compared with rows tells them as well as a copy does, so that any read counts.
 */
export function copiesMore(operation: Operation, rows: number): boolean {
  if (!readsGoverned(operation)) return false
  const written = operation.collections.filter(({ collection }) => isTemporary(collection))
  return !(writtenRows(written) <= rows)
}

/** True when it reads what is neither the catalogue nor the session's own. A plan reads no rows. */
function readsGoverned({ collections, fields }: Operation): boolean {
  const governed = (collection: string): boolean =>
    collection !== CATALOG && !isTemporary(collection)
  return (
    collections.some(({ collection, access, action }) => {
      return access === 'read' && action !== 'describe_collection' && governed(collection)
    }) || fields.some(({ how, collection }) => how === 'copied' && governed(collection))
  )
}

/**
 * Rows that these uses write at most; infinite where nobody knows. Uses of one collection by one action each carry the
 * total of the request already.
 */
export function writtenRows(uses: readonly CollectionUse[]): number {
  const most = new Map<string, number>()
  for (const { access, collection, action, effect } of uses) {
    if ((access !== 'write' && access !== 'admin') || effect.kind === 'none') continue
    const known = effect.kind === 'ids' || effect.kind === 'rows'
    const count = known ? effect.count : Number.POSITIVE_INFINITY
    const key = `${collection}\u0000${action}`
    most.set(key, Math.max(most.get(key) ?? 0, count))
  }
  return [...most.values()].reduce((sum, count) => sum + count, 0)
}

function useRisks(
  use: CollectionUse,
  limits: Thresholds,
  presume: 'bulk' | 'nothing',
  recent: Recent | undefined,
): Set<Risk> {
  const risks = new Set<Risk>()
  if (EXPORTS.has(use.action)) risks.add('bulk-export')
  const kind = writeKind(use)
  const { effect } = use
  if (kind === undefined || effect.kind === 'none') return risks
  if (effect.kind === 'unknown' && presume === 'nothing') return risks
  const manyKeys = (recent?.keys ?? 0) > limits.ids
  const manyRows = (recent?.rows ?? 0) > limits.rows
  if (kind === 'delete') {
    if (manyKeys || !names(effect, limits.ids)) risks.add('bulk-delete')
  } else if (kind === 'update') {
    if (manyKeys || !names(effect, limits.ids)) risks.add('bulk-update')
  } else if (kind === 'insert') {
    if (manyRows || !counts(effect, limits.rows)) risks.add('bulk-write')
  } else if (kind === 'upsert') {
    if (manyRows || !counts(effect, limits.rows)) risks.add('bulk-write')
    // Every row may meet an existing key.
    if (manyKeys || !counts(effect, limits.ids)) risks.add('overwrite')
  } else if (manyKeys || manyRows || !names(effect, limits.ids)) {
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
