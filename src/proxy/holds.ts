// Owns the waiting of held requests of one session: asking the authority, telling client and owner, and every way a
// wait can end. It decides nothing and forwards nothing: `pep.ts` does, after the wait. A wait that was given up never
// runs anything; its request stays open for the identical retry.

import type { RecordBody, RecordedApproval } from '../audit/records.js'
import type { Delivery, JudgeRequest } from '../core/adapter.js'
import {
  type ApprovalStanding,
  type HeldEvent,
  type HeldOperation,
  hasGrown,
  type PreviewCount,
  previewText,
} from '../core/approval.js'
import type { Authority } from '../core/authority.js'
import { VgateError } from '../core/errors.js'
import { isOperation } from '../core/operation.js'
import { demandUnchanged, type HoldQuestion } from './hold-question.js'
import type { HoldPort } from './pep.js'
import { Running } from './running-approvals.js'

/** After the end of a request its news may be on its way. Milliseconds. */
const EXPIRY_SLACK_MS = 1_000
/** Requests whose news are remembered; the oldest go first. */
const KNOWN_MAX = 1_000
/** Times that a request may grow between approval and release before it gives up. */
const RECOUNTS_MAX = 5
const LONGEST_TIMER_MS = 2 ** 31 - 1

export interface HoldsDeps {
  readonly session: string
  readonly authority: Authority
  readonly now: () => number
  /** Appends and flushes. Throws when it cannot. */
  readonly append: (body: RecordBody) => void
  readonly count: (request: JudgeRequest) => Promise<readonly PreviewCount[]>
  readonly notify: (connection: string, text: string) => void
  readonly events: {
    held(event: HeldEvent): void
    released(request: string): void
  }
  readonly report: (event: string, error: unknown) => void
}

/** One request that waits. */
class Wait {
  readonly connection: string
  /** Rejects when the wait is given up. */
  readonly over: Promise<never>
  news: (standing: ApprovalStanding) => void = () => undefined
  giveUp: (error: VgateError) => void = () => undefined

  constructor(connection: string) {
    this.connection = connection
    this.over = new Promise((_resolve, reject) => {
      this.giveUp = reject
    })
    this.over.catch(() => undefined)
  }
}

interface Asked {
  readonly connection: string
  readonly op: number
  readonly request: JudgeRequest
  readonly question: HoldQuestion
}

/** The held requests of one session. */
export class Holds {
  readonly #deps: HoldsDeps
  /** Newest standing of each request of this principal on this target. */
  readonly #known = new Map<string, ApprovalStanding>()
  readonly #waits = new Set<Wait>()
  readonly #limits = new Map<string, Asked>()
  readonly #running: Running

  constructor(deps: HoldsDeps, live: readonly ApprovalStanding[]) {
    this.#deps = deps
    this.#running = new Running(deps)
    for (const standing of live) this.#learn(standing)
  }

  /** What `pep.ts` needs for one connection. */
  port(connection: string): HoldPort {
    return {
      isAsked: (digest) =>
        [...this.#known.values()].some(
          (one) =>
            one.digest === digest &&
            (one.state === 'open' || one.state === 'approved') &&
            one.expiresAt > this.#deps.now(),
        ),
      wait: (op, request, question) => this.#wait({ connection, op, request, question }),
      consume: (op, request, approved, digest) =>
        this.#consume({ connection, op, request }, approved, digest),
      notRun: (op, why) => this.#running.notRun(`${connection}/${op}`, why),
      mayExceed: (op, request, question) => {
        this.#limits.set(`${connection}/${op}`, { connection, op, request, question })
      },
    }
  }

