// Owns what holds where policy.yaml says nothing. docs/policy.md lists the same values.

import type { RecordLevel, ScoreTransform } from '../core/decision.js'

/** Where bulk begins. `perMs` is the window that counts distinct keys. */
export interface Thresholds {
  readonly ids: number
  readonly rows: number
  readonly perMs: number
}

export const DEFAULT_THRESHOLDS: Thresholds = { ids: 100, rows: 1000, perMs: 60_000 }
export const DEFAULT_GRANT_MS = 3_600_000
export const DEFAULT_GRANT_MAX_MS = 8 * 3_600_000
/** How long a request stays open, and an approval may be used. */
export const DEFAULT_APPROVAL_MS = 15 * 60_000
/** How long an open transaction waits for a second person. */
export const DEFAULT_IN_TRANSACTION_MS = 20_000
/** Distances to a hidden embedding. */
export const DEFAULT_SCORES: ScoreTransform = { round: 2 }
export const DEFAULT_RECORD: RecordLevel = 'text'
