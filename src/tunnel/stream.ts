// Owns one stream of the tunnel: credit, the queue of what waits to be sent, and the two half-closes. Pure: what
// leaves goes through the mux that made it. Must never buffer what it received: the receiver holds it and owes credit.

import { VgateError } from '../core/errors.js'
import { HEADER_BYTES, TYPE, violation, writeHeader } from './frame.js'

/** Bytes that may be under way for one stream and direction. */
export const WINDOW_BYTES = 256 * 1024
/** Credit is returned in portions of at least this much. */
const CREDIT_PORTION_BYTES = WINDOW_BYTES / 4
/** `write` answers false from here on, and `drain` comes below it. */
export const STREAM_HIGH_WATER_BYTES = 128 * 1024
/** More than this waiting in one stream is a bug of its writer. */
export const STREAM_QUEUE_BYTES = 96 * 1024 * 1024
/** A stream with at most this much to send goes before the others. */
export const SMALL_BYTES = 1024

/** Why a stream was reset. On the wire as the argument of RESET. */
export const RESET = {
  REFUSED: 1,
  LIMIT: 2,
  UPSTREAM: 3,
  ENDED: 4,
  CANCELLED: 5,
  INTERNAL: 6,
  LOST: 7,
} as const

/** What the owner of a stream is told. `reset` and the second of both `end`s are the last. */
export interface StreamEvents {
  /** Bytes in order; call `consumed(n)` when they have left this process. */
  data(bytes: Buffer): void
  /** The peer sends no more. */
  end(): void
  /** The stream is over. Nothing more will come or go. */
  reset(code: number, reason: string): void
  /** There is room again after a `write` that answered false. */
  drain(): void
  /** All that was written, and the end, has been handed to the channel. Only after `end()`. */
  flushed?(): void
}

/** What a stream asks of its mux. */
export interface StreamPort {
  /** Bytes of data in one frame. */
  readonly dataBytes: number
  /** Something may be sent. */
  ready(stream: MuxStream): void
  credit(stream: MuxStream, bytes: number): void
  reset(stream: MuxStream, code: number, reason: string): void
  closed(stream: MuxStream): void
  /** An event handler threw: that ends this stream alone. */
  failed(stream: MuxStream, error: unknown): void
}

export class MuxStream {
  readonly id: number
  readonly endpoint: string
  /** Owned by the scheduler: true while it stands in a ring. */
  queued = false
  #port: StreamPort
  #events: StreamEvents | undefined
  #queue: Buffer[] = []
  #pending = 0
  #credit = WINDOW_BYTES
  #endAsked = false
  #endSent = false
  #endReceived = false
  #over = false
  #full = false
  #flushed = false
  /** Received and not yet returned as credit. */
  #owed = 0
  #consumed = 0

  constructor(port: StreamPort, id: number, endpoint: string) {
    this.#port = port
    this.id = id
    this.endpoint = endpoint
  }

  /** Names who is told. Must be called before the call that made the stream returns to its host. */
  attach(events: StreamEvents): void {
    this.#events = events
  }

  get attached(): boolean {
    return this.#events !== undefined
  }

  /** Both directions are over, or it was reset. */
  get over(): boolean {
    return this.#over
  }

  /** Bytes accepted by `write` and not sent. */
  get pending(): number {
    return this.#pending
  }

  /** Bytes received whose credit was not returned: what this process still holds. At most the window. */
  get owed(): number {
    return this.#owed
  }

