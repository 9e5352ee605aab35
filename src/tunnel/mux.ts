// Owns the multiplexer: many streams and the control messages in one ordered channel of messages, without I/O.
// Bytes come by `receive`, leave by `host.send`. Must never know what flows through, and never outgrow its limits.

import { VgateError } from '../core/errors.js'
import {
  CONTROL_MORE,
  DATA_BYTES,
  decodeFrame,
  encodeFrame,
  type Frame,
  MAX_ARGUMENT,
  MAX_ENDPOINT_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_REASON_BYTES,
  MAX_STREAM_ID,
  TunnelViolation,
  TYPE,
  violation,
} from './frame.js'
import { Scheduler } from './scheduler.js'
import { MuxStream, RESET, type StreamEvents, type StreamPort } from './stream.js'

/** At most this much waits in the socket; the rest waits in the streams, where the order is still open. */
export const SOCKET_QUEUE_BYTES = 256 * 1024
/** One control message, all its fragments together. */
export const CONTROL_BYTES = 256 * 1024
/** Frames without data (control, credit, resets, pongs) that wait for the socket. */
const URGENT_FRAMES = 4096

const ENDPOINT = /^[a-z][a-z0-9-]*$/

export interface MuxHost {
  /** One frame as one binary message. */
  send(message: Buffer): void
  /** Bytes given to `send` and not yet taken by the network. Call `drained` when it falls. */
  buffered(): number
  /** The peer opened a stream: `attach` before returning, or it is refused. */
  opened(stream: MuxStream): void
  /** A control message, parsed as JSON and not checked further. */
  control(message: unknown): void
  pong(argument: number): void
  /** An event handler of this stream threw; the stream was reset with INTERNAL. For the log. */
  failed?(stream: MuxStream, error: unknown): void
  /** The peer broke a rule, or `control` or `opened` threw: close the channel with the error's close code. Every stream has been told. */
  violated(error: VgateError): void
}

export interface MuxOptions {
  /** The client opens streams with odd ids, the gateway with even ones. */
  readonly side: 'client' | 'gateway'
  /** Streams that the peer may have open; one more is reset with LIMIT. 0: an OPEN is a violation. */
  readonly maxStreams: number
}

export class Mux {
  readonly #host: MuxHost
  readonly #options: MuxOptions
  readonly #streams = new Map<number, MuxStream>()
  readonly #scheduler = new Scheduler()
  #urgent: Buffer[] = []
  #nextId: number
  #lastPeerId = 0
  #peerStreams = 0
  #fragments: Buffer[] = []
  #fragmentBytes = 0
  #over = false
  #pumping = false
  /** One for all streams: a thousand of them cost no closures. */
  readonly #port: StreamPort

  constructor(host: MuxHost, options: MuxOptions) {
    this.#host = host
    this.#options = options
    this.#nextId = options.side === 'client' ? 1 : 2
    this.#port = {
      dataBytes: DATA_BYTES[options.side],
      ready: (ready) => {
        this.#scheduler.add(ready)
        this.#pump()
      },
      credit: (creditor, bytes) => this.#sendUrgent(encodeFrame(creditor.id, TYPE.CREDIT, bytes)),
      reset: (gone, code, reason) => this.#sendUrgent(resetFrame(gone.id, code, reason)),
      failed: (broken, error) => {
        this.#host.failed?.(broken, error)
        broken.reset(RESET.INTERNAL, 'internal error')
      },
      closed: (gone) => {
        if (this.#streams.delete(gone.id) && !this.#isOwn(gone.id)) this.#peerStreams -= 1
      },
    }
  }

  /** Streams that are open now. */
  get size(): number {
    return this.#streams.size
  }

