// Owns one session of the data plane: its lease, its recording, its connections, and its end. One grant, one target.

import type { Duplex } from 'node:stream'
import type { RecordingHead } from '../audit/records.js'
import type { Question, Refusal, Ruling, ScramVerifier } from '../core/adapter.js'
import type { HeldEvent } from '../core/approval.js'
import type { OpenSessionRequest, SessionLease, SessionNotice } from '../core/authority.js'
import { asVgateError, VgateError } from '../core/errors.js'
import type { CloseReason } from '../core/grant.js'
import { newId } from '../core/ids.js'
import { Secret } from '../core/secret.js'
import type { CompiledPolicy } from '../policy/compile.js'
import type { LoadQuestion } from './answers.js'
import { Connection, type ConnectionSession } from './connection.js'
import { Decisions } from './decisions.js'
import { GrantTimer } from './grant-timer.js'
import { Holds } from './holds.js'
import { offload } from './offload.js'
import { enforce } from './pep.js'
import { SessionBudgets } from './session-budgets.js'
import type { SessionDependencies } from './session-deps.js'
import { SessionRecorder } from './session-recorder.js'
import { endError, opened } from './session-words.js'
import type { SideQueries } from './side-queries.js'
import type { Standing } from './standing.js'
import { sendCancel } from './upstream.js'

export const LEASE_RENEWAL_MS = 2_000

/** What the session tells its owner (over the tunnel). */
export interface SessionEvents {
  denied(operation: string, refusal: Refusal): void
  expiring(endsAt: number): void
  /** A request waits for a second person. */
  held(event: HeldEvent): void
  /** It was approved, and runs. */
  released(request: string): void
  /** Every stream has been told why and cut; the recording is being closed. */
  ending(reason: CloseReason, error: VgateError): void
  /** After the recording has been closed. */
  ended(reason: CloseReason, error: VgateError): void
}

/** A session from its lease to its end. */
export class Session {
  readonly id: string
  readonly lease: SessionLease
  readonly #deps: SessionDependencies
  readonly #events: SessionEvents
  readonly #secret: ScramVerifier
  readonly #recorder: SessionRecorder
  readonly #holds: Holds
  readonly #budgets: SessionBudgets
  readonly #connections = new Map<string, Connection>()
  readonly #timers: NodeJS.Timeout[] = []
  #unwatch: () => void = () => undefined
  readonly #decisions = new Decisions()
  #side: SideQueries | undefined
  #policy: CompiledPolicy
  #leaseUntil: number
  #renewing: Promise<void> | undefined
  #ended: VgateError | undefined
  #ending: Promise<void> | undefined
  readonly #grantTimer: GrantTimer

