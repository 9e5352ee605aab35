// Owns what the control plane keeps: principals, logins, grants and sessions. Every change of state is one
// conditional statement whose row count decides. It must never be called on the path of an operation.

import type { Kysely } from 'kysely'
import type { SessionSummary } from '../core/authority.js'
import type { Grant } from '../core/grant.js'
import type { JsonValue } from '../core/json.js'
import type { Principal } from '../core/principal.js'
import type { SessionRecord, Tables } from './schema.js'

export interface StoredGrant extends Grant {
  readonly createdAt: number
  /** Hash of the policy that gave it. */
  readonly policyHash: string
  readonly revoked?: { readonly at: number; readonly by: string; readonly reason: string }
}

export interface OpenSession {
  readonly id: string
  readonly grant: Grant
  readonly principal: Principal
  readonly database: string
  readonly client: { readonly version: string; readonly platform: string; readonly command: string }
  /** Open sessions of this principal, this one included. */
  readonly maxOpen: number
}

/** `opened`, or why not. The reason is looked up after the fact and is for the message only. */
export type OpenResult = 'opened' | 'too_many' | 'ended' | 'revoked' | 'unknown'

export interface SessionFilter {
  readonly principal?: string
  readonly target?: string
  /** Started at or after. Milliseconds since the epoch. */
  readonly since?: number
  /** 1–1000. */
  readonly limit: number
}

/** Whether a session may go on, read in one go for the renewal of its lease. */
export interface SessionStanding {
  readonly state: string
  readonly grantEndsAt: number
  readonly grantRevoked: boolean
}

/** Who a workload was when its grant was given or last renewed, and until when that is proved. */
export interface WorkloadProof {
  readonly name: string
  readonly provider: string
  readonly groups: readonly string[]
  readonly claims: Readonly<Record<string, JsonValue>>
  /** Milliseconds since the epoch. */
  readonly until: number
}

export interface Store {
  /** Writes what was learnt at a login. False when the principal is disabled. */
  upsertPrincipal(principal: Principal): Promise<boolean>
  findPrincipal(id: string): Promise<Principal | undefined>
  /** True while the principal is known and not disabled. */
  isPrincipalActive(id: string): Promise<boolean>
  recordLogin(login: {
    jti: string
    principal: string
    provider: string
    expiresAt: number
  }): Promise<void>
  /** False when it was unknown or ended before. */
  revokeLogin(jti: string): Promise<boolean>
  isLoginActive(jti: string): Promise<boolean>
  createGrant(grant: Grant, policyHash: string): Promise<void>
  findGrant(id: string): Promise<StoredGrant | undefined>
  /** False when it was revoked, over or unknown before. */
  revokeGrant(id: string, by: string, reason: string): Promise<boolean>
  /** Writes what a workload's grant rests on; `until` in milliseconds since the epoch. */
  recordProof(grant: string, principal: Principal, until: number): Promise<void>
  /** Moves the proof on. False when it was as late before, or is unknown. */
  renewProof(grant: string, principal: Principal, until: number): Promise<boolean>
  findProof(grant: string): Promise<WorkloadProof | undefined>
  /** Checks grant, principal and the number of open sessions, and opens, in one statement. */
  openSession(session: OpenSession): Promise<OpenResult>
  /** False when it was closed before. */
  closeSession(summary: SessionSummary): Promise<boolean>
  findSession(id: string): Promise<SessionRecord | undefined>
  sessionStanding(id: string): Promise<SessionStanding | undefined>
  /** Newest first. */
  listSessions(filter: SessionFilter): Promise<SessionRecord[]>
  /** Sessions left open by a process that died; called once at the start. Answers their ids. */
  markCrashed(): Promise<string[]>
  close(): Promise<void>
}

/** Runs a query; whatever the driver throws becomes VGATE_STORE_UNAVAILABLE. */
export type Run = <T>(query: (db: Kysely<Tables>) => Promise<T>) => Promise<T>
