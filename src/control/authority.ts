// Owns the control plane's side of the Authority: who may hold a session, until when, under which policy, with which
// credential. Every renewal looks into the store, so that a revocation counts within one lease.

import type { ApprovalAsked, ApprovalStanding } from '../core/approval.js'
import type {
  Authority,
  OpenSessionRequest,
  SessionLease,
  SessionNotice,
  SessionSummary,
  UserLedger,
} from '../core/authority.js'
import type { BudgetStanding } from '../core/budget.js'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import type { CloseReason, Grant } from '../core/grant.js'
import { newId } from '../core/ids.js'
import type { Principal } from '../core/principal.js'
import { mayTake } from '../policy/access.js'
import type { SecretDeps } from '../secrets/resolve.js'
import type { Store, StoredGrant } from '../store/store.js'
import { type ControlDeps, recordedPrincipal } from './deps.js'
import { EndedSessions } from './ended-sessions.js'
import { grantEnded, notOpened, revoked, unknownGrant } from './grant-errors.js'
import type { Requests } from './requests.js'
import type { Schedule } from './schedule.js'
import type { SessionIndex } from './session-indexer.js'
import type { TargetSettings } from './settings.js'
import { TargetCredentials } from './target-credentials.js'
import { createUserLedger } from './user-ledger.js'
import { proofEnded, provedPrincipal } from './workload-grants.js'

/** A lease without renewal ends after this long. */
export const LEASE_MS = 5000
/** Longest delay that a timer takes (Node's setTimeout, 32 bits). */
const MAX_DELAY_MS = 2 ** 31 - 1

export interface AuthorityDeps {
  readonly config: ControlDeps['config']
  readonly policy: ControlDeps['policy']
  readonly store: Store
  readonly audit: ControlDeps['audit']
  readonly secretDeps: SecretDeps
  readonly clock: Clock
  readonly schedule: Schedule
  readonly requests: Requests
  /** Hears of sessions whose recordings are to be indexed. */
  readonly index: Pick<SessionIndex, 'opened' | 'ended'>
}

export interface ControlAuthority extends Authority {
  /** Tells every session of the policy that `deps.policy()` now answers; those it no longer allows end. */
  policyChanged(): void
  /** Ends the sessions that `which` names by id, grant or principal, upstream cancelled first. Answers their ids. */
  revokeSessions(
    which:
      | { readonly session: string }
      | { readonly grant: string }
      | { readonly principal: string },
    message: string,
  ): string[]
  /** Ends every session: the gateway stops. */
  stop(): void
}

interface Live {
  readonly principal: Principal
  readonly grant: Grant
  readonly target: TargetSettings
  /** Of a workload: what its platform's last token proves. Infinity for people. Milliseconds since the epoch. */
  proofUntil: number
  readonly listeners: Set<(notice: SessionNotice) => void>
  cancelTimer: () => void
  /** The end, once told; whoever watches later hears it too. */
  ended?: SessionNotice
}

/** The authority of one gateway process. Methods reject with a VgateError. */
export function createAuthority(deps: AuthorityDeps): ControlAuthority {
  return new LocalAuthority(deps)
}

class LocalAuthority implements ControlAuthority {
  readonly #deps: AuthorityDeps
  readonly #live = new Map<string, Live>()
  readonly #credentials: TargetCredentials
  readonly users: UserLedger
  readonly #ended: EndedSessions
  #stopped = false

