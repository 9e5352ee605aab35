// Owns what kind of write an action is, for bulk.

import type { CollectionUse } from '../core/operation.js'

/** `mixed` may be any of the others. */
export type WriteKind = 'delete' | 'update' | 'insert' | 'upsert' | 'mixed'

const KINDS: Readonly<Record<string, WriteKind>> = {
  delete: 'delete',
  delete_by_filter: 'delete',
  truncate: 'delete',
  delete_vectors: 'delete',
  update: 'update',
  update_by_filter: 'update',
  update_payload: 'update',
  overwrite_payload: 'update',
  delete_payload: 'update',
  clear_payload: 'update',
  update_vectors: 'update',
  insert: 'insert',
  import: 'insert',
  upsert: 'upsert',
}

/** The kind of a use that writes. Administration that is none of these is no bulk of rows. */
export function writeKind(use: CollectionUse): WriteKind | undefined {
  if (use.access !== 'write' && use.access !== 'admin') return undefined
  const kind = Object.hasOwn(KINDS, use.action) ? KINDS[use.action] : undefined
  return kind ?? (use.access === 'write' ? 'mixed' : undefined)
}
