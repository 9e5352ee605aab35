// Owns one client connection of the Postgres family from its first byte to its end: handshake, opening,
// session. Must never send to the client after it has closed.

import type {
  Adapter,
  AdapterContext,
  AdapterHost,
  Answer,
  Ruling,
  UpstreamGreeting,
} from '../../core/adapter.js'
import { VgateError } from '../../core/errors.js'
import { Handshake } from './handshake.js'
import { CATALOGUE_KEY, CATALOGUE_MAX_AGE_MS } from './judging.js'
import { checkPinned } from './pinned.js'
import { asFatal, Session } from './session.js'
import { keepsPipelinesOpen } from './simple.js'
import { quotedPath, type StartupRequest } from './startup.js'
import type { Catalogue, SqlAnalyzer } from './statement.js'
import { cstr, fatalResponse, i32, message, violation } from './wire.js'

/** Id of the first question; those of the session follow. */
const FIRST_LOAD = 1

/** The Postgres adapter (core/adapter.ts). */
export class PostgresAdapter implements Adapter {
  readonly #context: AdapterContext
  readonly #host: AdapterHost
  readonly #analyzer: SqlAnalyzer
  #handshake: Handshake | undefined
  #session: Session | undefined
  #startup: StartupRequest | undefined
  #greeting: UpstreamGreeting | undefined
  #catalogue: Catalogue | undefined
  #searchPath: readonly string[] | undefined
  #early: Buffer[] = []
  #earlyBytes = 0
  #over = false
  #key: Buffer | undefined