  /** Opens a stream to a named endpoint; it may be written to at once. Throws when the tunnel is over or out of ids. */
  open(endpoint: string, events: StreamEvents): MuxStream {
    if (this.#over) throw new VgateError('VGATE_GATEWAY_UNREACHABLE', 'tunnel: closed')
    if (!isEndpoint(endpoint))
      throw new VgateError(
        'VGATE_USAGE',
        `tunnel: not an endpoint name: ${JSON.stringify(endpoint)}`,
      )
    if (this.#nextId > MAX_STREAM_ID)
      throw new VgateError('VGATE_LIMIT_EXCEEDED', 'tunnel: out of stream ids')
    const stream = this.#add(this.#nextId, endpoint)
    this.#nextId += 2
    stream.attach(events)
    this.#sendUrgent(encodeFrame(stream.id, TYPE.OPEN, 0, Buffer.from(endpoint)))
    return stream
  }

  /** Sends a control message. Throws VGATE_LIMIT_EXCEEDED above 256 KiB of JSON. */
  sendControl(message: object): void {
    if (this.#over) return
    const text = Buffer.from(JSON.stringify(message))
    if (text.length > CONTROL_BYTES)
      throw new VgateError(
        'VGATE_LIMIT_EXCEEDED',
        `tunnel: control message of ${text.length} bytes`,
      )
    for (let at = 0; at < text.length; at += MAX_PAYLOAD_BYTES) {
      const more = at + MAX_PAYLOAD_BYTES < text.length ? CONTROL_MORE : 0
      this.#urgent.push(
        encodeFrame(0, TYPE.CONTROL, more, text.subarray(at, at + MAX_PAYLOAD_BYTES)),
      )
    }
    this.#pump()
  }

  /** Asks for a PONG with the same argument (24 bits). */
  ping(argument: number): void {
    if (!this.#over) this.#sendUrgent(encodeFrame(0, TYPE.PING, argument & MAX_ARGUMENT))
  }

  /** One message from the peer. Never throws: a violation ends the tunnel through `host.violated`. */
  receive(message: Buffer): void {
    if (this.#over) return
    try {
      this.#dispatch(decodeFrame(message))
    } catch (error) {
      this.#violated(error instanceof TunnelViolation ? error : unexpected(error))
    }
  }

  /** The socket has taken some of what was sent. */
  drained(): void {
    this.#pump()
  }

  /** The channel is gone: every stream is reset with LOST; nothing is sent any more. */
  lost(reason: string): void {
    if (this.#over) return
    this.#over = true
    this.#urgent = []
    for (const stream of [...this.#streams.values()]) stream.receiveReset(RESET.LOST, reason)
  }

  /** Ends every stream with this code, telling the peer; the tunnel itself stays. */
  resetAll(code: number, reason: string): void {
    for (const stream of [...this.#streams.values()]) {
      stream.receiveReset(code, reason)
      this.#sendUrgent(resetFrame(stream.id, code, reason))
    }
  }

  #dispatch(frame: Frame): void {
    switch (frame.type) {
      case TYPE.CONTROL:
        return this.#receiveControl(frame)
      case TYPE.PING:
        return this.#sendUrgent(encodeFrame(0, TYPE.PONG, frame.argument))
      case TYPE.PONG:
        return this.#host.pong(frame.argument)
      case TYPE.OPEN:
        return this.#receiveOpen(frame)
      default:
        return this.#receiveOnStream(frame)
    }
  }

  #receiveOnStream(frame: Frame): void {
    const stream = this.#streams.get(frame.stream)
    if (stream === undefined) {
      // A stream that is over may still have frames under way: both ends close at their own time.
      if (this.#wasOpened(frame.stream)) return
      throw violation(
        `frame of type ${frame.type} for stream ${frame.stream}, which was never opened`,
      )
    }
    switch (frame.type) {
      case TYPE.DATA:
        return stream.receiveData(frame.payload)
      case TYPE.CREDIT:
        return stream.receiveCredit(frame.argument)
      case TYPE.END:
        return stream.receiveEnd()
      case TYPE.RESET:
        return stream.receiveReset(frame.argument, readText(frame.payload))
    }
  }

  #receiveOpen(frame: Frame): void {
    const id = frame.stream
    const odd = id % 2 === 1
    if (odd === (this.#options.side === 'client'))
      throw violation(`OPEN of stream ${id}, whose ids are not the peer's`)
    if (id <= this.#lastPeerId) throw violation(`OPEN of stream ${id}, which was opened before`)
    if (this.#options.maxStreams === 0)
      throw violation('OPEN from a side that may not open streams')
    const endpoint = frame.payload.toString('latin1')
    if (!isEndpoint(endpoint)) throw violation(`OPEN of stream ${id} with a bad endpoint name`)
    this.#lastPeerId = id
    if (this.#peerStreams >= this.#options.maxStreams) {
      return this.#sendUrgent(
        resetFrame(id, RESET.LIMIT, `more than ${this.#options.maxStreams} connections`),
      )
    }
    const stream = this.#add(id, endpoint)
    this.#peerStreams += 1
    this.#host.opened(stream)
    if (!stream.attached) stream.reset(RESET.REFUSED, 'not accepted')
  }

  #receiveControl(frame: Frame): void {
    this.#fragmentBytes += frame.payload.length
    if (this.#fragmentBytes > CONTROL_BYTES)
      throw violation(`control message longer than ${CONTROL_BYTES} bytes`)
    // A continued fragment is full, so that tiny ones cannot cost more memory than they carry.
    if (frame.argument === CONTROL_MORE) {
      if (frame.payload.length !== MAX_PAYLOAD_BYTES)
        throw violation('a continued CONTROL frame that is not full')
      this.#fragments.push(frame.payload)
      return
    }
    const bytes =
      this.#fragments.length === 0
        ? frame.payload
        : Buffer.concat([...this.#fragments, frame.payload])
    this.#fragments = []
    this.#fragmentBytes = 0
    this.#host.control(parseControl(bytes))
  }

  #add(id: number, endpoint: string): MuxStream {
    const stream = new MuxStream(this.#port, id, endpoint)
    this.#streams.set(id, stream)
    return stream
  }

  #sendUrgent(message: Buffer): void {
    if (this.#over) return
    // Answers that the peer provokes and does not read (pings, opens above the cap) must not pile up.
    if (this.#urgent.length >= URGENT_FRAMES)
      return this.#violated(violation('too many frames wait to be read'))
    this.#urgent.push(message)
    this.#pump()
  }

  /** Sends while the socket has room. Not re-entrant: handlers called from inside may write. */
  #pump(): void {
    if (this.#pumping || this.#over) return
    this.#pumping = true
    try {
      while (!this.#over && this.#host.buffered() < SOCKET_QUEUE_BYTES && this.#sendOne()) {}
    } finally {
      this.#pumping = false
    }
  }

  #sendOne(): boolean {
    const urgent = this.#urgent.shift()
    if (urgent !== undefined) {
      this.#host.send(urgent)
      return true
    }
    const stream = this.#scheduler.next()
    if (stream === undefined) return false
    const message = stream.nextFrame()
    if (message !== undefined) this.#host.send(message)
    this.#scheduler.add(stream)
    stream.relieve()
    return true
  }

  #violated(error: VgateError): void {
    this.lost(error.message)
    this.#host.violated(error)
  }

  #isOwn(id: number): boolean {
    return (id % 2 === 1) === (this.#options.side === 'client')
  }

  #wasOpened(id: number): boolean {
    return this.#isOwn(id) ? id < this.#nextId : id <= this.#lastPeerId
  }
}

function unexpected(cause: unknown): VgateError {
  return new VgateError('VGATE_UNEXPECTED', 'tunnel: a handler failed', { cause })
}

function resetFrame(id: number, code: number, reason: string): Buffer {
  return encodeFrame(id, TYPE.RESET, code, cutText(reason, MAX_REASON_BYTES))
}

function isEndpoint(name: string): boolean {
  return name.length <= MAX_ENDPOINT_BYTES && ENDPOINT.test(name)
}

/** UTF-8 of at most `limit` bytes, cut between characters. */
function cutText(text: string, limit: number): Buffer {
  const bytes = Buffer.from(text)
  if (bytes.length <= limit) return bytes
  let end = limit
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return bytes.subarray(0, end)
}

function readText(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw violation('RESET with a reason that is not UTF-8')
  }
}

function parseControl(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    throw violation('a control message that is not JSON in UTF-8')
  }
}
