// Owns the words for a second person's answer: what is asked, on which terms, and what became of it. JSON only, so
// that it can cross the authority.

import type { CollectionUse, Risk } from './operation.js'

/** What one hold asks for before an operation may run. Durations are milliseconds. */
export interface ApprovalTerms {
  /** `holds.destructive`, or `access[3]`. */
  readonly rule: string
  /** Groups as `provider:name`; people of them may answer. */
  readonly by: readonly string[]
  /** Distinct people. */
  readonly count: number
  /** How long the request is open, and how long an approval may be used. */
  readonly expiresMs: number
  /** How long an open transaction may wait. */
  readonly inTransactionMs: number
}

/** `approved` may be used once; `consumed` was used. Only `open` and `approved` are alive. */
export type RequestState = 'open' | 'approved' | 'denied' | 'expired' | 'voided' | 'consumed'

/** How much of one collection a held operation would touch, counted before anybody is asked. */
export type PreviewCount =
  | { readonly collection: string; readonly rows: number; readonly of?: number }
  | { readonly collection: string; readonly unknown: string }

/** That an operation waits, as its own session is told. */
export interface HeldEvent {
  readonly request: string
  readonly operation: string
  readonly collections: readonly string[]
  readonly preview: string
  readonly approvers: readonly string[]
  readonly url: string
}

/** An operation that waits, as approvers are shown it. */
export interface HeldOperation {
  /** Names of its actions, e.g. `delete_by_filter`. */
  readonly name: string
  /** Exact text as the record has it: literal vectors reduced. */
  readonly text: string
  readonly parameters?: readonly (string | null)[]
  readonly collections: readonly CollectionUse[]
  readonly risks: readonly Risk[]
  readonly reason: string
  readonly preview: readonly PreviewCount[]
}

/** Asks for a second person. The same live question is the same request. */
export interface ApprovalAsked {
  readonly session: string
  /** SHA-256 in hex over everything that the answer is bound to. */
  readonly digest: string
  readonly terms: readonly ApprovalTerms[]
  readonly operation: HeldOperation
}

/** What became of the question so far. */
export interface ApprovalStanding {
  readonly request: string
  readonly digest: string
  readonly state: RequestState
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
  /** Groups whose people may answer. */
  readonly approvers: readonly string[]
  readonly url: string
  /** What was counted when it was opened. */
  readonly preview: readonly PreviewCount[]
  /** Ids and names of those who approved. */
  readonly approvedBy: readonly { readonly id: string; readonly name: string }[]
  /** Of a denial or a void, by whom and why. */
  readonly answer?: string
}

/** How a run under an approval ended. `unknown`: the connection was lost before the database had answered. */
export type ApprovalOutcome = 'done' | 'failed' | 'unknown'

/** `18,204 of 20,000 rows of notes`, or why nothing could be counted. */
export function previewText(preview: readonly PreviewCount[]): string {
  if (preview.length === 0) return 'not counted'
  const figures = new Intl.NumberFormat('en-US')
  return preview
    .map((one) => {
      if ('unknown' in one) return `${one.collection}: unknown (${one.unknown})`
      const all = one.of === undefined ? '' : ` of ${figures.format(one.of)}`
      return `${figures.format(one.rows)}${all} rows of ${one.collection}`
    })
    .join('; ')
}

/**
 * True when an approved operation would now touch more than a tenth more than its approvers were shown, or when nobody
 * can tell any more: whoever can make counting fail could approve ten rows and run on a million.
 */
export function hasGrown(shown: readonly PreviewCount[], now: readonly PreviewCount[]): boolean {
  return now.some((count) => {
    const before = shown.find((one) => one.collection === count.collection)
    if (before === undefined || 'unknown' in before) return false
    return 'unknown' in count || count.rows > before.rows * 1.1
  })
}
