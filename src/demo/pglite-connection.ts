// Owns one client connection of the demo database: start-up, password, and its messages one after the other, with the
// turn held from the first message of a unit of work until the backend is idle again. It must never hold the turn for a
// slow reader: answers are queued on the socket, up to a cap.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { DatabaseError, type PrivateState, type SharedBackend } from './pglite-backend.js'
import { withoutCopyIn } from './pglite-copy.js'
import { AUTHENTICATION_SASL, ScramServer } from './pglite-scram.js'
import { startupParameters, startupSettings } from './pglite-startup.js'
import {
  AUTHENTICATION_OK,
  errorResponse,
  Framer,
  type Message,
  message,
  negotiateProtocolVersion,
  parameterStatus,
  query,
  readyForQuery,
  SYNC,
  strings,
} from './pglite-wire.js'

export interface FrontOptions {
  readonly username: string
  readonly password: string
  readonly databaseName: string
  /** Bytes that may wait on one connection's socket; above, it is closed. */
  readonly maxQueuedBytes: number
}

const MAX_MESSAGE = 64 * 1024 * 1024
const MAX_STARTUP = 64 * 1024
/** Bytes of messages that may wait for the turn before the socket is no longer read. */
const MAX_WAITING = 1024 * 1024
const SSL_REQUEST = 80877103
const GSSENC_REQUEST = 80877104
const CANCEL_REQUEST = 80877102
const REPORTED = [
  'server_version',
  'server_encoding',
  'client_encoding',
  'application_name',
  'default_transaction_read_only',
  'in_hot_standby',
  'is_superuser',
  'session_authorization',
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
  'integer_datetimes',
  'standard_conforming_strings',
  'scram_iterations',
  'search_path',
]

export class FrontConnection {
  readonly #socket: Socket
  readonly #backend: SharedBackend
  readonly #options: FrontOptions
  readonly #scram: ScramServer
  readonly #startupFramer = new Framer(MAX_STARTUP)
  readonly #framer = new Framer(MAX_MESSAGE)
  readonly #state: PrivateState = { settings: [], prepared: [], parses: new Map() }
  #phase: 'startup' | 'password' | 'ready' | 'over' = 'startup'
  #queue: Message[] = []
  #queuedBytes = 0
  #pumping = false
  /** The turn is ours. */
  #turn = false
  #status = 'I'
  /** An extended message has run since the last Sync. */
  #unsynced = false
  /** Since the last Sync nothing has run but Parse, Describe and Close of statements, and nothing failed. */
  #onlyPrepared = true

  constructor(socket: Socket, backend: SharedBackend, options: FrontOptions) {
    this.#socket = socket
    this.#backend = backend
    this.#options = options
    this.#scram = new ScramServer(options.password)
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#received(Buffer.from(chunk)))
    socket.on('error', () => socket.destroy()) // the reason is the peer's; `close` follows and cleans up
    socket.on('close', () => {
      this.#phase = 'over'
      this.#queue = []
      void this.#pump()
    })
  }

