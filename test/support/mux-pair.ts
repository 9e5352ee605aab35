// Owns two muxes with a wire between them that a test moves by hand, message by message, so that every interleaving
// and every stall can be tried without I/O.

import { decodeFrame, type Frame } from '../../src/tunnel/frame.js'
import { Mux, type MuxHost } from '../../src/tunnel/mux.js'
import type { MuxStream, StreamEvents } from '../../src/tunnel/stream.js'

export class Wire {
  readonly queue: Buffer[] = []
  bytes = 0
  /** The most that ever waited. */
  peak = 0

  put(message: Buffer): void {
    this.queue.push(message)
    this.bytes += message.length
    this.peak = Math.max(this.peak, this.bytes)
  }

  take(): Buffer | undefined {
    const message = this.queue.shift()
    if (message !== undefined) this.bytes -= message.length
    return message
  }
}

export interface Side {
  readonly mux: Mux
  readonly wire: Wire
  readonly sent: Frame[]
  readonly controls: unknown[]
  readonly violations: string[]
  readonly pongs: number[]
}

export function makeSide(
  side: 'client' | 'gateway',
  maxStreams: number,
  opened: (stream: MuxStream) => void,
  keep = false,
): Side {
  const wire = new Wire()
  const sent: Frame[] = []
  const controls: unknown[] = []
  const violations: string[] = []
  const pongs: number[] = []
  const host: MuxHost = {
    send: (message) => {
      if (keep) sent.push(decodeFrame(message))
      wire.put(message)
    },
    buffered: () => wire.bytes,
    opened,
    control: (message) => controls.push(message),
    pong: (argument) => pongs.push(argument),
    violated: (error) => violations.push(error.message),
  }
  return { mux: new Mux(host, { side, maxStreams }), wire, sent, controls, violations, pongs }
}

/** Moves one message; false when there is none. */
export function move(from: Side, to: Side): boolean {
  const message = from.wire.take()
  if (message === undefined) return false
  to.mux.receive(message)
  from.mux.drained()
  return true
}

/** Moves until nothing moves. */
export function settle(a: Side, b: Side): void {
  while (move(a, b) || move(b, a)) {}
}

/** Collects what comes. Credit is given back at once unless `hold`. */
export class Sink implements StreamEvents {
  readonly parts: Buffer[] = []
  ended = false
  flushes = 0
  drains = 0
  resets: [number, string][] = []
  stream: MuxStream | undefined
  hold: boolean

  constructor(hold = false) {
    this.hold = hold
  }

  data(bytes: Buffer): void {
    this.parts.push(bytes)
    if (!this.hold) this.stream?.consumed(bytes.length)
  }
  end(): void {
    this.ended = true
  }
  reset(code: number, reason: string): void {
    this.resets.push([code, reason])
  }
  drain(): void {
    this.drains += 1
  }
  flushed(): void {
    this.flushes += 1
  }

  get bytes(): Buffer {
    return Buffer.concat(this.parts)
  }
}
