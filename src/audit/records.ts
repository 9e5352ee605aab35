// Owns what a record of a session or of the audit log says. Records are plain JSON; a body never carries a
// credential, a token or a secret. New types may be added; members of a type never change their meaning.

import type { Delivery, RecordedValue } from '../core/adapter.js'
import type { RecordLevel } from '../core/decision.js'
import type { JsonValue } from '../core/json.js'
import type { Access, CollectionUse, Operation, Risk, Unclassified } from '../core/operation.js'
import type { SearchRecord } from './search-records.js'
import type { UserRecord } from './user-records.js'
import type { RecordedKeys } from './written-keys.js'

export interface RecordedPrincipal {
  readonly id: string
  readonly kind?: 'person' | 'workload'
  readonly name: string
  readonly provider: string
}

export interface RecordedGrant {
  readonly id: string
  readonly roles: readonly string[]
  readonly reason?: string
  readonly ticket?: string
  /** ISO 8601, UTC. */
  readonly startsAt: string
  readonly endsAt: string
  /** An approver narrowed it to these. */
  readonly collections?: readonly string[]
  /** The access request that it was given for. */
  readonly request?: string
}

export interface RecordedClient {
  readonly version: string
  readonly platform: string
  readonly command: string
}

export interface SessionOpened {
  readonly type: 'session.opened'
  readonly session: string
  readonly principal: RecordedPrincipal
  readonly grant: RecordedGrant
  readonly target: string
  readonly database: string
  readonly databaseName?: string
  readonly policyHash: string
  readonly client: RecordedClient
}

export interface ConnectionOpened {
  readonly type: 'connection.opened'
  readonly connection: string
}

export interface ConnectionClosed {
  readonly type: 'connection.closed'
  readonly connection: string
  readonly error?: { readonly code: string; readonly message: string }
}

export interface RecordedOperation {
  readonly name: string
  readonly access: Access
  readonly collections: readonly CollectionUse[]
  readonly risks: readonly Risk[]
  readonly functions?: readonly string[]
}

export interface RecordedObligations {
  /** How many fields are masked. */
  readonly masks: number
  readonly rowLimit?: number
}

/** The outcome of judging one request: the intent, recorded before anything is forwarded. */
export interface OperationJudged extends RecordedKeys {
  readonly type: 'operation.judged'
  readonly connection: string
  /** Number of the request within its connection; ascending. */
  readonly op: number
  readonly form: string
  /** Literal vectors reduced, unless under `record: full`. Absent under `record: metadata`. */
  readonly text?: string
  /** Values with all their bytes under `record: full`. */
  readonly parameters?: readonly RecordedValue[]
  readonly operations: readonly (RecordedOperation | { readonly unclassified: string })[]
  readonly verdict: 'permit' | 'deny' | 'hold'
  readonly rule: string
  /** Why, for a refusal: the message the caller got. */
  readonly reason?: string
  readonly obligations?: RecordedObligations
  readonly approval?: RecordedApproval
}

/** What the client is about to be given, after masking. */
export interface OperationDelivered extends Omit<Delivery, 'request'> {
  readonly type: 'operation.delivered'
  readonly connection: string
  readonly op: number
  /** As in the intent, of the keys that only the rows sent or returned name; of all of them, once they are over. */
  readonly keysMore?: NonNullable<RecordedKeys['keysMore']>
}

/** A held request waits for a second person. */
export interface HoldOpened {
  readonly type: 'hold.opened'
  readonly connection: string
  readonly op: number
  readonly request: string
  readonly rules: readonly string[]
  readonly approvers: readonly string[]
  readonly preview: string
  /** ISO 8601, UTC. */
  readonly expiresAt: string
}

/** The wait is over: answered, expired, given up by the client, or ended with its session. */
export interface HoldAnswered {
  readonly type: 'hold.answered'
  readonly connection: string
  readonly op: number
  readonly request: string
  readonly state: string
  readonly by?: readonly string[]
  readonly message?: string
}

