// Owns the second seam: the only door between data plane and control plane. Asynchronous and JSON only, so that
// it is a call in one process and a message between an agent and its gateway. A test runs the product through a
// serialising one.

import type { ApprovalAsked, ApprovalOutcome, ApprovalStanding } from './approval.js'
import type { BudgetLease, BudgetStanding } from './budget.js'
import type { CloseReason, Grant } from './grant.js'
import type { Principal } from './principal.js'

/** A target as the data plane needs it. No credential in it. */
export interface TargetSpec {
  readonly name: string
  /** Name of a row of databases/list.ts. */
  readonly database: string
  readonly host: string
  readonly port: number
  readonly databaseName: string
  /** `off` is accepted for literal loopback addresses only. `ca` is PEM text. */
  readonly tls:
    | { readonly verify: 'full'; readonly ca?: string; readonly serverName?: string }
    | { readonly verify: 'off' }
  readonly contact?: string
  /** Each grant gets a database user of its own, a member of these, called by this prefix and something random. */
  readonly mint?: {
    readonly role: { readonly memberOf: readonly string[]; readonly prefix: string }
  }
}

/** A short-lived database user that is not known to be gone. */
export interface LeftUser {
  readonly user: string
  /** Marks it in the database as this grant's. */
  readonly grant: string
  /** The database's own role that gets what it owns. */
  readonly heir: string
  readonly target: TargetSpec
}

/**
 * Keeps what short-lived database users there are, so that none outlives the process that made it. Never a password:
 * that is in the memory of the process that logs in with it.
 */
export interface UserLedger {
  /** It is about to be made: durable before this answers, and in the audit log. Rejects when the session is over. */
  begun(given: { readonly session: string; readonly user: string }): Promise<void>
  /** It could not be made; the reason is for the audit log. What may be left of it is still to be dropped. */
  failed(given: { readonly user: string; readonly message: string }): Promise<void>
  /** The database has it no more. */
  dropped(user: string): Promise<void>
  /** It could not be dropped now; the reason is for the audit log. */
  kept(given: { readonly user: string; readonly message: string }): Promise<void>
  /** All that are not gone, on targets that there still are. */
  left(): Promise<readonly LeftUser[]>
  /** The target's own credential, to drop this user. Rejects where it is gone. */
  leaseCredential(user: string): Promise<{ readonly username: string; readonly password: string }>
}

export interface OpenSessionRequest {
  readonly grant: string
  /** Id of the authenticated principal; must be the grant's own. */
  readonly principal: string
  readonly client: {
    readonly version: string
    readonly platform: string
    readonly command: 'connect' | 'exec'
  }
}

export interface SessionLease {
  readonly session: string
  readonly principal: Principal
  readonly grant: Grant
  readonly target: TargetSpec
  /** Compiled where it is used. */
  readonly policy: { readonly source: string; readonly hash: string }
  /** Milliseconds since the epoch; without a newer lease by then the data plane denies. */
  readonly leaseUntil: number
  /** Live approval requests of this principal on this target, so that a retry is known without asking. */
  readonly requests: readonly ApprovalStanding[]
}

/** Pushed to the data plane while a session is open. */
export type SessionNotice =
  | { readonly kind: 'ended'; readonly reason: CloseReason; readonly message: string }
  | { readonly kind: 'policy'; readonly source: string; readonly hash: string }
  /** A request of this principal on this target was opened or changed its state. */
  | { readonly kind: 'request'; readonly request: ApprovalStanding }

export interface SessionSummary {
  readonly session: string
  readonly reason: CloseReason
  readonly operations: number
  readonly denied: number
  readonly rows: number
  readonly bytesOut: number
  /** Head of the recording: last sequence number and its hash in hex. */
  readonly recording: { readonly records: number; readonly head: string }
}

export interface Authority {
  /** Checks grant and principal again, and opens the session. Rejects with a VgateError (revoked, ended, unknown). */
  openSession(request: OpenSessionRequest): Promise<SessionLease>
  /** The database credential for one session. The value never leaves the process that dials. */
  leaseCredential(
    session: string,
  ): Promise<{ readonly username: string; readonly password: string }>
  /** Renews a lease of 5 s; called well before it ends. Rejects when the session is over. */
  renewLease(session: string): Promise<{ readonly leaseUntil: number; readonly policyHash: string }>
  /** Tells of an end or a new policy. The answer stops watching. */
  watch(session: string, listener: (notice: SessionNotice) => void): () => void
  closeSession(summary: SessionSummary): Promise<void>
  /**
   * Says what was taken of a budget of the session's principal on its target, and asks for more. `settle`: nothing more
   * is wanted than before; that can be said of a session that is over, too.
   */
  leaseBudget(
    given: BudgetLease & { readonly session: string; readonly settle?: true },
  ): Promise<BudgetStanding>
  /** Opens a request, or finds the live one of the same digest, principal and target. */
  requestApproval(asked: ApprovalAsked): Promise<ApprovalStanding>
  /**
   * Takes an approval for one run, durably, by compare-and-set: of any number of callers one gets `true`. False when it
   * is not approved any more, is over, or is bound to another digest, principal or target.
   */
  consumeApproval(given: {
    readonly session: string
    readonly request: string
    readonly digest: string
  }): Promise<{ readonly consumed: boolean }>
  /** What it was asked for has changed too much: nobody's answer counts any more. */
  voidApproval(given: {
    readonly session: string
    readonly request: string
    readonly reason: string
  }): Promise<void>
  /** How the one run of a consumed approval ended. The first word stands. */
  recordOutcome(given: {
    readonly session: string
    readonly request: string
    readonly outcome: ApprovalOutcome
    readonly message?: string
  }): Promise<void>
  readonly users: UserLedger
}
