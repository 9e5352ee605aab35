// Owns which writes are counted over time, and as what: a bulk delete in single deletes is a bulk delete. Pure; the
// counting itself is `proxy/write-windows.ts`'s.

import { type CollectionUse, isTemporary, type Risk } from '../core/operation.js'
import type { CompiledRole, Condition } from './compile.js'
import { DEFAULT_THRESHOLDS } from './defaults.js'
import { type WriteKind, writeKind } from './write-kinds.js'

/** What windows have to keep for every role of a policy. */
export interface Windows {
  /** The longest window of any role. Milliseconds. */
  readonly keepMs: number
  /** The highest number of keys that any role may name before it is bulk. */
  readonly ids: number
}

/** What a use brings its collection to within the window, itself included. */
export interface Recent {
  /** Distinct keys that were deleted, updated or overwritten, as the use does. */
  readonly keys: number
  /** Rows inserted or upserted. */
  readonly rows: number
  /** Length of the window, and how long until the oldest that it counts leaves it. Milliseconds. */
  readonly perMs: number
  readonly freesMs: number
}

const WINDOWED: readonly Risk[] = ['bulk-delete', 'bulk-update', 'bulk-write', 'overwrite']

/** Undefined where no deny and no hold asks about a risk that windows can bring. */
export function windowsOf(
  roles: readonly CompiledRole[],
  rules: readonly Condition[],
): Windows | undefined {
  if (!rules.some(({ risks }) => WINDOWED.some((risk) => risks?.has(risk) === true)))
    return undefined
  const thresholds = [DEFAULT_THRESHOLDS, ...roles.map((role) => role.thresholds)]
  return {
    keepMs: Math.max(...thresholds.map(({ perMs }) => perMs)),
    ids: Math.max(...thresholds.map(({ ids }) => ids)),
  }
}

/** How a use is counted; undefined where it writes nothing that others see, or is bulk by itself because nobody knows how much. */
export function countedAs(
  use: CollectionUse,
): { readonly kind: WriteKind; readonly count: number } | undefined {
  const kind = writeKind(use)
  const { effect } = use
  if (isTemporary(use.collection)) return undefined
  if (kind === undefined || (effect.kind !== 'ids' && effect.kind !== 'rows')) return undefined
  return { kind, count: effect.count }
}
