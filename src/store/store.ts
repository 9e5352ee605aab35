// Owns what the control plane keeps: principals, logins, grants and sessions. Every change of state is one
// conditional statement whose row count decides. It must never be called on the path of an operation.

import type { Kysely } from 'kysely'
import type { ApprovalOutcome, RequestState } from '../core/approval.js'
import type { SessionSummary } from '../core/authority.js'
import type { BudgetLease, BudgetStanding } from '../core/budget.js'
import type { Grant } from '../core/grant.js'
import type { JsonValue } from '../core/json.js'
import type { Principal } from '../core/principal.js'
import type { AnswerRecord, RequestRecord, SessionRecord, Tables } from './schema.js'
import type { SessionIndexStore } from './session-facts.js'
import type { SessionSearchStore } from './session-search.js'

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

export type NewRequest = Omit<
  RequestRecord,
  'state' | 'created_at' | 'closed_at' | 'outcome' | 'outcome_message'
>

export interface RequestFilter {
  readonly principal?: string
  readonly target?: string
  readonly states?: readonly RequestState[]
  /** 1–1000. */
  readonly limit: number
}

/** Whether a session may go on, read in one go for the renewal of its lease. */
export interface SessionStanding {
  readonly state: string
  readonly grantEndsAt: number
  readonly grantRevoked: boolean
}

/** Whose budget, and what it counts. */
export interface BudgetOf {
  readonly principal: string
  readonly target: string
  readonly counter: string
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

/** A short-lived user of a target's database. */
export interface DatabaseUser {
  readonly name: string
  readonly grant: string
  readonly target: string
  readonly heir: string
}

export interface Store extends SessionIndexStore, SessionSearchStore {
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
  /** Written before it is made, and forgotten when it is gone. */
  recordUser(user: DatabaseUser): Promise<void>
  /** False when it was not there. */
  forgetUser(name: string): Promise<boolean>
  /** Oldest first. */
  listUsers(): Promise<DatabaseUser[]>
  /** Grants of a principal that are neither over nor revoked. */
  liveGrants(principal: string): Promise<StoredGrant[]>
  /** Ends every login of a principal; answers how many there were. */
  revokeLogins(principal: string): Promise<number>
  /** By display name, which need not be unique; ten at most. */
  principalsNamed(name: string): Promise<Principal[]>
  /** Checks grant, principal and the number of open sessions, and opens, in one statement. */
  openSession(session: OpenSession): Promise<OpenResult>
  /** False when it was closed before. */
  closeSession(summary: SessionSummary): Promise<boolean>
  findSession(id: string): Promise<SessionRecord | undefined>
  sessionStanding(id: string): Promise<SessionStanding | undefined>
  /** Newest first. */
  listSessions(filter: SessionFilter): Promise<SessionRecord[]>
  /** Writes a request, unless a live one of the same principal, target and digest is there. Answers the live one. */
  openRequest(
    request: NewRequest,
  ): Promise<{ readonly record: RequestRecord; readonly isNew: boolean }>
  findRequest(id: string): Promise<RequestRecord | undefined>
  /** Newest first. */
  listRequests(filter: RequestFilter): Promise<RequestRecord[]>
  /** Oldest first. */
  answersOf(request: string): Promise<AnswerRecord[]>
  /** Writes one person's answer to a request that is open. False when it is not, is over, is theirs, or they answered before. */
  addAnswer(answer: Omit<AnswerRecord, 'at'>): Promise<boolean>
  /** Moves a live request from one state to another. False when it was not in it, or is over. */
  moveRequest(
    id: string,
    from: RequestState,
    to: RequestState,
    expiresAt?: number,
  ): Promise<boolean>
  /** Takes an approval for its one run. True for exactly one of any number of callers. */
  consumeRequest(given: {
    readonly id: string
    readonly principal: string
    readonly target: string
    readonly digest: string
  }): Promise<boolean>
  /** The first outcome stands. */
  setRequestOutcome(
    id: string,
    outcome: ApprovalOutcome,
    message: string | undefined,
  ): Promise<boolean>
  /** Ends live requests whose time is over. Answers them. */
  expireRequests(): Promise<RequestRecord[]>
  /** What a holder took and wants to hold. Never lets the sum pass the limit. Without `grow` it holds no more than before. */
  leaseBudget(
    lease: BudgetLease & BudgetOf,
    options: { readonly grow: boolean },
  ): Promise<BudgetStanding>
  /** What dead processes held counts as taken; called once at the start. */
  foldBudgets(): Promise<void>
  /** Runs that a dead process left without an outcome become `unknown`; called once at the start. Answers their ids. */
  markUnknownOutcomes(): Promise<string[]>
  /** Sessions left open by a process that died; called once at the start. Answers their ids. */
  markCrashed(): Promise<string[]>
  close(): Promise<void>
}

/** Runs a query; whatever the driver throws becomes VGATE_STORE_UNAVAILABLE. */
export type Run = <T>(query: (db: Kysely<Tables>) => Promise<T>) => Promise<T>

/** One database below the store: embedded, or a PostgreSQL. */
export interface StoreDatabase {
  readonly run: Run
  /** As `run`, for a statement that counts rows before it adds one: alone among those of its principal. */
  alone<T>(principal: string, query: (db: Kysely<Tables>) => Promise<T>): Promise<T>
  close(): Promise<void>
}