  constructor(context: AdapterContext, host: AdapterHost, analyzer: SqlAnalyzer) {
    this.#context = context
    // Everything that ends the connection goes through here once, whichever part saw it.
    this.#host = {
      toClient: (bytes) => host.toClient(bytes),
      toUpstream: (bytes) => host.toUpstream(bytes),
      openUpstream: (parameters) => host.openUpstream(parameters),
      judge: (id, request) => host.judge(id, request),
      ask: (id, question) => host.ask(id, question),
      delivered: (delivery) => host.delivered(delivery),
      cancelUpstream: () => host.cancelUpstream(),
      cancelOther: (key) => host.cancelOther(key),
      close: (error) => {
        if (this.#over) return
        try {
          this.#abandon('08003', 'the connection ended')
        } finally {
          this.#finish()
          host.close(error)
        }
      },
    }
    this.#analyzer = analyzer
    this.#handshake = new Handshake(context, this.#host, analyzer, (startup, rest) =>
      this.#authenticated(startup, rest),
    )
  }

  get cancelKey(): Buffer | undefined {
    return this.#key
  }

  get congested(): boolean {
    return this.#session?.congested ?? this.#earlyBytes > this.#context.limits.handshakeBytes
  }

  fromClient(bytes: Buffer): void {
    this.#guard(() => {
      if (this.#session !== undefined) this.#session.fromClient(bytes)
      else if (this.#handshake !== undefined) this.#handshake.take(bytes)
      else this.#keepEarly(bytes)
    })
  }

  fromUpstream(bytes: Buffer): void {
    this.#guard(() => {
      if (this.#session !== undefined) this.#session.fromUpstream(bytes)
      else if (this.#greeting !== undefined) throw violation('the database sent something unasked')
    })
  }

  ruled(id: number, ruling: Ruling): void {
    this.#guard(() => this.#session?.ruled(id, ruling))
  }

  notify(text: string): void {
    this.#guard(() => this.#session?.notify(text))
  }

  answered(id: number, answer: Answer): void {
    this.#guard(() => {
      if (id === FIRST_LOAD) this.#loaded(answer)
      else this.#session?.answered(id, answer)
    })
  }

  upstreamReady(greeting: UpstreamGreeting): void {
    this.#guard(() => {
      for (const [name, value] of Object.entries(greeting.parameters)) checkPinned(name, value)
      this.#greeting = greeting
      this.#open()
    })
  }

  upstreamFailed(error: VgateError): void {
    if (this.#over) return
    if (this.#session === undefined) {
      this.#end(error)
      return
    }
    this.#end(
      new VgateError('VGATE_GATEWAY_UNREACHABLE', 'the database connection was lost', {
        hint: 'connect again',
        cause: error,
      }),
      error,
    )
  }

  clientEnded(): void {
    if (this.#over) return
    if (this.#session?.pipeline.idle === false) this.#host.cancelUpstream()
    this.#abandon('08006', 'the client went away')
    this.#host.close()
  }

  terminate(error: VgateError): void {
    if (this.#over) return
    if (this.#session?.pipeline.idle === false) this.#host.cancelUpstream()
    this.#end(error)
  }

  #guard(work: () => void): void {
    if (this.#over) return
    try {
      work()
    } catch (error) {
      const fatal = asFatal(error)
      if (fatal === undefined) {
        // The host answers with `terminate`, which still has words for the client.
        this.#session?.stop()
        throw error
      }
      if (this.#session?.pipeline.idle === false) this.#host.cancelUpstream()
      this.#end(fatal)
    }
  }

  #finish(): void {
    this.#over = true
    this.#session?.stop()
    this.#handshake = undefined
    this.#early = []
  }

  /** The client's last message, whole, then the end. What was being relayed ended with its last whole message. */
  #end(told: VgateError, reason: VgateError = told): void {
    try {
      this.#abandon(told.faces.sqlstate, told.message)
    } finally {
      this.#host.toClient(fatalResponse(told))
      this.#host.close(reason)
    }
  }

  /** Records what was relayed and gives it, then that every run is over. */
  #abandon(sqlstate: string, text: string): void {
    const { pipeline } = this.#session ?? {}
    pipeline?.abandon({ sqlstate, message: text })
    pipeline?.flushToClient()
  }

  #keepEarly(bytes: Buffer): void {
    this.#early.push(bytes)
    this.#earlyBytes += bytes.length
    if (this.#earlyBytes > this.#context.limits.queuedBytes)
      throw violation('too much was sent before the session was ready')
  }

  #authenticated(startup: StartupRequest, rest: Buffer): void {
    this.#handshake = undefined
    this.#startup = startup
    if (rest.length > 0) this.#keepEarly(Buffer.from(rest))
    // A search_path must be resolved before it is sent upstream; without one both happen at once.
    if (startup.searchPath === undefined) this.#host.openUpstream(startup.parameters)
    if (this.#over) return
    this.#host.ask(FIRST_LOAD, {
      kind: 'load',
      key: CATALOGUE_KEY,
      maxAgeMs: CATALOGUE_MAX_AGE_MS,
      load: (query, previous) => this.#analyzer.loadCatalogue(query, previous),
    })
  }

  #loaded(answer: Answer): void {
    if (!answer.ok) {
      throw new VgateError(
        'VGATE_UPSTREAM_FAILED',
        `the database's catalogue could not be read: ${answer.error.message}`,
        {
          ...(answer.error.hint === undefined ? {} : { hint: answer.error.hint }),
          cause: answer.error,
        },
      )
    }
    // What `loadCatalogue` answered, for this connection or another one of the same target.
    const catalogue = answer.value as Catalogue
    this.#catalogue = catalogue
    const { searchPath, parameters, user } = this.#startup ?? { parameters: {}, user: '' }
    if (searchPath !== undefined) {
      const path = this.#analyzer.resolveSearchPath(searchPath, catalogue, user)
      if (path === undefined) {
        throw new VgateError(
          'VGATE_DENIED',
          'the start-up setting "search_path" names a schema that is not known',
          {
            hint: 'name existing schemas only',
          },
        )
      }
      this.#searchPath = path
      this.#host.openUpstream({ ...parameters, search_path: quotedPath(path) })
    }
    this.#open()
  }

  /** Both the database and its catalogue are there: the client is let in. */
  #open(): void {
    if (
      this.#greeting === undefined ||
      this.#catalogue === undefined ||
      this.#session !== undefined
    )
      return
    // Schemas that the session's own user may not use are none that it looks into, whatever was set.
    const searchPath = this.#greeting.searchPath ?? this.#searchPath
    const keepsOpen = keepsPipelinesOpen(this.#greeting.parameters['server_version'])
    const start = { catalogue: this.#catalogue, searchPath, lastId: FIRST_LOAD, keepsOpen }
    const session = new Session(this.#host, this.#context, this.#analyzer, start, (error) =>
      this.#host.close(error),
    )
    const process = this.#context.randomBytes(4)
    process.writeUInt32BE(process.readUInt32BE(0) & 0x7fffffff)
    const key = Buffer.concat([process, this.#context.randomBytes(4)])
    this.#key = key
    const statuses = Object.entries(this.#greeting.parameters).map(([name, value]) =>
      message('S', cstr(name), cstr(value)),
    )
    this.#host.toClient(
      Buffer.concat([
        message('R', i32(0)),
        ...statuses,
        message('K', key),
        message('Z', Buffer.from('I')),
      ]),
    )
    this.#session = session
    const early = this.#early
    this.#early = []
    for (const bytes of early) if (!this.#over) session.fromClient(bytes)
  }
}
