// Owns the tables and their migrations. A migration, once released, never changes: the next one mends it.

import type { Selectable } from 'kysely'
import { VgateError } from '../core/errors.js'

/**
 * Times are milliseconds since the epoch; lists and objects are JSON text, on PostgreSQL too: its own JSON types would
 * hand out objects, and in another order.
 */
export interface Tables {
  principals: {
    id: string
    kind: string
    provider: string
    issuer: string
    subject: string
    name: string
    groups: string
    claims: string
    first_seen: number
    last_seen: number
    disabled_at: number | null
  }
  logins: {
    jti: string
    principal: string
    provider: string
    at: number
    expires_at: number
    revoked_at: number | null
  }
  grants: {
    id: string
    principal: string
    target: string
    roles: string
    reason: string | null
    ticket: string | null
    starts_at: number
    ends_at: number
    created_at: number
    policy_hash: string
    revoked_at: number | null
    revoked_by: string | null
    revoke_reason: string | null
    /** Patterns that an approver narrowed it to, as JSON. */
    collections: string | null
    /** The access request it was given for. */
    request: string | null
  }
  workload_grants: {
    grant_id: string
    /** Name, provider, groups and claims, as JSON. */
    proof: string
    proof_until: number
  }
  /** Short-lived users of target databases that are not known to be gone. */
  database_users: {
    name: string
    grant_id: string
    target: string
    /** The database's own role that gets what it owns. */
    heir: string
    created_at: number
  }
  sessions: {
    id: string
    grant_id: string
    principal: string
    principal_name: string
    provider: string
    target: string
    database: string
    roles: string
    reason: string | null
    client: string
    started_at: number
    ended_at: number | null
    /** `open`, a close reason, or `crashed`. */
    state: string
    operations: number
    denied: number
    rows: number
    bytes_out: number
    records: number
    head: string
  }
  /** Questions to a second person. `state` changes by conditional updates only. */
  requests: {
    id: string
    kind: string
    principal: string
    principal_name: string
    provider: string
    target: string
    roles: string
    reason: string | null
    ticket: string | null
    digest: string
    terms: string
    body: string
    session: string | null
    state: string
    created_at: number
    expires_at: number
    closed_at: number | null
    /** Of a consumed one: done, failed or unknown. */
    outcome: string | null
    outcome_message: string | null
  }
  /** One row for each person that answered. */
  answers: {
    request: string
    principal: string
    principal_name: string
    provider: string
    groups: string
    /** `approve` or `deny`. */
    verdict: string
    reason: string | null
    /** What this person narrowed, as JSON. */
    narrowed: string | null
    at: number
  }
  /** What of a session's recording is in the index. The tables below are derived from recordings and may be emptied. */
  session_index: {
    /** Sessions in the order of their start: the start in milliseconds, times 1024, plus a number among equals. */
    no: number
    session: string
    principal: string
    /** `live`, `done`, `incomplete`, `tampered`, `unread` or `missing`. */
    state: string
    /** Why it is not indexed, for `tampered` and `unread`. */
    message: string | null
    /** Records that were read. */
    records: number
    /** 1: the session has more text than the index holds. */
    text_cut: number
    /** Of the rules by which it was indexed. */
    version: number
  }
  /** How often an operation was judged so on a collection of a session. */
  session_uses: {
    no: number
    collection: string
    operation: string
    decision: string
    count: number
  }
  /** Keys written or deleted, and with an empty key hash writes whose keys are not named. */
  session_touches: {
    no: number
    record: number
    /** Whose session it is. */
    principal: string
    target: string
    collection: string
    key_hash: string
    /** Cut to a length that can be shown. */
    key: string | null
    action: string
    at: number
    outcome: string
    rows: number | null
    request: string | null
    predicate: string | null
  }
  /** What was taken and is held of a budget, as JSON of `budget-state.ts`. Changes by conditional updates only. */
  budgets: {
    principal: string
    target: string
    counter: string
    state: string
    version: number
  }
}

export type SessionRecord = Selectable<Tables['sessions']>
export type GrantRecord = Selectable<Tables['grants']>
export type RequestRecord = Selectable<Tables['requests']>
export type AnswerRecord = Selectable<Tables['answers']>
export type PrincipalRecord = Selectable<Tables['principals']>

/**
 * Statements of each version, in order, in the SQL that libsql and PostgreSQL share. `PRAGMA user_version` is not used
 * because PostgreSQL has none.
 */
