// Owns the binding of a mux to a message socket, described by its shape alone, so that `ws` is a matter of who
// calls. Must never open a socket or set a timer.

import type { VgateError } from '../core/errors.js'
import { violation } from './frame.js'
import { Mux, type MuxHost, type MuxOptions } from './mux.js'

/** As much of a `ws` WebSocket as a tunnel needs. */
export interface MessageSocket {
  readonly bufferedAmount: number
  /** 1 is open (RFC 6455, WebSocket API). */
  readonly readyState: number
  send(data: Buffer, options: { readonly binary: true }, done: (error?: Error) => void): void
  close(code: number, reason: string): void
  terminate(): void
  on(
    event: 'message',
    listener: (data: Buffer | ArrayBuffer | Buffer[], isBinary: boolean) => void,
  ): unknown
  on(event: 'close', listener: (code: number, reason: Buffer) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
}

export interface BoundHost extends Pick<MuxHost, 'opened' | 'control' | 'failed'> {
  pong?(argument: number): void
  /** A message of any kind came: the peer is alive. */
  heard?(): void
  /** The peer broke a rule and was told; whoever has timers must not wait long for it to close. */
  violated?(): void
  /** The socket is closed, once; with the violation if one was the cause. */
  closed(end: { readonly code: number; readonly reason: string; readonly error?: Error }): void
}

const OPEN = 1
const BINARY = { binary: true } as const

/** Runs a mux over an open socket. Closes it with 1002 and the reason on a violation of the peer. */
export function bindMux(socket: MessageSocket, host: BoundHost, options: MuxOptions): Mux {
  let failure: Error | undefined
  const refuse = (error: VgateError): void => {
    failure = error
    // A close reason is at most 123 bytes (RFC 6455 §5.5).
    socket.close(error.faces.close, error.message.slice(0, 120))
    host.violated?.()
  }
  const drained = (): void => mux.drained()
  const mux = new Mux(
    {
      send: (message) => {
        if (socket.readyState === OPEN) socket.send(message, BINARY, drained)
      },
      buffered: () => socket.bufferedAmount,
      opened: (stream) => host.opened(stream),
      control: (message) => host.control(message),
      failed: (stream, error) => host.failed?.(stream, error),
      pong: (argument) => host.pong?.(argument),
      violated: refuse,
    },
    options,
  )
  socket.on('message', (data, isBinary) => {
    host.heard?.()
    if (isBinary && Buffer.isBuffer(data)) return mux.receive(data)
    mux.lost('the peer sent text')
    refuse(violation('a text message'))
  })
  socket.on('error', (error) => {
    failure ??= error
  })
  socket.on('close', (code, reason) => {
    const text = reason.toString()
    mux.lost(text === '' ? `the tunnel was closed (${code})` : text)
    host.closed({ code, reason: text, ...(failure === undefined ? {} : { error: failure }) })
  })
  return mux
}
