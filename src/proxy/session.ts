// Owns one session of the data plane: its lease, its recording, its connections, and its end. One grant, one target.

import type { Duplex } from 'node:stream'
import type { RecordingHead, SessionOpened } from '../audit/records.js'
import type { Recording } from '../audit/writer.js'
import type {
  AdapterLimits,
  ProtocolFamily,
  Question,
  Refusal,
  Ruling,
  ScramVerifier,
} from '../core/adapter.js'
import type {
  Authority,
  OpenSessionRequest,
  SessionLease,
  SessionNotice,
} from '../core/authority.js'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import type { CloseReason } from '../core/grant.js'
import { newId } from '../core/ids.js'
import type { MaskerFactory } from '../core/masker.js'
import { Secret } from '../core/secret.js'
import type { CompiledPolicy } from '../policy/compile.js'
import { Connection, type ConnectionSession } from './connection.js'
import { Decisions } from './decisions.js'
import { offload } from './offload.js'
import { enforce, type Standing } from './pep.js'
import { SessionRecorder } from './session-recorder.js'
import type { SideQueries } from './side-queries.js'
import { dial, sendCancel } from './upstream.js'

export const LEASE_RENEWAL_MS = 2_000
export const EXPIRY_WARNING_MS = 5 * 60_000
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** What the session tells its owner (over the tunnel). */
export interface SessionEvents {
  denied(operation: string, refusal: Refusal): void
  expiring(endsAt: number): void
  /** After every stream has been cut. */
  ended(reason: CloseReason, error: VgateError): void
}

export interface SessionDependencies {
  readonly authority: Authority
  readonly clock: Clock
  readonly family: ProtocolFamily
  readonly limits: AdapterLimits
  readonly connectionsPerSession: number
  readonly handshakeMs: number
  readonly durability: 'standard' | 'strict'
  readonly masker: MaskerFactory
  readonly compilePolicy: (policy: {
    readonly source: string
    readonly hash: string
  }) => CompiledPolicy
  readonly openRecording: (session: string) => Recording
  readonly sideQueries: (
    lease: SessionLease,
    credential: () => Promise<{ readonly username: string; readonly password: Secret }>,
  ) => Promise<SideQueries>
  /** For unexpected failures; never given data. */
  readonly report: (event: string, error: unknown) => void
}

/** A session from its lease to its end. */
export class Session {
  readonly id: string
  readonly lease: SessionLease
  readonly #deps: SessionDependencies
  readonly #events: SessionEvents
  readonly #secret: ScramVerifier
  readonly #recorder: SessionRecorder
  readonly #connections = new Map<string, Connection>()
  readonly #timers: NodeJS.Timeout[] = []
  #unwatch: () => void = () => undefined
  readonly #decisions = new Decisions()
  #side: SideQueries | undefined
  #policy: CompiledPolicy
  #leaseUntil: number
  #ended: VgateError | undefined
  #ending: Promise<void> | undefined
  #expiry: NodeJS.Timeout | undefined
  #warning: NodeJS.Timeout | undefined

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
    this.#unwatch = deps.authority.watch(lease.session, (notice) => this.#noticed(notice))
    this.#timers.push(setInterval(() => this.#renew(), LEASE_RENEWAL_MS))
    this.#armExpiry()
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
      delivered: (connection, delivery) => this.#recorder.delivered(connection, delivery),
      flush: () => this.#recorder.flush(),
      known: (question) => (question.kind === 'load' ? this.#side?.known(question) : undefined),
      answer: (question) => this.#answer(question),
      dial: async (parameters) =>
        dial({
          family,
          target: this.lease.target,
          credential: await this.#credential(),
          parameters,
        }),
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
    return enforce(
      {
        clock: this.#deps.clock,
        standing: () => this.#standing(),
        log: {
          intent: (op, asked, judgement, durable) =>
            this.#recorder.intent(connection, op, asked, judgement, durable),
        },
        decisions: this.#decisions,
        durability: this.#deps.durability,
        onDenied: (operation, refusal) => this.#events.denied(operation, refusal),
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

  async #answer(question: Question): Promise<unknown> {
    if (question.kind === 'offload') return await offload(question.entry, question.input)
    this.#side = await this.#deps.sideQueries(this.lease, () => this.#credential())
    return await this.#side.load(question)
  }

  async #credential(): Promise<{ readonly username: string; readonly password: Secret }> {
    const { username, password } = await this.#deps.authority.leaseCredential(this.id)
    return { username, password: new Secret(password) }
  }

  #cancelOther(key: Buffer): void {
    for (const connection of this.#connections.values()) {
      if (connection.cancelKey?.equals(key) === true) connection.cancelUpstream()
    }
  }