  /** News of a request. */
  update(standing: ApprovalStanding): void {
    this.#learn(standing)
    for (const wait of this.#waits) wait.news(standing)
  }

  /** A CancelRequest: true when something of this connection waited; it answers as a cancelled statement. */
  cancel(connection: string): boolean {
    const error = new VgateError('VGATE_CANCELLED', 'canceling statement due to user request', {
      hint: 'the request stays open: the same statement again waits for it',
    })
    return this.#giveUp(connection, error)
  }

  /** The connection is over: it waits for nothing, and what it ran without an answer is not known. */
  gone(connection: string): void {
    this.#giveUp(connection, new VgateError('VGATE_CANCELLED', 'the client went away'))
    this.#running.gone(connection)
    for (const key of this.#limits.keys())
      if (key.startsWith(`${connection}/`)) this.#limits.delete(key)
  }

  /** Something was given to the client: the end of an approved run is its outcome. */
  delivered(connection: string, delivery: Delivery): void {
    if (!delivery.done) return
    const key = `${connection}/${delivery.request}`
    this.#limits.delete(key)
    this.#running.ended(key, delivery)
  }

  /** Opens a request for a read that reached its limit. Answers what to tell the caller. */
  async exceeded(connection: string, op: number): Promise<string> {
    const asked = this.#limits.get(`${connection}/${op}`)
    if (asked === undefined)
      throw new VgateError('VGATE_UNEXPECTED', 'a limit was passed that nobody can lift')
    const standing = await this.#ask(asked, await this.#deps.count(asked.request))
    this.#opened(asked, standing)
    return `request ${standing.request} waits for ${standing.approvers.join(' or ')}: \`vgate approve ${standing.request}\``
  }

  async #wait(asked: Asked): Promise<string> {
    const wait = new Wait(asked.connection)
    this.#waits.add(wait)
    const patience = Math.min(...asked.question.terms.map((term) => term.inTransactionMs))
    const timer =
      asked.request.inTransaction === true
        ? setTimeout(() => wait.giveUp(this.#inTransaction(asked)), patience)
        : undefined
    try {
      return await this.#approved(asked, wait)
    } finally {
      clearTimeout(timer)
      this.#waits.delete(wait)
    }
  }

  async #approved(asked: Asked, wait: Wait): Promise<string> {
    for (let grown = 0; grown < RECOUNTS_MAX; ) {
      const counted = await Promise.race([this.#deps.count(asked.request), wait.over])
      const first = await Promise.race([this.#ask(asked, counted), wait.over])
      this.#opened(asked, first)
      const end = await this.#end(asked, first, wait)
      if (end === 'approved') return first.request
      if (end === 'voided') grown += 1
    }
    throw new VgateError(
      'VGATE_APPROVAL_DENIED',
      'what it would touch grows faster than it is approved',
    )
  }

  /**
   * How one request ended, which is recorded. `consumed`, by another run of the same, and `voided` let this run ask
   * anew. Rejects when it is not approved, or the wait is given up.
   */
  async #end(
    asked: Asked,
    first: ApprovalStanding,
    wait: Wait,
  ): Promise<'approved' | 'consumed' | 'voided'> {
    try {
      const end = await this.#answer(first, wait)
      if (end.state === 'consumed') {
        this.#closed(asked, end, 'consumed')
        return 'consumed'
      }
      const recount = await Promise.race([this.#deps.count(asked.request), wait.over])
      if (!hasGrown(first.preview, recount)) {
        await Promise.race([demandUnchanged(asked.request), wait.over])
        this.#closed(asked, end, 'approved')
        this.#deps.events.released(end.request)
        return 'approved'
      }
      const why = `it would now touch ${previewText(recount)}, more than a tenth more than was approved (${previewText(first.preview)})`
      const { session, authority } = this.#deps
      await authority.voidApproval({ session, request: end.request, reason: why })
      this.#closed(asked, end, 'voided', why)
      this.#deps.notify(asked.connection, `approval of ${end.request} is void: ${why}`)
      return 'voided'
    } catch (error) {
      this.#closed(asked, first, stateAfter(error), error instanceof Error ? error.message : '')
      throw error
    }
  }

  /** The standing once it is approved, or was used by another run. Rejects when it is not, or the wait is given up. */
  async #answer(first: ApprovalStanding, wait: Wait): Promise<ApprovalStanding> {
    const { now } = this.#deps
    let timer: NodeJS.Timeout | undefined
    try {
      const answered = new Promise<ApprovalStanding>((resolve) => {
        wait.news = (standing) => {
          if (standing.request === first.request && standing.state !== 'open') resolve(standing)
        }
        // The answer may have come while the question was on its way back.
        const known = this.#known.get(first.request) ?? first
        wait.news(known.state === 'open' ? first : known)
        const left = first.expiresAt - now() + EXPIRY_SLACK_MS
        timer = setTimeout(
          () => resolve({ ...first, state: 'expired' }),
          Math.min(Math.max(0, left), LONGEST_TIMER_MS),
        )
      })
      const standing = await Promise.race([answered, wait.over])
      if (standing.state === 'approved' || standing.state === 'consumed') return standing
      throw notApproved(standing)
    } finally {
      clearTimeout(timer)
      wait.news = () => undefined
    }
  }

  async #consume(
    { connection, op, request }: Omit<Asked, 'question'>,
    approved: string,
    digest: string,
  ): Promise<RecordedApproval | undefined> {
    const { authority, session } = this.#deps
    const wait = new Wait(connection)
    this.#waits.add(wait)
    let gone: unknown
    wait.over.catch((error: unknown) => {
      gone = error
    })
    try {
      const { consumed } = await authority.consumeApproval({ session, request: approved, digest })
      if (!consumed && gone !== undefined) throw gone
      if (!consumed) return undefined
      const key = `${connection}/${op}`
      this.#running.started(key, approved, request.operations.length)
      if (gone === undefined) {
        const by = this.#known.get(approved)?.approvedBy ?? []
        return { request: approved, by: by.map((one) => one.id) }
      }
      // It was used up while the client gave up: nothing is forwarded for nobody.
      this.#running.notRun(key, 'the client gave up before it ran')
      throw gone
    } finally {
      this.#waits.delete(wait)
    }
  }

  async #ask(asked: Asked, preview: readonly PreviewCount[]): Promise<ApprovalStanding> {
    const { question, request } = asked
    const standing = await this.#deps.authority.requestApproval({
      session: this.#deps.session,
      digest: question.digest,
      terms: question.terms,
      operation: operationOf(request, question, preview),
    })
    if (!this.#known.has(standing.request)) this.#learn(standing)
    return standing
  }

  #opened(asked: Asked, standing: ApprovalStanding): void {
    const { question, connection, op, request } = asked
    const preview = previewText(standing.preview)
    const { approvers, url } = standing
    this.#deps.append({
      type: 'hold.opened',
      connection,
      op,
      request: standing.request,
      rules: question.terms.map((term) => term.rule),
      approvers,
      preview,
      expiresAt: new Date(standing.expiresAt).toISOString(),
    })
    const operations = request.operations.filter(isOperation)
    const names = operations.flatMap((one) => one.collections.map((use) => use.collection))
    this.#deps.events.held({
      request: standing.request,
      operation: nameOf(request),
      collections: [...new Set(names)],
      preview,
      approvers,
      url,
    })
    this.#deps.notify(
      connection,
      `vgate: held by rule ${question.rule}: request ${standing.request} waits for ${approvers.join(' or ')}; ` +
        `\`vgate approve ${standing.request}\`; it would touch ${preview}; Ctrl-C gives up, the request stays open`,
    )
  }

  #closed(asked: Asked, standing: ApprovalStanding, state: string, message?: string): void {
    const by = standing.approvedBy.map((one) => one.id)
    this.#deps.append({
      type: 'hold.answered',
      connection: asked.connection,
      op: asked.op,
      request: standing.request,
      state,
      ...(by.length === 0 ? {} : { by }),
      ...(message === undefined ? {} : { message }),
    })
  }

  #inTransaction(asked: Asked): VgateError {
    const { digest, rule } = asked.question
    // The newest: those of the same that are over are remembered too.
    const open = [...this.#known.values()].findLast((one) => one.digest === digest)
    const which = open === undefined ? 'a request' : `request ${open.request}`
    return new VgateError(
      'VGATE_APPROVAL_PENDING',
      `held by ${rule}: ${which} still waits for ${open?.approvers.join(' or ') ?? 'a second person'}, and a transaction is open`,
      { hint: 'roll back, and run it again after approval' },
    )
  }

  #giveUp(connection: string, error: VgateError): boolean {
    const waits = [...this.#waits].filter((wait) => wait.connection === connection)
    for (const wait of waits) wait.giveUp(error)
    return waits.length > 0
  }

  #learn(standing: ApprovalStanding): void {
    this.#known.delete(standing.request)
    this.#known.set(standing.request, standing)
    const [oldest] = this.#known.keys()
    if (this.#known.size > KNOWN_MAX && oldest !== undefined) this.#known.delete(oldest)
  }
}

