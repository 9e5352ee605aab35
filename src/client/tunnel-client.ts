// Owns the client's end of one tunnel: the WebSocket, opening a session on it, and noticing that the gateway is gone.
// The only door to `ws` in this room. Must never reconnect: a session ends with its tunnel (redial.ts opens another).

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
import { Heartbeat, type Now, TICK_MS } from '../tunnel/heartbeat.js'
import type { Mux } from '../tunnel/mux.js'
import type { GatewayAddress } from './gateway-api.js'
import { refusalOf } from './gateway-api.js'
import { authorities, unreachable } from './http-request.js'
import { proxyAgent, proxyFor } from './proxy.js'
import { explainVersions } from './versions.js'

const HANDSHAKE_MS = 15_000
const ERROR_BYTES = 64 * 1024
/** How long the gateway may take to close after it was told that it broke a rule. */
const GOODBYE_MS = 1_000
/** Pongs that the gateway provokes and does not take may fill the socket up to here. */
const PONG_QUEUE_BYTES = 512 * 1024
/** The peer says that a rule was broken (RFC 6455 §7.4.1): coming back would break it again. */
const BROKEN_RULE: readonly number[] = [1002, 1003, 1007, 1008, 1009, 1010]

export type SessionMessage = Extract<GatewayMessage, { type: 'session' }>
export type EndMessage = Extract<GatewayMessage, { type: 'end' }>

export interface TunnelEvents {
  message(message: GatewayMessage): void
  /** The tunnel is gone, once; not called after `close`. */
  lost(error: VgateError, how: Loss): void
}

export interface Loss {
  /** A new tunnel may work: the network or the gateway went away, and neither side broke a rule. */
  readonly passing: boolean
  /** It was found when this machine woke, or the process went on after standing still. */
  readonly woke: boolean
}

export interface Tunnel {
  readonly mux: Mux
  readonly session: SessionMessage
  /** Says goodbye and closes. Resolves when the WebSocket is closed, or after a second. */
  close(): Promise<void>
}

/** Opens the WebSocket. Rejects with the gateway's own refusal, VGATE_VERSION_UNSUPPORTED or VGATE_GATEWAY_UNREACHABLE. */
export async function dialTunnel(address: GatewayAddress, token: string): Promise<WebSocket> {
  const url = new URL(PATHS.tunnel, address.url)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  const ca = authorities(address.ca)
  const proxy = proxyFor(url)
  let refusal: VgateError | undefined
  const agent =
    proxy === undefined
      ? undefined
      : await proxyAgent(proxy, ca, (error) => {
          refusal = error
        })
  const socket = new WebSocket(url, [TUNNEL_SUBPROTOCOL], {
    headers: { authorization: `Bearer ${token}`, 'user-agent': 'vgate' },
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handshakeTimeout: HANDSHAKE_MS,
    followRedirects: false,
    // Answered by hand: `ws` would queue answers without a limit for a peer that asks and does not read.
    autoPong: false,
    ...(ca === undefined ? {} : { ca }),
    ...(agent === undefined ? {} : { agent }),
  })
  try {
    return await opened(socket, address)
  } catch (error) {
    const failure = refusal ?? unreachable(new URL(address.url), error, proxy)
    throw await explainVersions(address, failure)
  }
}

function opened(socket: WebSocket, address: GatewayAddress): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    socket.once('open', () => {
      socket.removeAllListeners('error')
      resolve(socket)
    })
    socket.on('error', reject)
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
    const pulse = new TunnelPulse(socket, () => mux.ping(0))
    const end = (error: VgateError, how: Loss): void => {
      pulse.stop()
      if (phase === 'opening') reject(error)
      if (phase === 'open') events.lost(error, how)
      phase = 'closing'
    }
    const mux = bindMux(
      socket,
      {
        opened: () => {},
        heard: () => pulse.heard(),
        control: (value) => {
          const message = gatewayMessage.safeParse(value)
          // A newer gateway may say things that this client does not know: they are not for it.
          if (!message.success) return
          if (phase === 'open') return events.message(message.data)
          if (phase !== 'opening') return
          if (message.data.type === 'end') {
            end(endError(message.data), { passing: false, woke: false })
            socket.close(1000, 'session refused')
          }
          if (message.data.type !== 'session') return
          phase = 'open'
          resolve({ mux, session: message.data, close })
        },
        violated: () => void setTimeout(() => socket.terminate(), GOODBYE_MS).unref(),
        closed: ({ code, reason, error }) => {
          const why = error?.message ?? (reason === '' ? `closed with code ${code}` : reason)
          const broken = error instanceof VgateError || BROKEN_RULE.includes(code)
          const lost = new VgateError('VGATE_GATEWAY_UNREACHABLE', `the gateway is gone: ${why}`, {
            hint: broken
              ? 'client and gateway may be of different versions: update both'
              : 'run it again when the gateway is back',
          })
          end(lost, { passing: !broken, woke: pulse.woke })
        },
      },
      { side: 'client', maxStreams: 0 },
    )
    const close = async (): Promise<void> => {
      pulse.stop()
      phase = 'closing'
      mux.sendControl({ type: 'close_session' })
      await closeSocket(socket)
    }
    socket.on('ping', (data) => {
      if (socket.bufferedAmount > PONG_QUEUE_BYTES) socket.terminate()
      else if (socket.readyState === WebSocket.OPEN) socket.pong(data)
    })
    pulse.start()
    mux.sendControl(open)
  })
}

/** The timer around the heartbeat of one tunnel. */
class TunnelPulse {
  readonly #socket: WebSocket
  readonly #ask: () => void
  readonly #heartbeat = new Heartbeat(now())
  #timer: NodeJS.Timeout | undefined
  /** The loss was found by looking right after standing still. */
  woke = false

  constructor(socket: WebSocket, ask: () => void) {
    this.#socket = socket
    this.#ask = ask
  }

  heard(): void {
    this.#heartbeat.heard()
  }

  start(after = TICK_MS): void {
    this.#timer = setTimeout(() => {
      const { verdict, next } = this.#heartbeat.tick(now())
      if (verdict === 'lost') return this.#socket.terminate()
      this.woke = next < TICK_MS
      if (verdict === 'ask') this.#ask()
      this.start(next)
    }, after)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

function now(): Now {
  return { steady: performance.now(), wall: Date.now() }
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
    const timer = setTimeout(() => socket.terminate(), GOODBYE_MS)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
    socket.close(1000, 'done')
  })
}