  #connectionClosed(connection: string, error: VgateError | undefined): void {
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

  #renew(): void {
    // The wall clock was set forward: the timer does not know.
    if (this.#deps.clock.now() >= this.lease.grant.endsAt) return this.#expire()
    this.#deps.authority.renewLease(this.id).then(
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

  #armExpiry(): void {
    const left = this.lease.grant.endsAt - this.#deps.clock.now()
    if (left <= 0) return this.#expire()
    if (left > LONGEST_TIMER_MS) {
      this.#expiry = setTimeout(() => this.#armExpiry(), LONGEST_TIMER_MS)
      return
    }
    // Not looked at again when it fires: a wall clock that was set back must not lengthen a grant.
    this.#expiry = setTimeout(() => this.#expire(), left)
    clearTimeout(this.#warning)
    if (left > EXPIRY_WARNING_MS) {
      this.#warning = setTimeout(
        () => this.#events.expiring(this.lease.grant.endsAt),
        left - EXPIRY_WARNING_MS,
      )
    }
  }

  #expire(): void {
    void this.end('expired', endError('expired', 'the grant has ended'))
  }

  #recordingFailed(cause: unknown): void {
    const error =
      cause instanceof VgateError
        ? cause
        : new VgateError('VGATE_RECORDING_UNAVAILABLE', 'the session cannot be recorded and ends', {
            cause,
          })
    void this.end('error', error)
  }

  async #end(reason: CloseReason, error: VgateError): Promise<void> {
    this.#ended = error
    this.#unwatch()
    for (const timer of [...this.#timers, this.#expiry, this.#warning]) clearTimeout(timer)
    for (const connection of [...this.#connections.values()]) connection.terminate(error)
    this.#connections.clear()
    const recording = await this.#closeRecording(reason, error)
    this.#events.ended(reason, error)
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

function opened(lease: SessionLease, client: OpenSessionRequest['client']): SessionOpened {
  const { principal, grant, target } = lease
  return {
    type: 'session.opened',
    session: lease.session,
    principal: {
      id: principal.id,
      name: principal.name,
      provider: principal.provider,
      kind: principal.kind,
    },
    grant: {
      id: grant.id,
      roles: grant.roles,
      startsAt: new Date(grant.startsAt).toISOString(),
      endsAt: new Date(grant.endsAt).toISOString(),
      ...(grant.reason === undefined ? {} : { reason: grant.reason }),
      ...(grant.ticket === undefined ? {} : { ticket: grant.ticket }),
    },
    target: target.name,
    database: target.database,
    databaseName: target.databaseName,
    policyHash: lease.policy.hash,
    client,
  }
}

function endError(reason: CloseReason, message: string): VgateError {
  switch (reason) {
    case 'expired':
      return new VgateError('VGATE_GRANT_ENDED', message, { hint: 'run `vgate connect` again' })
    case 'revoked':
      return new VgateError('VGATE_REVOKED', message)
    case 'upstream_lost':
      return new VgateError('VGATE_UPSTREAM_FAILED', message)
    default:
      return new VgateError('VGATE_GATEWAY_UNREACHABLE', message)
  }
}