  constructor(deps: AuthorityDeps) {
    this.#deps = deps
    this.#ended = new EndedSessions(deps)
    this.#credentials = new TargetCredentials(deps.secretDeps)
    this.users = createUserLedger(deps, this.#credentials, (session) => this.#standing(session))
    deps.requests.onChange((record, request) => {
      for (const { principal, grant, listeners } of this.#live.values()) {
        if (principal.id !== record.principal || grant.target !== record.target) continue
        for (const listener of [...listeners]) listener({ kind: 'request', request })
      }
    })
  }

  async openSession(request: OpenSessionRequest): Promise<SessionLease> {
    const { store, config, clock, audit } = this.#deps
    if (this.#stopped) throw new VgateError('VGATE_GATEWAY_UNREACHABLE', 'the gateway is stopping')
    const grant = await store.findGrant(request.grant)
    const known = await store.findPrincipal(request.principal)
    // Another's grant is answered as an unknown one.
    if (grant === undefined || known === undefined || grant.principal !== known.id) {
      throw unknownGrant()
    }
    const { principal, proofUntil } = await this.#proved(known, grant.id)
    const target = this.#permitted(principal, grant)
    await this.#ended.settle()
    const requests = await this.#deps.requests.live(principal.id, grant.target)
    const session = newId('ses')
    const { database } = target.spec
    const opened = await store.openSession({
      id: session,
      grant,
      principal,
      database,
      client: request.client,
      maxOpen: config.sessionsPerPrincipal,
    })
    if (opened !== 'opened') throw notOpened(opened, config.sessionsPerPrincipal)
    const whose = { principal: recordedPrincipal(principal), target: grant.target }
    try {
      const record = { type: 'session.started', session, ...whose, grant: grant.id } as const
      await audit.append(record, { sync: true })
    } catch (error) {
      // The reason is what counts; its end is tried again until it is written.
      await this.#ended.close(emptySummary(session, 'error'), whose).catch(() => undefined)
      throw error
    }
    const live: Live = {
      principal,
      grant,
      target,
      proofUntil,
      listeners: new Set(),
      cancelTimer: () => undefined,
    }
    this.#live.set(session, live)
    this.#deps.index.opened(session)
    this.#arm(session, live)
    const { source, hash } = this.#deps.policy()
    const { id, roles, startsAt, endsAt, reason, ticket, collections, request: from } = grant
    const said = {
      ...(reason === undefined ? {} : { reason }),
      ...(ticket === undefined ? {} : { ticket }),
      ...(collections === undefined ? {} : { collections }),
      ...(from === undefined ? {} : { request: from }),
    }
    return {
      session,
      principal,
      grant: {
        id,
        principal: principal.id,
        target: grant.target,
        roles,
        ...said,
        startsAt,
        endsAt,
      },
      target: target.spec,
      policy: { source, hash },
      leaseUntil: Math.min(clock.now() + LEASE_MS, endsAt, proofUntil),
      requests,
    }
  }

  async leaseCredential(session: string): Promise<{ username: string; password: string }> {
    return this.#credentials.of((await this.#standing(session)).target)
  }

  async renewLease(session: string): Promise<{ leaseUntil: number; policyHash: string }> {
    const { grant, proofUntil } = await this.#standing(session)
    const leaseUntil = Math.min(this.#deps.clock.now() + LEASE_MS, grant.endsAt, proofUntil)
    return { leaseUntil, policyHash: this.#deps.policy().hash }
  }

  watch(session: string, listener: (notice: SessionNotice) => void): () => void {
    const live = this.#live.get(session)
    if (live === undefined || live.ended !== undefined) {
      const over: SessionNotice = { kind: 'ended', reason: 'error', message: 'the session is over' }
      queueMicrotask(() => listener(live?.ended ?? over))
      return () => undefined
    }
    live.listeners.add(listener)
    return () => live.listeners.delete(listener)
  }

  async closeSession(summary: SessionSummary): Promise<void> {
    const live = this.#live.get(summary.session)
    live?.cancelTimer()
    this.#live.delete(summary.session)
    this.#deps.index.ended(summary.session)
    await this.#ended.close(
      summary,
      live === undefined
        ? undefined
        : { principal: recordedPrincipal(live.principal), target: live.grant.target },
    )
  }

  async leaseBudget(given: Parameters<Authority['leaseBudget']>[0]): Promise<BudgetStanding> {
    const { session, settle, ...lease } = given
    const { store } = this.#deps
    // What was taken is said by whoever took it, also once the session is over.
    if (settle === undefined) await this.#standing(session)
    const found = await store.findSession(session)
    if (found === undefined) throw new VgateError('VGATE_NOT_FOUND', 'there is no such session')
    const { principal, target } = found
    return await store.leaseBudget({ ...lease, principal, target }, { grow: settle === undefined })
  }

  async requestApproval(asked: ApprovalAsked): Promise<ApprovalStanding> {
    const { principal, grant } = await this.#standing(asked.session)
    return await this.#deps.requests.open({
      body: { kind: 'operation', operation: asked.operation },
      principal,
      target: grant.target,
      roles: grant.roles,
      ...(grant.reason === undefined ? {} : { reason: grant.reason }),
      ...(grant.ticket === undefined ? {} : { ticket: grant.ticket }),
      session: asked.session,
      digest: asked.digest,
      terms: asked.terms,
    })
  }

  async consumeApproval(given: {
    readonly session: string
    readonly request: string
    readonly digest: string
  }): Promise<{ consumed: boolean }> {
    const { principal, grant } = await this.#standing(given.session)
    const consumed = await this.#deps.requests.consume({
      id: given.request,
      principal: principal.id,
      target: grant.target,
      digest: given.digest,
      session: given.session,
    })
    return { consumed }
  }

  async voidApproval(given: {
    readonly session: string
    readonly request: string
    readonly reason: string
  }): Promise<void> {
    await this.#own(given.session, given.request)
    await this.#deps.requests.void(given.request, given.reason)
  }

  async recordOutcome(given: Parameters<Authority['recordOutcome']>[0]): Promise<void> {
    await this.#own(given.session, given.request)
    await this.#deps.requests.outcome(given.request, given.outcome, given.message)
  }

  revokeSessions(
    which: Parameters<ControlAuthority['revokeSessions']>[0],
    message: string,
  ): string[] {
    const ended = [...this.#live].filter(([session, { grant, principal }]) => {
      if ('session' in which) return session === which.session
      return 'grant' in which ? grant.id === which.grant : principal.id === which.principal
    })
    for (const [session] of ended) this.#end(session, 'revoked', message)
    return ended.map(([session]) => session)
  }

  policyChanged(): void {
    const { source, hash, compiled } = this.#deps.policy()
    for (const [session, { grant, principal, listeners }] of this.#live) {
      const allowed = grant.roles.every((role) =>
        mayTake(compiled, principal, role, grant.target, this.#deps.clock.now()),
      )
      if (allowed) for (const listener of [...listeners]) listener({ kind: 'policy', source, hash })
      else this.#end(session, 'revoked', 'policy no longer gives this access')
    }
  }

  stop(): void {
    this.#stopped = true
    for (const session of [...this.#live.keys()])
      this.#end(session, 'stopped', 'the gateway is stopping')
  }

  /** The target, if the policy of now still gives every role of the grant. */
  #permitted(principal: Principal, grant: StoredGrant): TargetSettings {
    const target = this.#deps.config.targets.get(grant.target)
    if (grant.revoked !== undefined) throw revoked('the grant was revoked')
    if (grant.endsAt <= this.#deps.clock.now()) throw grantEnded()
    if (target === undefined) throw revoked('policy no longer gives this access')
    this.#demandRoles(principal, grant)
    return target
  }

  /** Also when a rule's own end has come since. */
  #demandRoles(principal: Principal, grant: Grant): void {
    const { compiled } = this.#deps.policy()
    const now = this.#deps.clock.now()
    const given = grant.roles.every((role) => mayTake(compiled, principal, role, grant.target, now))
    if (!given) throw revoked('policy no longer gives this access')
  }

  /** A request may be touched only by a session of its own principal. The session may be over by now. */
  async #own(session: string, request: string): Promise<void> {
    const [record, found] = await Promise.all([
      this.#deps.requests.find(request),
      this.#deps.store.findSession(session),
    ])
    if (record === undefined || found === undefined || record.principal !== found.principal)
      throw new VgateError('VGATE_NOT_FOUND', 'there is no request of that id for this session')
  }

  async #standing(session: string): Promise<Live> {
    const live = this.#live.get(session)
    const standing = await this.#deps.store.sessionStanding(session)
    if (live?.ended?.kind === 'ended' && live.ended.reason === 'revoked')
      throw revoked(live.ended.message)
    if (live === undefined || standing?.state !== 'open') {
      throw new VgateError('VGATE_NOT_FOUND', 'the session is over')
    }
    if (standing.grantRevoked) throw revoked('the grant was revoked')
    if (standing.grantEndsAt <= this.#deps.clock.now()) throw grantEnded()
    if (live.principal.kind === 'workload') await this.#takeUp(session, live)
    this.#demandRoles(live.principal, live.grant)
    return live
  }

  /** Who a workload was when its grant was given: another job of the same subject may since have logged in. */
  async #proved(
    principal: Principal,
    grant: string,
  ): Promise<{ readonly principal: Principal; readonly proofUntil: number }> {
    if (principal.kind === 'person') return { principal, proofUntil: Number.POSITIVE_INFINITY }
    const proved = await provedPrincipal(this.#deps.store, principal, grant, this.#deps.clock.now())
    return { principal: proved.principal, proofUntil: proved.until }
  }

  /** Takes up a fresh proof of a workload. Throws VGATE_GRANT_ENDED when none stands. */
  async #takeUp(session: string, live: Live): Promise<void> {
    const { proofUntil } = await this.#proved(live.principal, live.grant.id)
    if (proofUntil === live.proofUntil || this.#live.get(session) !== live) return
    live.proofUntil = proofUntil
    live.cancelTimer()
    this.#arm(session, live)
  }

  /** Waits for the grant's absolute end, or that of a workload's proof, in steps that a timer can take. */
  #arm(session: string, live: Live): void {
    const now = this.#deps.clock.now()
    if (live.grant.endsAt <= now) {
      this.#end(session, 'expired', 'the grant has ended')
      return
    }
    if (live.proofUntil <= now) {
      // A renewal may have come to another gateway, or a moment ago.
      this.#takeUp(session, live).then(
        () => live.proofUntil <= now && this.#end(session, 'expired', proofEnded().message),
        (error: unknown) => this.#end(session, 'expired', messageOf(error)),
      )
      return
    }
    const rest = Math.min(live.grant.endsAt, live.proofUntil) - now
    live.cancelTimer = this.#deps.schedule(Math.min(rest, MAX_DELAY_MS), () =>
      this.#arm(session, live),
    )
  }

  #end(session: string, reason: CloseReason, message: string): void {
    const live = this.#live.get(session)
    if (live === undefined || live.ended !== undefined) return
    live.cancelTimer()
    const notice: SessionNotice = { kind: 'ended', reason, message }
    live.ended = notice
    for (const listener of [...live.listeners]) listener(notice)
  }
}

function emptySummary(session: string, reason: CloseReason): SessionSummary {
  const none = { operations: 0, denied: 0, rows: 0, bytesOut: 0 }
  return { session, reason, ...none, recording: { records: 0, head: '' } }
}

function messageOf(error: unknown): string {
  return error instanceof VgateError ? error.message : proofEnded().message
}
