// Owns one client connection inside a session: its adapter, its upstream connection, and the flow between them.
// It moves bytes and never looks into them.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type {
  Adapter,
  AdapterContext,
  AdapterHost,
  Delivery,
  JudgeRequest,
  ProtocolFamily,
  Question,
  Ruling,
} from '../core/adapter.js'
import { asVgateError, VgateError } from '../core/errors.js'
import type { UpstreamConnection } from './upstream.js'

/** A client's bytes are taken in pieces of this size for so long; then others have their turn. Each piece may be many statements to judge. */
const PIECE_BYTES = 4 * 1024
const TURN_MS = 2
/** How long a cut stream may take to deliver what the client still reads. */
export const CUT_DEADLINE_MS = 500

/** What a connection needs of its session. */
export interface ConnectionSession {
  readonly family: ProtocolFamily
  readonly context: Omit<AdapterContext, 'randomBytes'>
  /** A client that has not authenticated by then is cut. */
  readonly handshakeMs: number
  judge(connection: string, id: number, request: JudgeRequest): Ruling | Promise<Ruling>
  delivered(connection: string, delivery: Delivery): void
  /** Hands what was recorded to the operating system; before bytes are given to the client. Throws when it cannot. */
  flush(): void
  /** The answer where it is at hand; undefined: `answer` finds it out. */
  known(question: Question): { readonly value: unknown } | undefined
  answer(connection: string, question: Question): Promise<unknown>
  dial(parameters: Readonly<Record<string, string>>): Promise<UpstreamConnection>
  cancel(packet: Buffer): void
  cancelOther(key: Buffer): void
  closed(connection: string, error: VgateError | undefined): void
}

/** One client connection. Errors end it alone. */
export class Connection implements AdapterHost {
  readonly id: string
  readonly #session: ConnectionSession
  readonly #client: Duplex
  readonly #adapter: Adapter
  #upstream: UpstreamConnection | undefined
  #closed = false
  #opening = false
  #terminating = false
  /** The rest of what the client sent waits for the next turn. */
  #yielding = false
  readonly #handshake: NodeJS.Timeout

