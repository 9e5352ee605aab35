// Owns the tie between one stream of the tunnel and one local socket: bytes both ways, backpressure both ways,
// half-closes, and a cut that leaves the client half a second. Must never look at the bytes.

import type { Socket } from 'node:net'
import type { Mux } from '../tunnel/mux.js'
import { type MuxStream, RESET, type StreamEvents } from '../tunnel/stream.js'

/** After a cut, what the client has not taken by then is dropped. */
const CUT_MS = 500

/** Less than this is never kept back. */
const GATHER_BYTES = 8 * 1024

/** Opens a stream to `endpoint` for an accepted socket. */
export function tieSocket(mux: Mux, endpoint: string, socket: Socket): void {
  socket.setNoDelay(true)
  const stream = openStream(mux, endpoint, {
    data: (bytes) => {
      gather(socket, bytes.length)
      // The credit goes back when the kernel has taken the bytes, so that a client that stops reading stops the sender.
      socket.write(bytes, (error) => {
        if (error === undefined || error === null) stream?.consumed(bytes.length)
      })
    },
    end: () => {
      socket.end()
    },
    reset: () => cut(socket),
    drain: () => {
      socket.resume()
    },
  })
  if (stream === undefined) {
    socket.on('error', () => undefined)
    socket.destroy()
    return
  }
  socket.on('data', (chunk: Buffer) => {
    if (!stream.write(chunk)) socket.pause()
  })
  socket.on('end', () => stream.end())
  socket.on('error', () => stream.reset(RESET.CANCELLED, 'the client vanished'))
  socket.on('close', () => stream.reset(RESET.CANCELLED, 'the client closed'))
}

/** Full frames that come together are given to the kernel together: a system call each costs more than the wait. */
function gather(socket: Socket, bytes: number): void {
  if (bytes < GATHER_BYTES || socket.writableCorked > 0) return
  socket.cork()
  setImmediate(() => socket.uncork())
}

/** A tunnel that is over takes no stream; whoever owns it tells why. */
function openStream(mux: Mux, endpoint: string, events: StreamEvents): MuxStream | undefined {
  try {
    return mux.open(endpoint, events)
  } catch {
    return undefined
  }
}

function cut(socket: Socket): void {
  socket.resume()
  socket.end()
  const timer = setTimeout(() => socket.destroy(), CUT_MS)
  socket.once('close', () => clearTimeout(timer))
}