/** An approval under which an operation runs. */
export interface RecordedApproval {
  readonly request: string
  /** Ids of the people who approved. */
  readonly by: readonly string[]
}

export interface OperationEnded {
  readonly type: 'operation.ended'
  readonly connection: string
  readonly op: number
  readonly outcome: 'done' | 'failed' | 'cancelled' | 'unknown'
  readonly ms?: number
  readonly message?: string
}

export interface Totals {
  readonly operations: number
  readonly denied: number
  readonly rows: number
  readonly bytesOut: number
}

export interface SessionClosed {
  readonly type: 'session.closed'
  readonly reason: string
  readonly message?: string
  readonly totals: Totals
}

export type SessionRecord =
  | SessionOpened
  | ConnectionOpened
  | ConnectionClosed
  | OperationJudged
  | OperationDelivered
  | OperationEnded
  | HoldOpened
  | HoldAnswered
  | SessionClosed

/** Head of a recording: number of records, and hash of its last block in hex. */
export interface RecordingHead {
  readonly records: number
  readonly head: string
}

/** Whom a refused token spoke of. The caller is never told more than which check failed. */
export interface ClaimedIdentity {
  readonly verified: boolean
  readonly issuer?: string
  readonly subject?: string
  readonly audiences?: readonly string[]
  readonly claims?: Readonly<Record<string, JsonValue>>
  /** The rule that would have matched before it ended, and who owns it. */
  readonly rule?: string
  readonly owner?: string
}

export type LogRecord =
  | {
      readonly type: 'gateway.started'
      readonly version: string
      readonly node: string
      readonly configHash?: string
      readonly policyHash?: string
    }
  | { readonly type: 'gateway.stopped'; readonly reason: string }
  | { readonly type: 'config.loaded'; readonly hash: string; readonly file?: string }
  | { readonly type: 'policy.loaded'; readonly hash: string; readonly file?: string }
  | {
      readonly type: 'policy.rejected'
      readonly file: string
      /** Hash of the policy that stays in force. */
      readonly inForce: string
      readonly issues: readonly string[]
    }
  | {
      readonly type: 'login.succeeded'
      readonly principal: RecordedPrincipal
      readonly issuer?: string
      readonly expiresAt?: string
    }
  | {
      readonly type: 'login.failed'
      readonly provider: string
      readonly code: string
      readonly message: string
      /** What the token said of itself: proved only where `verified` says so. */
      readonly claimed?: ClaimedIdentity
    }
  | {
      readonly type: 'login.refreshed'
      readonly principal: RecordedPrincipal
      readonly expiresAt?: string
    }
  | { readonly type: 'logout'; readonly principal: RecordedPrincipal }
  | {
      readonly type: 'grant.issued'
      readonly principal: RecordedPrincipal
      readonly target: string
      readonly grant: RecordedGrant
      readonly rules?: readonly string[]
    }
  | {
      readonly type: 'grant.refused'
      readonly principal: RecordedPrincipal
      readonly target: string
      readonly role?: string
      readonly code: string
      readonly rule?: string
      readonly message: string
    }
  | {
      readonly type: 'grant.revoked'
      readonly grant: string
      readonly by: RecordedPrincipal
      readonly reason?: string
    }
  | {
      readonly type: 'request.opened'
      readonly request: string
      readonly kind: 'operation' | 'access'
      readonly principal: RecordedPrincipal
      readonly target: string
      readonly roles: readonly string[]
      readonly rules: readonly string[]
      readonly approvers: readonly string[]
      readonly session?: string
      readonly digest: string
      readonly expiresAt: string
    }
  | {
      readonly type: 'request.answered'
      readonly request: string
      readonly by: RecordedPrincipal
      readonly verdict: 'approve' | 'deny'
      readonly reason?: string
    }
  | { readonly type: 'request.approved'; readonly request: string; readonly by: readonly string[] }
  | {
      readonly type: 'request.denied'
      readonly request: string
      readonly by: RecordedPrincipal
      readonly reason?: string
    }
  | { readonly type: 'request.expired'; readonly request: string }
  | { readonly type: 'request.voided'; readonly request: string; readonly reason: string }
  | { readonly type: 'request.consumed'; readonly request: string; readonly session?: string }
  | {
      readonly type: 'request.outcome'
      readonly request: string
      readonly outcome: string
      readonly message?: string
    }
  | {
      readonly type: 'principal.revoked'
      readonly principal: RecordedPrincipal
      readonly by: RecordedPrincipal
      readonly grants: readonly string[]
      readonly reason?: string
    }
  | {
      readonly type: 'session.started'
      readonly session: string
      readonly principal: RecordedPrincipal
      readonly target: string
      readonly grant: string
    }
  | {
      readonly type: 'session.ended'
      readonly session: string
      readonly principal?: RecordedPrincipal
      readonly target?: string
      readonly reason: string
      readonly totals?: Totals
      readonly recording: RecordingHead
    }
  | {
      readonly type: 'session.recovered'
      readonly session: string
      readonly state: string
      readonly recording: RecordingHead
      readonly message?: string
    }
  | {
      readonly type: 'session.killed'
      readonly session: string
      readonly by: RecordedPrincipal
      readonly reason?: string
    }
  | {
      readonly type: 'recording.read'
      readonly session: string
      readonly principal: RecordedPrincipal
      readonly how: 'replay' | 'download' | 'search'
    }
  | SearchRecord
  | UserRecord
  | { readonly type: 'log.closed'; readonly reason: string }