  #received(chunk: Buffer): void {
    try {
      if (this.#phase === 'startup') {
        this.#startupFramer.push(chunk)
        this.#startup()
        return
      }
      this.#framer.push(chunk)
      this.#enqueue()
    } catch (error) {
      this.#fatal('08P01', error instanceof Error ? error.message : 'malformed message')
    }
  }

  #startup(): void {
    for (
      let next = this.#startupFramer.next(true);
      next !== undefined;
      next = this.#startupFramer.next(true)
    ) {
      const code = next.payload.length >= 4 ? next.payload.readInt32BE(0) : 0
      if (code === SSL_REQUEST || code === GSSENC_REQUEST) {
        this.#socket.write('N')
        continue
      }
      if (code === CANCEL_REQUEST) {
        this.#socket.destroy() // one backend cannot be interrupted; a real server also answers by closing
        return
      }
      this.#begin(code, strings(next.payload.subarray(4)))
      return
    }
  }

  #begin(version: number, words: readonly string[]): void {
    if (version >> 16 !== 3) {
      this.#fatal('0A000', `unsupported frontend protocol ${version >> 16}.${version & 0xffff}`)
      return
    }
    const parameters = startupParameters(words)
    const unknown = [...parameters.keys()].filter((name) => name.startsWith('_pq_.'))
    if ((version & 0xffff) > 0 || unknown.length > 0)
      this.#socket.write(negotiateProtocolVersion(unknown))
    const database = parameters.get('database') ?? parameters.get('user') ?? ''
    if (database !== this.#options.databaseName) {
      this.#fatal('3D000', `database "${database}" does not exist`)
      return
    }
    if (parameters.get('user') !== this.#options.username) {
      this.#fatal('28P01', 'password authentication failed')
      return
    }
    this.#state.settings = startupSettings(parameters)
    this.#phase = 'password'
    this.#socket.write(AUTHENTICATION_SASL)
  }

  #enqueue(): void {
    for (let next = this.#framer.next(false); next !== undefined; next = this.#framer.next(false)) {
      this.#queue.push(next)
      this.#queuedBytes += next.bytes.length
    }
    if (this.#queuedBytes > MAX_WAITING) this.#socket.pause()
    void this.#pump()
  }

  /** Takes the messages in order; one pump at a time. */
  async #pump(): Promise<void> {
    if (this.#pumping) return
    this.#pumping = true
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        this.#queuedBytes -= next.bytes.length
        if (this.#queuedBytes <= MAX_WAITING) this.#socket.resume()
        await this.#handle(next)
      }
      if (this.#over) await this.#leave()
    } catch (error) {
      const known = error instanceof DatabaseError
      this.#fatal(
        known ? error.sqlstate : 'XX000',
        known ? error.message : 'the demo database failed',
      )
      await this.#leave()
    } finally {
      this.#pumping = false
    }
    // The socket closed, or more came, while the last step was awaited.
    if (this.#queue.length > 0 || (this.#over && this.#turn)) void this.#pump()
  }

  get #over(): boolean {
    return this.#phase === 'over'
  }

  async #handle(next: Message): Promise<void> {
    if (this.#phase === 'password') {
      await this.#authenticate(next)
      return
    }
    if (next.type === 'X') {
      this.#end()
      return
    }
    if ('dcf'.includes(next.type)) return // stray COPY data is ignored outside COPY, as the server does
    if (!'QPBDECHSF'.includes(next.type)) {
      this.#fatal('08P01', `unexpected message type ${JSON.stringify(next.type)}`)
      return
    }
    await this.#work(withoutCopyIn(next))
  }

  async #work(next: Message): Promise<void> {
    if (!this.#turn) {
      await this.#backend.acquire(this.#state)
      this.#turn = true
      if (this.#over) return
    }
    this.#onlyPrepared = (this.#onlyPrepared || !this.#unsynced) && preparesOnly(next)
    this.#unsynced = next.type !== 'S' && next.type !== 'Q' && next.type !== 'F'
    this.#remember(next)
    await this.#run(next.bytes)
    if (this.#status !== 'I') return
    if (!this.#unsynced) this.#release()
    else if (this.#onlyPrepared && this.#queue.length === 0) {
      // A client that prepares, and thinks before it sends Bind or Sync, would keep everybody waiting: a Sync of the
      // front's own changes nothing, and what was prepared comes back with the turn.
      await this.#backend.run(SYNC, () => undefined)
      this.#release()
    }
  }

  /** Keeps what has to be prepared again when the turn comes back. */
  #remember(next: Message): void {
    const { parses } = this.#state
    if (next.type === 'P') parses.set(strings(next.payload)[0] ?? '', next.bytes)
    else if (next.type === 'Q')
      parses.delete('') // a simple query does away with the unnamed statement
    else if (next.type === 'C' && next.payload[0] === 0x53)
      parses.delete(strings(next.payload)[0]?.slice(1) ?? '')
  }

  async #run(bytes: Buffer): Promise<void> {
    const framer = new Framer(0x3fff_ffff)
    await this.#backend.run(bytes, (chunk) => {
      const copy = Buffer.from(chunk) // PGlite uses its buffer again
      framer.push(copy)
      for (let next = framer.next(false); next !== undefined; next = framer.next(false)) {
        if (next.type === 'Z') this.#status = next.payload.toString('latin1')
        if (next.type === 'E') this.#onlyPrepared = false
      }
      this.#send(copy)
    })
  }

  #send(bytes: Buffer): void {
    if (this.#over || this.#socket.destroyed) return
    this.#socket.write(bytes)
    if (this.#socket.writableLength > this.#options.maxQueuedBytes) this.#socket.destroy()
  }

  async #authenticate(next: Message): Promise<void> {
    const first = !this.#scram.started
    const step = first ? this.#scram.start(next.payload) : this.#scram.finish(next.payload)
    if (next.type !== 'p' || step === undefined) {
      this.#fatal('28P01', 'password authentication failed')
      return
    }
    this.#send(step)
    if (first) return
    await this.#backend.acquire(this.#state)
    this.#turn = true
    if (this.#over) return
    const rows = await this.#backend.ask(
      `SELECT name, pg_catalog.current_setting(name, true) FROM unnest(ARRAY['${REPORTED.join("','")}']) AS name`,
    )
    this.#release()
    this.#phase = 'ready'
    const statuses = rows.flatMap(([name, value]) =>
      value === null ? [] : [parameterStatus(name ?? '', value ?? '')],
    )
    this.#send(
      Buffer.concat([
        AUTHENTICATION_OK,
        ...statuses,
        message('K', randomBytes(8)),
        readyForQuery('I'),
      ]),
    )
  }

  #release(): void {
    this.#turn = false
    this.#backend.release()
  }

  /** Gives the turn back with the backend idle, whatever was under way. */
  async #leave(): Promise<void> {
    if (this.#turn) {
      const drop = (): void => undefined
      await this.#backend.run(SYNC, drop)
      await this.#backend.run(query('ROLLBACK'), drop)
      this.#backend.forget(this.#state)
      this.#release()
    }
    this.#backend.forget(this.#state)
  }

  #fatal(sqlstate: string, text: string): void {
    if (this.#over) return
    this.#socket.write(errorResponse('FATAL', sqlstate, text))
    this.#end()
  }

  #end(): void {
    this.#phase = 'over'
    this.#queue = []
    this.#socket.end()
    void this.#pump()
  }
}

/** True for a message that makes, describes or closes a statement, or asks for output. */
function preparesOnly({ type, payload }: Message): boolean {
  return type === 'P' || type === 'H' || ((type === 'D' || type === 'C') && payload[0] === 0x53)
}