export const MIGRATIONS: readonly (readonly string[])[] = [
  [
    `CREATE TABLE principals (
      id TEXT PRIMARY KEY, kind TEXT NOT NULL, provider TEXT NOT NULL, issuer TEXT NOT NULL,
      subject TEXT NOT NULL, name TEXT NOT NULL, groups TEXT NOT NULL, claims TEXT NOT NULL,
      first_seen BIGINT NOT NULL, last_seen BIGINT NOT NULL, disabled_at BIGINT,
      UNIQUE (issuer, subject))`,
    `CREATE TABLE logins (
      jti TEXT PRIMARY KEY, principal TEXT NOT NULL REFERENCES principals (id),
      provider TEXT NOT NULL, at BIGINT NOT NULL, expires_at BIGINT NOT NULL, revoked_at BIGINT)`,
    `CREATE INDEX logins_expiry ON logins (expires_at)`,
    `CREATE TABLE grants (
      id TEXT PRIMARY KEY, principal TEXT NOT NULL REFERENCES principals (id),
      target TEXT NOT NULL, roles TEXT NOT NULL, reason TEXT, ticket TEXT,
      starts_at BIGINT NOT NULL, ends_at BIGINT NOT NULL CHECK (ends_at > starts_at),
      created_at BIGINT NOT NULL, policy_hash TEXT NOT NULL,
      revoked_at BIGINT, revoked_by TEXT, revoke_reason TEXT)`,
    `CREATE INDEX grants_principal ON grants (principal, target)`,
    `CREATE TABLE sessions (
      id TEXT PRIMARY KEY, grant_id TEXT NOT NULL REFERENCES grants (id),
      principal TEXT NOT NULL REFERENCES principals (id), principal_name TEXT NOT NULL,
      provider TEXT NOT NULL, target TEXT NOT NULL, database TEXT NOT NULL, roles TEXT NOT NULL,
      reason TEXT, client TEXT NOT NULL, started_at BIGINT NOT NULL, ended_at BIGINT,
      state TEXT NOT NULL, operations BIGINT NOT NULL, denied BIGINT NOT NULL,
      rows BIGINT NOT NULL, bytes_out BIGINT NOT NULL, records BIGINT NOT NULL,
      head TEXT NOT NULL)`,
    `CREATE INDEX sessions_principal ON sessions (principal, started_at)`,
    `CREATE INDEX sessions_started ON sessions (started_at)`,
    `CREATE INDEX sessions_state ON sessions (state, principal)`,
  ],
  [
    `CREATE TABLE workload_grants (
      grant_id TEXT PRIMARY KEY REFERENCES grants (id), proof TEXT NOT NULL,
      proof_until BIGINT NOT NULL)`,
  ],
  [
    `ALTER TABLE grants ADD COLUMN collections TEXT`,
    `ALTER TABLE grants ADD COLUMN request TEXT`,
    `CREATE TABLE requests (
      id TEXT PRIMARY KEY, kind TEXT NOT NULL, principal TEXT NOT NULL REFERENCES principals (id),
      principal_name TEXT NOT NULL, provider TEXT NOT NULL, target TEXT NOT NULL,
      roles TEXT NOT NULL, reason TEXT, ticket TEXT, digest TEXT NOT NULL, terms TEXT NOT NULL,
      body TEXT NOT NULL, session TEXT, state TEXT NOT NULL, created_at BIGINT NOT NULL,
      expires_at BIGINT NOT NULL, closed_at BIGINT, outcome TEXT, outcome_message TEXT)`,
    // One live request for one question: an identical retry finds it.
    `CREATE UNIQUE INDEX requests_live ON requests (principal, target, digest)
      WHERE state IN ('open', 'approved')`,
    `CREATE INDEX requests_created ON requests (created_at)`,
    `CREATE INDEX requests_state ON requests (state, expires_at)`,
    `CREATE TABLE answers (
      request TEXT NOT NULL REFERENCES requests (id),
      principal TEXT NOT NULL REFERENCES principals (id), principal_name TEXT NOT NULL,
      provider TEXT NOT NULL, groups TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT,
      narrowed TEXT, at BIGINT NOT NULL, PRIMARY KEY (request, principal))`,
  ],
  [
    `CREATE INDEX sessions_ended ON sessions (ended_at)`,
    `CREATE INDEX sessions_target ON sessions (target, started_at)`,
    `CREATE INDEX sessions_name ON sessions (principal_name, principal)`,
    `CREATE TABLE session_index (
      no BIGINT PRIMARY KEY, session TEXT NOT NULL UNIQUE REFERENCES sessions (id),
      principal TEXT NOT NULL, state TEXT NOT NULL, message TEXT, records BIGINT NOT NULL,
      text_cut BIGINT NOT NULL, version BIGINT NOT NULL)`,
    `CREATE INDEX session_index_state ON session_index (state, principal)`,
    `CREATE TABLE session_uses (
      no BIGINT NOT NULL, collection TEXT NOT NULL, operation TEXT NOT NULL,
      decision TEXT NOT NULL, count BIGINT NOT NULL,
      PRIMARY KEY (no, collection, operation, decision))`,
    `CREATE TABLE session_touches (
      no BIGINT NOT NULL, record BIGINT NOT NULL, principal TEXT NOT NULL, target TEXT NOT NULL,
      collection TEXT NOT NULL, key_hash TEXT NOT NULL, key TEXT, action TEXT NOT NULL, at BIGINT NOT NULL,
      outcome TEXT NOT NULL, rows BIGINT, request TEXT, predicate TEXT,
      PRIMARY KEY (no, record, collection, key_hash, action))`,
    `CREATE INDEX session_touches_key ON session_touches (key_hash, collection, no)`,
    `CREATE INDEX session_touches_time ON session_touches (key_hash, no)`,
    `CREATE INDEX session_touches_own ON session_touches (principal, key_hash, collection, no)`,
  ],
  [
    `CREATE TABLE database_users (
      name TEXT PRIMARY KEY, grant_id TEXT NOT NULL REFERENCES grants (id), target TEXT NOT NULL,
      heir TEXT NOT NULL, created_at BIGINT NOT NULL)`,
  ],
  [
    `CREATE TABLE budgets (
      principal TEXT NOT NULL REFERENCES principals (id), target TEXT NOT NULL,
      counter TEXT NOT NULL, state TEXT NOT NULL, version BIGINT NOT NULL,
      PRIMARY KEY (principal, target, counter))`,
  ],
]

/** What a database of version `found` still lacks. Throws VGATE_STORE_UNAVAILABLE when a newer vgate wrote `what`. */
export function pendingMigrations(
  found: number,
  what: string,
): readonly { readonly version: number; readonly statements: readonly string[] }[] {
  const known = MIGRATIONS.length
  if (found > known) {
    throw new VgateError(
      'VGATE_STORE_UNAVAILABLE',
      `${what} was written by a newer vgate (schema ${found}, known ${known})`,
      { hint: 'start the newer version, or another store' },
    )
  }
  return MIGRATIONS.map((statements, index) => ({ version: index + 1, statements })).slice(found)
}
