// Owns the client's end of the tunnel: the WebSocket, opening a session on it, and noticing that the gateway is
// gone. The only door to `ws` in this room. Must never reconnect: a session ends with its tunnel.

import { WebSocket } from 'ws'
import {
  type ClientMessage,
  type GatewayMessage,
  gatewayMessage,
  PATHS,
  TUNNEL_SUBPROTOCOL,
} from '../core/api.js'
import { isErrorCode, VgateError } from '../core/errors.js'
import { bindMux } from '../tunnel/bind.js'
import { MAX_MESSAGE_BYTES } from '../tunnel/frame.js'
import type { Mux } from '../tunnel/mux.js'
import type { GatewayAddress } from './gateway-api.js'
import { refusalOf } from './gateway-api.js'
import { authorities, unreachable } from './http-request.js'

const HANDSHAKE_MS = 15_000
const PING_MS = 15_000
/** Silence after which the gateway counts as lost. */
const SILENCE_MS = 45_000
const ERROR_BYTES = 64 * 1024
/** How long the gateway may take to close after it was told that it broke a rule. */
const GOODBYE_MS = 1_000

export type SessionMessage = Extract<GatewayMessage, { type: 'session' }>
export type EndMessage = Extract<GatewayMessage, { type: 'end' }>

export interface TunnelEvents {
  message(message: GatewayMessage): void
  /** The tunnel is gone, once; not called after `close`. */
  lost(error: VgateError): void
}

export interface Tunnel {
  readonly mux: Mux
  readonly session: SessionMessage
  /** Says goodbye and closes. Resolves when the WebSocket is closed, or after a second. */
  close(): Promise<void>
}

/** Opens the WebSocket. Rejects with the gateway's own refusal, or VGATE_GATEWAY_UNREACHABLE. */
export async function dialTunnel(address: GatewayAddress, token: string): Promise<WebSocket> {
  const url = new URL(PATHS.tunnel, address.url)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  const ca = authorities(address.ca)
  const socket = new WebSocket(url, [TUNNEL_SUBPROTOCOL], {
    headers: { authorization: `Bearer ${token}`, 'user-agent': 'vgate' },
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handshakeTimeout: HANDSHAKE_MS,
    followRedirects: false,
    ...(ca === undefined ? {} : { ca }),
  })
  return new Promise((resolve, reject) => {
    socket.once('open', () => {
      socket.removeAllListeners('error')
      resolve(socket)
    })
    socket.on('error', (error) => reject(unreachable(new URL(address.url), error)))
    socket.once('unexpected-response', (_request, response) => {
      const parts: Buffer[] = []
      let size = 0
      const finish = (): void => {
        reject(refusalOf(response.statusCode ?? 0, Buffer.concat(parts), address.url))
        socket.terminate()
      }
      response.on('data', (part: Buffer) => {
        size += part.length
        if (size <= ERROR_BYTES) parts.push(part)
        else response.destroy()
      })
      response.once('close', finish)
    })
  })
}

/** Opens a session over a fresh WebSocket. Rejects with what the gateway says when it refuses. */
export function openSession(
  socket: WebSocket,
  open: Extract<ClientMessage, { type: 'open_session' }>,
  events: TunnelEvents,
): Promise<Tunnel> {
  return new Promise((resolve, reject) => {
    let phase: 'opening' | 'open' | 'closing' = 'opening'
    let heardAt = Date.now()
    const end = (error: VgateError): void => {
      clearInterval(pulse)
      if (phase === 'opening') reject(error)
      if (phase === 'open') events.lost(error)
      phase = 'closing'
    }
    const mux = bindMux(
      socket,
      {
        opened: () => {},
        heard: () => {
          heardAt = Date.now()
        },
        control: (value) => {
          const message = gatewayMessage.safeParse(value)
          // A newer gateway may say things that this client does not know: they are not for it.
          if (!message.success) return
          if (phase === 'open') return events.message(message.data)
          if (phase !== 'opening') return
          if (message.data.type === 'end') {
            end(endError(message.data))
            socket.close(1000, 'session refused')
          }
          if (message.data.type !== 'session') return
          phase = 'open'
          resolve({ mux, session: message.data, close })
        },
        violated: () => void setTimeout(() => socket.terminate(), GOODBYE_MS).unref(),
        closed: ({ code, reason, error }) => {
          const why = error?.message ?? (reason === '' ? `closed with code ${code}` : reason)
          end(
            new VgateError('VGATE_GATEWAY_UNREACHABLE', `the gateway is gone: ${why}`, {
              hint: 'run it again when the gateway is back',
            }),
          )
        },
      },
      { side: 'client', maxStreams: 0 },
    )
    const close = async (): Promise<void> => {
      clearInterval(pulse)
      phase = 'closing'
      mux.sendControl({ type: 'close_session' })
      await closeSocket(socket)
    }
    const pulse = setInterval(() => {
      if (Date.now() - heardAt > SILENCE_MS) socket.terminate()
      else mux.ping(0)
    }, PING_MS)
    mux.sendControl(open)
  })
}

/** The error that an `end` message stands for. */
export function endError(end: EndMessage): VgateError {
  const byReason = {
    expired: 'VGATE_GRANT_ENDED',
    revoked: 'VGATE_REVOKED',
    stopped: 'VGATE_GATEWAY_UNREACHABLE',
    gateway_lost: 'VGATE_GATEWAY_UNREACHABLE',
    upstream_lost: 'VGATE_UPSTREAM_FAILED',
    error: 'VGATE_UNEXPECTED',
  } as const
  const code = end.code !== undefined && isErrorCode(end.code) ? end.code : byReason[end.reason]
  return new VgateError(code, end.message, end.hint === undefined ? {} : { hint: end.hint })
}

function closeSocket(socket: WebSocket): Promise<void> {
  if (socket.readyState === WebSocket.CLOSED) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.terminate(), 1_000)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
    socket.close(1000, 'done')
  })
}
