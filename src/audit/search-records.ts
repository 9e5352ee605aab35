// Owns what the audit log says of searches over recordings, and of recordings that they leave out.

import type { RecordedPrincipal } from './records.js'

/** Somebody looked for sessions or keys, or watches sessions; written before the answer is given. */
export interface SearchMade {
  readonly type: 'search.made'
  readonly principal: RecordedPrincipal
  readonly what: 'sessions' | 'key' | 'watch'
  /** Everybody's sessions, or the caller's own. */
  readonly scope: 'everybody' | 'own'
  readonly filters: Readonly<Record<string, string | number>>
  readonly found?: number
}

/** The index found that a recording does not verify, and does not take it up. */
export interface RecordingTampered {
  readonly type: 'recording.tampered'
  readonly session: string
  readonly reason: string
}

export type SearchRecord = SearchMade | RecordingTampered