  /** True when a frame could be sent now. */
  get sendable(): boolean {
    if (this.#over) return false
    return this.#pending > 0 ? this.#credit > 0 : this.#endAsked && !this.#endSent
  }

  /** True when the next frame is small and may go before others. */
  get small(): boolean {
    return this.#pending <= SMALL_BYTES
  }

  /**
   * Takes bytes to send, in order, and keeps a reference. Answers false when it has enough: wait for `drain`.
   * Does nothing on a stream that is over. Throws VGATE_LIMIT_EXCEEDED above STREAM_QUEUE_BYTES.
   */
  write(bytes: Buffer): boolean {
    if (this.#over || bytes.length === 0) return true
    if (this.#endAsked) throw new VgateError('VGATE_UNEXPECTED', 'tunnel: write after end')
    if (this.#pending + bytes.length > STREAM_QUEUE_BYTES) {
      throw new VgateError(
        'VGATE_LIMIT_EXCEEDED',
        `tunnel: more than ${STREAM_QUEUE_BYTES} bytes wait in one stream`,
      )
    }
    this.#queue.push(bytes)
    this.#pending += bytes.length
    this.#port.ready(this)
    if (this.#pending >= STREAM_HIGH_WATER_BYTES) this.#full = true
    return !this.#full
  }

  /** No more will be written; what waits is sent first. */
  end(): void {
    if (this.#over || this.#endAsked) return
    this.#endAsked = true
    this.#port.ready(this)
  }

  /** Drops what waits and ends both directions at once. Its own `reset` event does not fire. */
  reset(code: number, reason: string): void {
    if (this.#over) return
    this.#finish()
    this.#port.reset(this, code, reason)
  }

  /** `bytes` of what was received have left this process: the peer may send as much again. */
  consumed(bytes: number): void {
    if (this.#over) return
    this.#consumed += bytes
    if (this.#consumed > this.#owed)
      throw new VgateError('VGATE_UNEXPECTED', 'tunnel: consumed more than was received')
    if (this.#consumed < CREDIT_PORTION_BYTES || this.#endReceived) return
    const portion = this.#consumed
    this.#owed -= portion
    this.#consumed = 0
    this.#port.credit(this, portion)
  }

  /** For the scheduler: the next frame as a message, or undefined when there is none to send. */
  nextFrame(): Buffer | undefined {
    if (!this.sendable) return undefined
    if (this.#pending === 0) {
      this.#endSent = true
      const message = Buffer.allocUnsafe(HEADER_BYTES)
      writeHeader(message, this.id, TYPE.END, 0)
      if (this.#endReceived) this.#finish()
      this.#flushed = true
      return message
    }
    const size = Math.min(this.#pending, this.#credit, this.#port.dataBytes)
    const message = Buffer.allocUnsafe(HEADER_BYTES + size)
    writeHeader(message, this.id, TYPE.DATA, 0)
    this.#take(message, size)
    this.#credit -= size
    return message
  }

  /** For the mux, after a frame of this stream has gone. */
  relieve(): void {
    if (this.#flushed) {
      this.#flushed = false
      this.#tell((events) => events.flushed?.())
    }
    if (!this.#full || this.#pending >= STREAM_HIGH_WATER_BYTES / 2) return
    this.#full = false
    this.#tell((events) => events.drain())
  }

  /** For the mux: DATA came. Throws a violation when it exceeds the credit or follows END. */
  receiveData(bytes: Buffer): void {
    if (this.#endReceived) throw violation(`DATA after END on stream ${this.id}`)
    if (this.#owed + bytes.length > WINDOW_BYTES)
      throw violation(`stream ${this.id} exceeds its window of ${WINDOW_BYTES} bytes`)
    this.#owed += bytes.length
    this.#tell((events) => events.data(bytes))
  }

  /** For the mux: CREDIT came. Throws a violation when it gives back more than was sent. */
  receiveCredit(bytes: number): void {
    if (this.#credit + bytes > WINDOW_BYTES)
      throw violation(`CREDIT of ${bytes} bytes on stream ${this.id} exceeds what was sent`)
    this.#credit += bytes
    this.#port.ready(this)
  }

  /** For the mux: END came. Throws a violation when it came before. */
  receiveEnd(): void {
    if (this.#endReceived) throw violation(`second END on stream ${this.id}`)
    this.#endReceived = true
    if (this.#endSent) this.#finish()
    this.#tell((events) => events.end())
  }

  /** For the mux: RESET came, or the tunnel is lost. */
  receiveReset(code: number, reason: string): void {
    if (this.#over) return
    this.#finish()
    this.#tell((events) => events.reset(code, reason))
  }

  #tell(what: (events: StreamEvents) => void): void {
    if (this.#events === undefined) return
    try {
      what(this.#events)
    } catch (error) {
      this.#port.failed(this, error)
    }
  }

  #take(message: Buffer, size: number): void {
    let at = HEADER_BYTES
    let left = size
    let used = 0
    while (left > 0) {
      const chunk = this.#queue[used]
      if (chunk === undefined) break
      const part = Math.min(left, chunk.length)
      chunk.copy(message, at, 0, part)
      at += part
      left -= part
      if (part < chunk.length) this.#queue[used] = chunk.subarray(part)
      else used += 1
    }
    if (used > 0) this.#queue.splice(0, used)
    this.#pending -= size
  }

  #finish(): void {
    this.#over = true
    this.#queue = []
    this.#pending = 0
    this.#port.closed(this)
  }
}
