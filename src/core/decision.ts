// Owns what policy answers and what must be carried out for a permit to stand.

import type { ApprovalTerms } from './approval.js'
import type { ErrorCode } from './errors.js'
import type { Risk } from './operation.js'

export const DETECTORS = ['email', 'phone', 'card', 'iban', 'ssn'] as const
export type MaskWith = 'redact' | 'partial' | 'hash' | 'null'

/** How one field must be masked. `detect` masks what the detectors find inside the text; without it the whole value. */
export type FieldTransform =
  | { readonly kind: 'value'; readonly with: MaskWith }
  /** detectors: names of DETECTORS or `re2:PATTERN`. */
  | { readonly kind: 'detect'; readonly detectors: readonly string[]; readonly with: MaskWith }
  | { readonly kind: 'vector' }

/** What happens to a distance that leaves. */
export type ScoreTransform = { readonly round: number } | 'hide' | 'exact'

/** A mask as it applies to one field of one collection. */
export interface FieldMask {
  readonly collection: string
  readonly field: string
  /** Where inside the field's JSON value the masked part stands, one entry a step; absent: the whole value. */
  readonly path?: readonly string[]
  readonly transforms: readonly FieldTransform[]
  readonly scores: ScoreTransform
  /** The rule, for the record: `roles.reader.mask[0]`. */
  readonly rule: string
}

export type RecordLevel = 'full' | 'text' | 'metadata'

export interface RowLimit {
  readonly rows: number
  /** `roles.reader.limits.rows`, or `holds.destructive` with thresholds.rows. */
  readonly rule: string
  readonly because: 'limit' | 'hold'
  /** In place of the usual words, where it is what is left of a budget. */
  readonly says?: { readonly message: string; readonly hint: string }
  /** Of `hold`: what a second person would have to say for the read to run without it. */
  readonly terms?: readonly ApprovalTerms[]
}

/** Where a result ends by its size. No approval lifts it. */
export interface ByteLimit {
  readonly bytes: number
  /** `roles.reader.limits.bytes`. */
  readonly rule: string
}

export interface Obligations {
  /** One entry for each masked field that leaves. */
  readonly masks: readonly FieldMask[]
  /** An unbounded read fails at this many rows; absent where none applies. */
  readonly rowLimit?: RowLimit
  /** What is left of `rowLimit` in a run that was approved: a deny's. */
  readonly rowLimitApproved?: RowLimit
  /** The rows of one result, as the client is given them, fail at this many bytes; absent where none applies. */
  readonly byteLimit?: ByteLimit
  readonly record: RecordLevel
  /**
   * It writes a collection of which the caller may not see all. What the database runs by itself then (a trigger)
   * may quote that in its messages.
   */
  readonly hides?: true
}

export interface Permit {
  readonly verdict: 'permit'
  /** The allow rule: `roles.reader.allow[0]`. */
  readonly rule: string
  readonly roles: readonly string[]
  readonly obligations: Obligations
}

export interface Deny {
  readonly verdict: 'deny'
  /** `default deny`, or the rule that refused: `deny[0]`, `roles.reader.deny[1]`, `roles.reader.mask[0]`. */
  readonly rule: string
  readonly code: ErrorCode
  /** One sentence for the caller, lower case, naming operation and collection. */
  readonly reason: string
  /** What to do: whom to ask, what to change. */
  readonly hint: string
}

export interface Hold {
  readonly verdict: 'hold'
  /** The hold that matched first. */
  readonly rule: string
  /** Of every hold that matches: all apply. Empty where one of them names nobody who could approve. */
  readonly terms: readonly ApprovalTerms[]
  /** The allow rule that stands once it is approved. */
  readonly permittedBy: string
  readonly risks: readonly Risk[]
  readonly reason: string
  readonly obligations: Obligations
}

export type Decision = Permit | Deny | Hold