export type RecordBody = SessionRecord | LogRecord

/** A record as it comes back: its number, its time, its type and whatever its body says. */
export interface StoredRecord {
  readonly seq: number
  /** ISO 8601, UTC. Information: the number orders records. */
  readonly at: string
  readonly type: string
  readonly [member: string]: unknown
}

type Writable<T> = { -readonly [Member in keyof T]: T[Member] }

/** An operation as it is recorded: what was judged, without its text, which stands once beside it. */
export function recordedOperation(
  operation: Operation | Unclassified,
  level: RecordLevel,
): RecordedOperation | { readonly unclassified: string } {
  // The reason quotes the text: a name, or what the grammar stopped at.
  if ('reason' in operation)
    return { unclassified: level === 'metadata' ? 'not recorded' : operation.reason }
  const collections = operation.collections.map(
    ({ collection, access, action, effect }: CollectionUse) => ({
      collection,
      access,
      action,
      effect,
    }),
  )
  const { name, access, risks, functions } = operation
  return functions.length > 0
    ? { name, access, collections, risks, functions }
    : { name, access, collections, risks }
}

/** What a client is given, as it is recorded under this level: `metadata` keeps counts only. */
export function recordedDelivery(
  connection: string,
  delivery: Delivery,
  level: RecordLevel,
): OperationDelivered {
  // Member by member, not by spreading: for each spread of this many V8 leaves bytes in its old generation, which at a
  // delivery for every chunk of a large result is what the gateway's memory grows by.
  const record: Writable<OperationDelivered> = {
    type: 'operation.delivered',
    connection,
    op: delivery.request,
    index: delivery.index,
    rowCount: delivery.rowCount,
    bytes: delivery.bytes,
    masked: delivery.masked,
    done: delivery.done,
  }
  const { tag, abandoned, columns, rows, keys, error } = delivery
  const metadata = level === 'metadata'
  if (tag !== undefined) record.tag = tag
  if (abandoned !== undefined) record.abandoned = abandoned
  if (columns !== undefined && !metadata) record.columns = columns
  if (rows !== undefined && !metadata) record.rows = rows
  // Keys stay under `metadata`: they answer "who added this vector".
  if (keys !== undefined) record.keys = keys
  // The database's message may quote data; its code does not.
  if (error !== undefined)
    record.error = metadata ? { sqlstate: error.sqlstate, message: '' } : error
  return record
}