function nameOf(request: JudgeRequest): string {
  const names = request.operations.map((one) => (isOperation(one) ? one.name : 'unknown'))
  return [...new Set(names)].join(', ')
}

function operationOf(
  request: JudgeRequest,
  question: HoldQuestion,
  preview: readonly PreviewCount[],
): HeldOperation {
  const operations = request.operations.filter(isOperation)
  return {
    name: nameOf(request),
    text: request.text,
    ...(request.parameters === undefined ? {} : { parameters: request.parameters }),
    collections: operations.flatMap((one) => one.collections),
    risks: question.risks,
    reason: question.reason,
    preview,
  }
}

/** What the recording says of a wait that ended with an error. */
function stateAfter(error: unknown): string {
  const code = error instanceof VgateError ? error.code : undefined
  if (code === 'VGATE_APPROVAL_DENIED') return 'denied'
  return code === 'VGATE_APPROVAL_EXPIRED' ? 'expired' : 'given up'
}

function notApproved(standing: ApprovalStanding): VgateError {
  const { request, state, answer } = standing
  if (state === 'expired') {
    return new VgateError('VGATE_APPROVAL_EXPIRED', `request ${request} expired unanswered`, {
      hint: 'run it again to ask anew',
    })
  }
  const why = answer === undefined ? '' : ` (${answer})`
  // Another run of the same may have used it: this one was not approved.
  return new VgateError('VGATE_APPROVAL_DENIED', `request ${request} was ${state}${why}`, {
    hint: state === 'denied' ? 'ask whoever denied it' : 'run it again to ask anew',
  })
}