  /** Opens recording and policy; throws a VgateError when either cannot be had, and then nothing was opened. */
  constructor(
    lease: SessionLease,
    given: { readonly secret: ScramVerifier; readonly client: OpenSessionRequest['client'] },
    events: SessionEvents,
    deps: SessionDependencies,
  ) {
    this.id = lease.session
    this.lease = lease
    this.#deps = deps
    this.#events = events
    this.#secret = given.secret
    this.#leaseUntil = lease.leaseUntil
    this.#policy = deps.compilePolicy(lease.policy)
    const recording = deps.openRecording(lease.session)
    this.#recorder = new SessionRecorder(recording, (error) => this.#recordingFailed(error))
    this.#recorder.append(opened(lease, given.client))
    this.#recorder.flush()
    // The first sync makes the file's name durable too.
    this.#recorder.sync().catch((error: unknown) => this.#recordingFailed(error))
    this.#holds = this.#openHolds()
    this.#budgets = new SessionBudgets({
      session: lease.session,
      owner: { principal: lease.principal.id, target: lease.target.name },
      budgets: deps.budgets,
      known: (question) => this.#side?.known(question),
      load: (question) => this.#load(question),
    })
    this.#unwatch = deps.authority.watch(lease.session, (notice) => this.#noticed(notice))
    this.#timers.push(setInterval(() => void this.#renew(), LEASE_RENEWAL_MS))
    this.#grantTimer = new GrantTimer(lease.grant.endsAt, deps.clock, {
      warn: () => events.expiring(lease.grant.endsAt),
      end: () => this.#expire(),
    })
  }

  /** Takes one stream of the client. Throws VGATE_LIMIT_EXCEEDED or why the session is over. */
  connect(client: Duplex): void {
    if (this.#ended !== undefined) throw this.#ended
    if (this.#connections.size >= this.#deps.connectionsPerSession) {
      throw new VgateError(
        'VGATE_LIMIT_EXCEEDED',
        `this session has ${this.#connections.size} connections open, its limit`,
        {
          hint: 'close some, or raise limits.connectionsPerSession',
        },
      )
    }
    const id = newId('con')
    this.#recorder.append({ type: 'connection.opened', connection: id })
    this.#connections.set(id, new Connection(id, this.#forConnections(), client))
  }

  /** Ends the session once: streams cut (upstream cancelled first), recording closed, authority told. */
  end(reason: CloseReason, error: VgateError): Promise<void> {
    this.#ending ??= this.#end(reason, error).catch((cause: unknown) =>
      this.#deps.report('session.end_failed', cause),
    )
    return this.#ending
  }

  #forConnections(): ConnectionSession {
    const { family, limits, masker, handshakeMs } = this.#deps
    return {
      family,
      handshakeMs,
      context: {
        databaseName: this.lease.target.databaseName,
        secret: this.#secret,
        masker,
        limits,
      },
      judge: (connection, id, request) => this.#judge(connection, id, request),
      delivered: (connection, delivery) => {
        this.#recorder.delivered(connection, delivery)
        this.#holds.delivered(connection, delivery)
        this.#budgets.delivered(connection, delivery)
      },
      flush: () => this.#recorder.flush(),
      known: (question) => (question.kind === 'load' ? this.#side?.known(question) : undefined),
      answer: (connection, question) => this.#answer(connection, question),
      dial: (parameters) => this.#deps.dial(this.lease, parameters, () => this.#credential()),
      cancel: (packet) => void sendCancel(family, this.lease.target, packet),
      cancelOther: (key) => this.#cancelOther(key),
      closed: (connection, error) => this.#connectionClosed(connection, error),
    }
  }

  #judge(
    connection: string,
    id: number,
    request: Parameters<ConnectionSession['judge']>[2],
  ): Ruling | Promise<Ruling> {
    const now = this.#deps.clock.now()
    const late = this.#ended === undefined && now >= this.#leaseUntil
    // A process that was busy is late with its timers: that is no reason to deny before it has asked.
    if (late && now < this.lease.grant.endsAt)
      return this.#renew().then(() => {
        // Nobody is asked, and nothing is used up, for a client that went away meanwhile.
        if (this.#ended === undefined && !this.#connections.has(connection))
          throw new VgateError('VGATE_CANCELLED', 'the client went away')
        return this.#enforce(connection, id, request)
      })
    return this.#enforce(connection, id, request)
  }

  #enforce(
    connection: string,
    id: number,
    request: Parameters<ConnectionSession['judge']>[2],
  ): Ruling | Promise<Ruling> {
    return enforce(
      {
        clock: this.#deps.clock,
        standing: () => this.#standing(),
        log: {
          intent: (op, asked, judgement, durable) =>
            this.#recorder.intent(connection, op, asked, judgement, durable),
        },
        decisions: this.#decisions,
        pace: this.#deps.pace,
        budgets: this.#budgets.port(connection),
        durability: this.#deps.durability,
        onDenied: (operation, refusal) => this.#events.denied(operation, refusal),
        holds: this.#holds.port(connection),
      },
      id,
      request,
    )
  }

  #standing(): Standing {
    const { principal, grant, target } = this.lease
    return {
      principal,
      grant,
      target,
      policy: this.#policy,
      leaseUntil: this.#leaseUntil,
      ...(this.#ended === undefined ? {} : { ended: this.#ended }),
    }
  }

  #openHolds(): Holds {
    return new Holds(
      {
        session: this.id,
        authority: this.#deps.authority,
        now: () => this.#deps.clock.now(),
        append: (body) => {
          if (this.#ended !== undefined) return
          this.#recorder.append(body)
          this.#recorder.flush()
        },
        count: async (request) => {
          const previews = request.preview?.() ?? []
          if (previews.length === 0) return []
          const side = await this.#deps.sideQueries(this.lease, () => this.#credential())
          return await Promise.all(previews.map((preview) => side.count(preview)))
        },
        notify: (connection, text) => this.#connections.get(connection)?.notify(text),
        events: {
          held: (event) => this.#events.held(event),
          released: (request) => this.#events.released(request),
        },
        report: this.#deps.report,
      },
      this.lease.requests,
    )
  }

  async #answer(connection: string, question: Question): Promise<unknown> {
    if (question.kind === 'limit') return await this.#holds.exceeded(connection, question.request)
    if (question.kind === 'offload') return await offload(question.entry, question.input)
    return await this.#load(question)
  }

  async #load(question: LoadQuestion): Promise<unknown> {
    this.#side = await this.#deps.sideQueries(this.lease, () => this.#credential())
    return await this.#side.load(question)
  }

  async #credential(): Promise<{ readonly username: string; readonly password: Secret }> {
    const { username, password } = await this.#deps.authority.leaseCredential(this.id)
    return { username, password: new Secret(password) }
  }

  #cancelOther(key: Buffer): void {
    for (const connection of this.#connections.values()) {
      if (connection.cancelKey?.equals(key) !== true) continue
      // What waits for a second person does not run yet: there is nothing to cancel upstream.
      if (!this.#holds.cancel(connection.id)) connection.cancelUpstream()
    }
  }

  #connectionClosed(connection: string, error: VgateError | undefined): void {
    this.#holds.gone(connection)
    this.#budgets.gone(connection)
    if (!this.#connections.delete(connection)) return
    this.#recorder.forget(connection)
    if (error?.code === 'VGATE_UNEXPECTED')
      this.#deps.report('connection.failed', error.cause ?? error)
    if (this.#ended !== undefined) return
    try {
      this.#recorder.append({
        type: 'connection.closed',
        connection,
        ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
      })
      this.#recorder.flush()
    } catch {
      // The recording's failure has been told already and ends the session.
    }
  }

  #renew(): Promise<void> {
    // The wall clock was set forward: the timer does not know.
    if (this.#deps.clock.now() >= this.lease.grant.endsAt) {
      this.#expire()
      return Promise.resolve()
    }
    this.#renewing ??= this.#askLease().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  #askLease(): Promise<void> {
    return this.#deps.authority.renewLease(this.id).then(
      ({ leaseUntil }) => {
        this.#leaseUntil = leaseUntil
      },
      (error: unknown) => {
        const over = error instanceof VgateError && error.code === 'VGATE_REVOKED'
        if (over) void this.end('revoked', error)
      },
    )
  }

  #noticed(notice: SessionNotice): void {
    if (notice.kind === 'request') {
      this.#holds.update(notice.request)
      return
    }
    if (notice.kind === 'policy') {
      try {
        this.#policy = this.#deps.compilePolicy(notice)
      } catch (error) {
        // To go on under rules that are no longer in force would be to guess.
        this.#deps.report('policy.not_compiled', error)
        void this.end('error', new VgateError('VGATE_UNEXPECTED', 'the new policy cannot be used'))
      }
      return
    }
    void this.end(notice.reason, endError(notice.reason, notice.message))
  }

  #expire(): void {
    void this.end('expired', endError('expired', 'the grant has ended'))
  }

  #recordingFailed(cause: unknown): void {
    const said = 'the session cannot be recorded and ends'
    void this.end('error', asVgateError(cause, said, 'VGATE_RECORDING_UNAVAILABLE'))
  }

  async #end(reason: CloseReason, error: VgateError): Promise<void> {
    this.#ended = error
    this.#unwatch()
    for (const timer of this.#timers) clearTimeout(timer)
    // An end may come while the timer is made.
    this.#grantTimer?.stop()
    for (const connection of [...this.#connections.values()]) connection.terminate(error)
    this.#connections.clear()
    this.#events.ending(reason, error)
    const recording = await this.#closeRecording(reason, error)
    this.#events.ended(reason, error)
    await this.#budgets.end()
    const { operations, denied, rows, bytesOut } = this.#recorder.totals
    await this.#deps.authority
      .closeSession({ session: this.id, reason, operations, denied, rows, bytesOut, recording })
      .catch((cause: unknown) => this.#deps.report('session.close_failed', cause))
  }

  async #closeRecording(reason: CloseReason, error: VgateError): Promise<RecordingHead> {
    try {
      return await this.#recorder.close({
        type: 'session.closed',
        reason,
        message: error.message,
        totals: this.#recorder.totals,
      })
    } catch (cause) {
      this.#deps.report('recording.close_failed', cause)
      return { records: 0, head: '' }
    }
  }
}
