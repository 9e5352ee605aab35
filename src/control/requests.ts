// Owns what becomes of a question to a second person: opened, answered, expired, used up. The store decides every
// race; nothing counts that is not in the audit log. Nobody answers their own, administrators included.

import type {
  ApprovalOutcome,
  ApprovalStanding,
  ApprovalTerms,
  RequestState,
} from '../core/approval.js'
import { VgateError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import type { Principal } from '../core/principal.js'
import type { AnswerRecord, RequestRecord } from '../store/schema.js'
import { type ControlDeps, isoTime, recordedPrincipal } from './deps.js'
import {
  approversOf,
  bodyOf,
  isIn,
  longestOf,
  mayAnswer,
  type Narrowed,
  narrowedOf,
  type RequestBody,
  requestUrl,
  termsOf,
  unknownRequest,
} from './request-rules.js'
import type { Schedule } from './schedule.js'

/** Longest delay that a timer takes (Node's setTimeout, 32 bits). */
const MAX_DELAY_MS = 2 ** 31 - 1

export interface OpenRequest {
  readonly body: RequestBody
  readonly principal: Principal
  readonly target: string
  readonly roles: readonly string[]
  readonly reason?: string
  readonly ticket?: string
  readonly session?: string
  /** SHA-256 in hex over what the answer is bound to. */
  readonly digest: string
  readonly terms: readonly ApprovalTerms[]
}

export interface Requests {
  /** Opens a request, or finds the live one that asks the same. */
  open(asked: OpenRequest): Promise<ApprovalStanding>
  /** Live requests of a principal on a target. */
  live(principal: string, target: string): Promise<ApprovalStanding[]>
  find(id: string): Promise<RequestRecord | undefined>
  /** Newest first. */
  list(states: readonly RequestState[] | undefined): Promise<RequestRecord[]>
  answers(id: string): Promise<AnswerRecord[]>
  approve(by: Principal, id: string, narrowed: Narrowed): Promise<void>
  deny(by: Principal, id: string, reason: string): Promise<void>
  /** True for one caller only, and only for what was approved. */
  consume(given: {
    readonly id: string
    readonly principal: string
    readonly target: string
    readonly digest: string
    readonly session?: string
  }): Promise<boolean>
  /** A request that is alive is so no more. */
  void(id: string, reason: string): Promise<void>
  outcome(id: string, outcome: ApprovalOutcome, message: string | undefined): Promise<void>
  /** Takes up what a stopped gateway left: ends what is over, and waits for the end of the rest. */
  resume(): Promise<void>
  /** Hears every change. */
  onChange(listener: (record: RequestRecord, standing: ApprovalStanding) => void): void
}

export type RequestsDeps = Pick<ControlDeps, 'config' | 'store' | 'audit' | 'clock'> & {
  readonly schedule: Schedule
}

/** The requests of one gateway. */
export function createRequests(deps: RequestsDeps): Requests {
  return new StoredRequests(deps)
}

class StoredRequests implements Requests {
  readonly #deps: RequestsDeps
  readonly #listeners: ((record: RequestRecord, standing: ApprovalStanding) => void)[] = []

  constructor(deps: RequestsDeps) {
    this.#deps = deps
  }

  onChange(listener: (record: RequestRecord, standing: ApprovalStanding) => void): void {
    this.#listeners.push(listener)
  }

  async open(asked: OpenRequest): Promise<ApprovalStanding> {
    const { store, audit, clock } = this.#deps
    if (asked.terms.length === 0 || approversOf(asked.terms).length === 0)
      throw new VgateError('VGATE_DENIED', 'the policy names nobody who could approve this')
    await this.#sweep()
    const id = newId('req')
    const expiresAt = clock.now() + Math.min(...asked.terms.map((term) => term.expiresMs))
    const { principal, target, roles, digest, session } = asked
    const { record, isNew } = await store.openRequest({
      id,
      kind: asked.body.kind,
      principal: principal.id,
      principal_name: principal.name,
      provider: principal.provider,
      target,
      roles: JSON.stringify(roles),
      reason: asked.reason ?? null,
      ticket: asked.ticket ?? null,
      digest,
      terms: JSON.stringify(asked.terms),
      body: JSON.stringify(asked.body),
      session: session ?? null,
      expires_at: expiresAt,
    })
    if (isNew) {
      await audit.append(
        {
          type: 'request.opened',
          request: id,
          kind: asked.body.kind,
          principal: recordedPrincipal(principal),
          target,
          roles,
          rules: asked.terms.map((term) => term.rule),
          approvers: approversOf(asked.terms),
          ...(session === undefined ? {} : { session }),
          digest,
          expiresAt: isoTime(expiresAt),
        },
        { sync: true },
      )
      await this.#tell(record)
    }
    this.#arm(record)
    return await this.#standing(record)
  }

  async live(principal: string, target: string): Promise<ApprovalStanding[]> {
    await this.#sweep()
    const states = ['open', 'approved'] as const
    const records = await this.#deps.store.listRequests({ principal, target, states, limit: 1000 })
    return await Promise.all(records.map((record) => this.#standing(record)))
  }

  async find(id: string): Promise<RequestRecord | undefined> {
    await this.#sweep()
    return await this.#deps.store.findRequest(id)
  }

  async list(states: readonly RequestState[] | undefined): Promise<RequestRecord[]> {
    await this.#sweep()
    return await this.#deps.store.listRequests({
      ...(states === undefined ? {} : { states }),
      limit: 1000,
    })
  }

  answers(id: string): Promise<AnswerRecord[]> {
    return this.#deps.store.answersOf(id)
  }

  async approve(by: Principal, id: string, narrowed: Narrowed): Promise<void> {
    const record = await this.#answerable(by, id)
    if (narrowed.collections !== undefined && record.kind === 'operation') {
      throw new VgateError('VGATE_USAGE', 'an operation is approved as it stands, or not at all', {
        hint: 'leave out --collections; it narrows access requests',
      })
    }
    if (narrowed.ttlMs !== undefined && narrowed.ttlMs > longestOf(record)) {
      const most = longestOf(record) / 60_000
      throw new VgateError('VGATE_USAGE', 'an approval may shorten the time, not lengthen it', {
        hint: `leave out --ttl, or give at most ${Math.floor(most * 10) / 10}m`,
      })
    }
    await this.#answer(by, record, 'approve', undefined, narrowed)
    await this.#settle(record)
  }

  async deny(by: Principal, id: string, reason: string): Promise<void> {
    const record = await this.#answerable(by, id)
    // Where the store failed in the midst of it, the answer stands, and its end is still to be written.
    const mine = (await this.#denialOf(id))?.principal === by.id
    if (!mine) await this.#answer(by, record, 'deny', reason, {})
    if (!(await this.#endDenied(id))) throw await this.#over(id)
  }

  async consume(given: Parameters<Requests['consume']>[0]): Promise<boolean> {
    if (!(await this.#deps.store.consumeRequest(given))) return false
    const { id, session } = given
    await this.#deps.audit.append(
      { type: 'request.consumed', request: id, ...(session === undefined ? {} : { session }) },
      { sync: true },
    )
    await this.#tellAbout(id)
    return true
  }

  async void(id: string, reason: string): Promise<void> {
    const { store, audit } = this.#deps
    const moved =
      (await store.moveRequest(id, 'approved', 'voided')) ||
      (await store.moveRequest(id, 'open', 'voided'))
    if (!moved) return
    await audit.append({ type: 'request.voided', request: id, reason }, { sync: true })
    await this.#tellAbout(id, reason)
  }

  async outcome(id: string, outcome: ApprovalOutcome, message: string | undefined): Promise<void> {
    if (!(await this.#deps.store.setRequestOutcome(id, outcome, message))) return
    await this.#deps.audit.append({
      type: 'request.outcome',
      request: id,
      outcome,
      ...(message === undefined ? {} : { message }),
    })
  }

  async resume(): Promise<void> {
    const { store, audit } = this.#deps
    for (const request of await store.markUnknownOutcomes())
      await audit.append({ type: 'request.outcome', request, outcome: 'unknown' })
    for (const record of await this.list(['open', 'approved'])) this.#arm(record)
  }

  async #answerable(by: Principal, id: string): Promise<RequestRecord> {
    const record = await this.find(id)
    if (record === undefined) throw unknownRequest()
    if (record.principal === by.id) {
      throw new VgateError('VGATE_DENIED', 'nobody answers their own request', {
        hint: `ask somebody of ${approversOf(termsOf(record)).join(', ')}`,
      })
    }
    if (!mayAnswer(by, record)) {
      throw new VgateError('VGATE_DENIED', 'you are not among those who may answer this request', {
        hint: `people of ${approversOf(termsOf(record)).join(', ')} may`,
      })
    }
    if (record.state !== 'open') throw await this.#over(id)
    return record
  }

  async #answer(
    by: Principal,
    record: RequestRecord,
    verdict: 'approve' | 'deny',
    reason: string | undefined,
    narrowed: Narrowed,
  ): Promise<void> {
    const { store, audit } = this.#deps
    await audit.append(
      {
        type: 'request.answered',
        request: record.id,
        by: recordedPrincipal(by),
        verdict,
        ...(reason === undefined ? {} : { reason }),
      },
      { sync: true },
    )
    const added = await store.addAnswer({
      request: record.id,
      principal: by.id,
      principal_name: by.name,
      provider: by.provider,
      groups: JSON.stringify(by.groups),
      verdict,
      reason: reason ?? null,
      narrowed: Object.keys(narrowed).length === 0 ? null : JSON.stringify(narrowed),
    })
    if (added) return
    const mine = (await store.answersOf(record.id)).some((one) => one.principal === by.id)
    if (!mine) throw await this.#over(record.id)
    throw new VgateError('VGATE_DENIED', 'you have answered this request before')
  }

  async #denialOf(id: string): Promise<AnswerRecord | undefined> {
    return (await this.#deps.store.answersOf(id)).find((one) => one.verdict === 'deny')
  }

  /** Ends what somebody has denied. False when nobody has, or it was over before. */
  async #endDenied(id: string): Promise<boolean> {
    const { store, audit } = this.#deps
    const denial = await this.#denialOf(id)
    if (denial === undefined || !(await store.moveRequest(id, 'open', 'denied'))) return false
    const { principal, principal_name: name, provider, reason } = denial
    const by = { id: principal, name, kind: 'person' as const, provider }
    const said = { request: id, by, reason: reason ?? '' }
    await audit.append({ type: 'request.denied', ...said }, { sync: true })
    await this.#tellAbout(id)
    return true
  }

  /** Approved once every rule has enough distinct people of its groups, and nobody has denied it. */
  async #settle(record: RequestRecord): Promise<void> {
    const { store, audit, clock } = this.#deps
    if (await this.#endDenied(record.id)) throw await this.#over(record.id)
    const given = (await store.answersOf(record.id)).filter((one) => one.verdict === 'approve')
    const terms = termsOf(record)
    const enough = terms.every((term) => {
      const people = given.filter((one) => isIn(JSON.parse(one.groups) as string[], term))
      return new Set(people.map((one) => one.principal)).size >= term.count
    })
    if (!enough) {
      await this.#tellAbout(record.id)
      return
    }
    const lives = [
      ...terms.map((term) => term.expiresMs),
      ...(record.kind === 'operation' ? given.map((one) => narrowedOf(one).ttlMs) : []),
    ].filter((ms) => ms !== undefined)
    const expiresAt = clock.now() + Math.min(...lives)
    // Another approver may have been faster: then it is approved already.
    if (!(await store.moveRequest(record.id, 'open', 'approved', expiresAt))) return
    const by = given.map((one) => one.principal)
    await audit.append({ type: 'request.approved', request: record.id, by }, { sync: true })
    const approved = await this.#tellAbout(record.id)
    if (approved !== undefined) this.#arm(approved)
  }

  async #over(id: string): Promise<VgateError> {
    const state = (await this.#deps.store.findRequest(id))?.state ?? 'over'
    const code = state === 'expired' || state === 'open' ? 'VGATE_APPROVAL_EXPIRED' : 'VGATE_DENIED'
    return new VgateError(code, `the request is ${state === 'open' ? 'expired' : state} already`)
  }

  async #sweep(): Promise<void> {
    for (const record of await this.#deps.store.expireRequests()) {
      await this.#deps.audit.append({ type: 'request.expired', request: record.id })
      await this.#tell(record)
    }
  }

  /** Ends it when its time is over, in steps that a timer can take. */
  #arm(record: RequestRecord): void {
    const rest = record.expires_at - this.#deps.clock.now()
    this.#deps.schedule(Math.max(0, Math.min(rest, MAX_DELAY_MS)), () => {
      // A store that fails now is asked again at the next look at any request.
      void this.#sweep().catch(() => undefined)
    })
  }

  async #tellAbout(id: string, why?: string): Promise<RequestRecord | undefined> {
    const record = await this.#deps.store.findRequest(id)
    if (record !== undefined) await this.#tell(record, why)
    return record
  }

  async #tell(record: RequestRecord, why?: string): Promise<void> {
    const standing = await this.#standing(record, why)
    for (const listener of this.#listeners) listener(record, standing)
  }

  async #standing(record: RequestRecord, why?: string): Promise<ApprovalStanding> {
    const answers = await this.#deps.store.answersOf(record.id)
    const denial = answers.find((one) => one.verdict === 'deny')
    const answer =
      why ?? (denial === undefined ? undefined : `${denial.principal_name}: ${denial.reason ?? ''}`)
    const body = bodyOf(record)
    return {
      request: record.id,
      digest: record.digest,
      state: record.state as RequestState,
      expiresAt: record.expires_at,
      approvers: approversOf(termsOf(record)),
      url: requestUrl(this.#deps.config.publicUrl, record.id),
      preview: body.kind === 'operation' ? body.operation.preview : [],
      approvedBy: answers
        .filter((one) => one.verdict === 'approve')
        .map((one) => ({ id: one.principal, name: one.principal_name })),
      ...(answer === undefined ? {} : { answer }),
    }
  }
}