  constructor(id: string, session: ConnectionSession, client: Duplex) {
    this.id = id
    this.#session = session
    this.#client = client
    this.#adapter = session.family.createAdapter({ ...session.context, randomBytes }, this)
    this.#handshake = setTimeout(() => {
      if (this.#adapter.cancelKey === undefined) this.terminate(tooSlow(session.handshakeMs))
    }, session.handshakeMs)
    client.on('data', (bytes: Buffer) => this.#guarded(() => this.#fromClient(bytes)))
    client.on('end', () => this.#guarded(() => this.#adapter.clientEnded()))
    client.on('error', () => this.close())
    client.on('close', () => this.close())
    client.on('drain', () => this.#upstream?.socket.resume())
  }

  get cancelKey(): Buffer | undefined {
    return this.#adapter.cancelKey
  }

  /** Sends the packet that cancels what this connection runs upstream. */
  cancelUpstream(): void {
    if (this.#upstream !== undefined) this.#session.cancel(this.#upstream.cancel)
  }

  /** Ends the connection with the protocol's own fatal error; the upstream is cancelled first. */
  terminate(error: VgateError): void {
    if (this.#closed) return
    this.#terminating = true
    this.#guarded(() => this.#adapter.terminate(error))
    setTimeout(() => this.close(error), CUT_DEADLINE_MS).unref()
  }

  /** Tells the client of a wait. */
  notify(text: string): void {
    this.#guarded(() => this.#adapter.notify(text))
  }

  toClient(bytes: Buffer): void {
    if (this.#closed) return
    // The last words of a connection hold no data, and must be said when recording is what failed.
    if (!this.#terminating) this.#session.flush()
    if (!this.#client.write(bytes)) this.#upstream?.socket.pause()
  }

  toUpstream(bytes: Buffer): void {
    const socket = this.#upstream?.socket
    if (socket === undefined || this.#closed) return
    if (!socket.write(bytes)) this.#client.pause()
  }

  openUpstream(parameters: Readonly<Record<string, string>>): void {
    if (this.#opening) throw new Error('the upstream connection is opened once')
    this.#opening = true
    this.#session.dial(parameters).then(
      (upstream) => this.#attach(upstream),
      (error: unknown) => this.#guarded(() => this.#adapter.upstreamFailed(asUpstreamError(error))),
    )
  }

  judge(id: number, request: JudgeRequest): void {
    const ruling = this.#session.judge(this.id, id, request)
    if (!(ruling instanceof Promise)) {
      this.#adapter.ruled(id, ruling)
      return
    }
    ruling.then(
      (late) => this.#guarded(() => this.#adapter.ruled(id, late)),
      // Without a ruling nothing goes on: the connection ends, not the gateway.
      (error: unknown) =>
        this.#guarded(() => {
          throw error
        }),
    )
  }

  ask(id: number, question: Question): void {
    // At once where it can be: a hop through the event loop would cut one write to the database into two.
    const known = this.#session.known(question)
    if (known !== undefined) {
      this.#adapter.answered(id, { ok: true, value: known.value })
      return
    }
    this.#session.answer(this.id, question).then(
      (value) => this.#guarded(() => this.#adapter.answered(id, { ok: true, value })),
      (error: unknown) =>
        this.#guarded(() =>
          this.#adapter.answered(id, { ok: false, error: asUpstreamError(error) }),
        ),
    )
  }

  delivered(delivery: Delivery): void {
    this.#session.delivered(this.id, delivery)
  }

  cancelOther(key: Buffer): void {
    this.#session.cancelOther(key)
  }

  close(error?: VgateError): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#handshake)
    const upstream = this.#upstream?.socket
    upstream?.removeAllListeners()
    // A socket that is torn down may still report an error; nobody is left to tell.
    upstream?.on('error', () => undefined)
    upstream?.destroy()
    this.#client.end()
    setTimeout(() => this.#client.destroy(), CUT_DEADLINE_MS).unref()
    this.#session.closed(this.id, error)
  }

  #attach(upstream: UpstreamConnection): void {
    if (this.#closed) {
      upstream.socket.destroy()
      return
    }
    this.#upstream = upstream
    const { socket } = upstream
    socket.on('data', (bytes: Buffer) => this.#guarded(() => this.#fromUpstream(bytes)))
    socket.on('drain', () => this.#resumeClient())
    socket.on('error', () => this.#guarded(() => this.#adapter.upstreamFailed(lost())))
    socket.on('close', () => this.#guarded(() => this.#adapter.upstreamFailed(lost())))
    this.#guarded(() => {
      this.#adapter.upstreamReady(upstream.greeting)
      if (upstream.rest.length > 0) this.#adapter.fromUpstream(upstream.rest)
      socket.resume()
    })
  }

  #fromClient(bytes: Buffer): void {
    const upstream: Socket | undefined = this.#upstream?.socket
    const until = performance.now() + TURN_MS
    let taken = 0
    upstream?.cork()
    try {
      do {
        this.#adapter.fromClient(bytes.subarray(taken, taken + PIECE_BYTES))
        taken += PIECE_BYTES
      } while (taken < bytes.length && !this.#closed && performance.now() < until)
    } finally {
      upstream?.uncork()
    }
    if (this.#adapter.congested) this.#client.pause()
    if (taken < bytes.length && !this.#closed && !this.#client.destroyed) {
      this.#yielding = true
      this.#client.pause()
      this.#client.unshift(bytes.subarray(taken))
      setImmediate(() => {
        this.#yielding = false
        this.#guarded(() => this.#resumeClient())
      })
    }
  }

  #fromUpstream(bytes: Buffer): void {
    this.#client.cork()
    try {
      this.#adapter.fromUpstream(bytes)
    } finally {
      this.#client.uncork()
    }
  }

  #resumeClient(): void {
    if (this.#yielding) return
    if (!this.#adapter.congested && this.#upstream?.socket.writableNeedDrain !== true)
      this.#client.resume()
  }

  /** Any throw is the end of this connection alone: the client gets the protocol's own fatal error if that still works. */
  #guarded(action: () => void): void {
    if (this.#closed) return
    try {
      action()
      if (!this.#closed && this.#client.isPaused()) this.#resumeClient()
    } catch (error) {
      const reason = asVgateError(error, 'the gateway failed on this connection and closed it')
      this.#terminating = true
      try {
        this.#adapter.terminate(reason)
      } catch {
        // The adapter itself is broken: closing without words is all that is left.
      }
      this.close(reason)
    }
  }
}

function tooSlow(ms: number): VgateError {
  return new VgateError(
    'VGATE_LIMIT_EXCEEDED',
    `the connection did not authenticate within ${ms / 1000} s`,
    {
      hint: 'connect again; limits.handshake in vgate.yaml sets how long it may take',
    },
  )
}

function lost(): VgateError {
  return new VgateError('VGATE_UPSTREAM_FAILED', 'the database connection was lost', {
    hint: 'connect again; nothing that was unconfirmed may be taken as done',
  })
}

function asUpstreamError(error: unknown): VgateError {
  return asVgateError(error, 'the gateway failed to reach the database', 'VGATE_UPSTREAM_FAILED')
}
