// Owns the gateway's side of the tunnel: the WebSocket upgrade, the one session inside it, and its streams.
// It authenticates nobody itself and looks into no byte of a stream.

import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import {
  type ClientMessage,
  clientMessage,
  type GatewayMessage,
  PATHS,
  TUNNEL_SUBPROTOCOL,
  TUNNEL_VERSION,
} from '../core/api.js'
import { asVgateError, VgateError } from '../core/errors.js'
import type { CloseReason } from '../core/grant.js'
import type { Principal } from '../core/principal.js'
import { VERSION } from '../core/version.js'
import { findDatabase } from '../databases/list.js'
import type { DataPlane } from '../proxy/data-plane.js'
import type { Session } from '../proxy/session.js'
import { bindMux } from '../tunnel/bind.js'
import { MAX_MESSAGE_BYTES } from '../tunnel/frame.js'
import { Heartbeat, type Now, TICK_MS } from '../tunnel/heartbeat.js'
import type { Mux } from '../tunnel/mux.js'
import { type MuxStream, RESET } from '../tunnel/stream.js'
import { StreamDuplex } from './stream-duplex.js'

/** A tunnel that names no grant within this time is closed. */
export const HELLO_DEADLINE_MS = 10_000
/** How long an ended session's last messages may take to leave. */
export const GOODBYE_MS = 1_000

/** RFC 6455 §7.4.1. */
const GOING_AWAY = 1001
const POLICY_VIOLATION = 1008
/** Pings of the WebSocket that are answered in this time; one more ends it. */
const MAX_PINGS = 100
const PING_WINDOW_MS = 10_000
/** Versions in a refusal: enough for people. */
const VERSIONS_SHOWN = 8

/** Pongs that the peer provokes and does not take may fill the socket up to here. */
const PONG_QUEUE_BYTES = 512 * 1024
const UNEXPECTED = 'the gateway failed here; its log says more'

export interface TunnelOptions {
  readonly authenticate: (bearer: string) => Promise<Principal>
  /** Why a request is not meant for this gateway. */
  readonly refusalOf: (request: IncomingMessage) => VgateError | undefined
  readonly dataPlane: DataPlane
  readonly maxStreams: number
  /** WebSockets that one principal may have open. */
  readonly maxTunnels: number
  readonly report: (event: string, error: unknown) => void
}

/** Answers upgrade requests on the tunnel's path; everything else is refused. */
export class TunnelEndpoint {
  readonly #options: TunnelOptions
  /** Open WebSockets by principal. */
  readonly #open = new Map<string, number>()
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    // Answered below: `ws` itself would queue answers without a limit for a peer that does not read.
    autoPong: false,
    clientTracking: true,
    handleProtocols: (offered) => (offered.has(TUNNEL_SUBPROTOCOL) ? TUNNEL_SUBPROTOCOL : false),
  })

  constructor(options: TunnelOptions) {
    this.#options = options
  }

  /** Handles one upgrade request to its end. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy())
    try {
      const principal = await this.#admit(request)
      this.#server.handleUpgrade(request, socket, head, (websocket) => {
        this.#count(principal.id, 1)
        websocket.once('close', () => this.#count(principal.id, -1))
        answerPings(websocket)
        new Tunnel(websocket, principal, this.#options).start()
      })
    } catch (error) {
      refuseUpgrade(socket, asVgateError(error, UNEXPECTED))
    }
  }

  /** Closes every tunnel that is still open; what was said last may take a second to leave. */
  close(): void {
    for (const websocket of this.#server.clients) {
      websocket.close(GOING_AWAY, 'the gateway is stopping')
      setTimeout(() => websocket.terminate(), GOODBYE_MS).unref()
    }
    this.#server.close()
  }

  #count(principal: string, change: 1 | -1): void {
    const open = (this.#open.get(principal) ?? 0) + change
    if (open > 0) this.#open.set(principal, open)
    else this.#open.delete(principal)
  }

  async #admit(request: IncomingMessage): Promise<Principal> {
    const foreign = this.#options.refusalOf(request)
    if (foreign !== undefined) throw foreign
    const path = (request.url ?? '').split('?')[0]
    if (path !== PATHS.tunnel) throw new VgateError('VGATE_NOT_FOUND', 'there is no tunnel here')
    // A browser names its origin and cannot leave it out: no page opens a tunnel (DNS rebinding, cross-site WebSocket).
    if (request.headers.origin !== undefined) {
      throw new VgateError('VGATE_DENIED', 'the tunnel is not for browsers')
    }
    refuseOtherVersions(request.headers['sec-websocket-protocol'] ?? '')
    const bearer = /^Bearer ([\w.~+/=-]+)$/.exec(request.headers.authorization ?? '')?.[1]
    if (bearer === undefined)
      throw new VgateError('VGATE_LOGIN_REQUIRED', 'the tunnel needs an access token')
    const principal = await this.#options.authenticate(bearer)
    if ((this.#open.get(principal.id) ?? 0) >= this.#options.maxTunnels) {
      throw new VgateError('VGATE_LIMIT_EXCEEDED', 'you have too many tunnels open', {
        hint: 'end some of your sessions',
      })
    }
    return principal
  }
}

/** One WebSocket and the one session in it. */
class Tunnel {
  readonly #socket: WebSocket
  readonly #principal: Principal
  readonly #options: TunnelOptions
  readonly #mux: Mux
  #session: Session | undefined
  #opening = false
  #closed = false
  readonly #heartbeat = new Heartbeat(now())
  #hello: NodeJS.Timeout | undefined
  #pulse: NodeJS.Timeout | undefined

  constructor(socket: WebSocket, principal: Principal, options: TunnelOptions) {
    this.#socket = socket
    this.#principal = principal
    this.#options = options
    this.#mux = bindMux(
      socket,
      {
        opened: (stream) => this.#opened(stream),
        control: (message) => this.#control(message),
        heard: () => this.#heartbeat.heard(),
        violated: () => {
          // A peer that broke the rules need not answer the close: nothing of its session waits for it.
          this.#lost()
          setTimeout(() => this.#socket.terminate(), GOODBYE_MS).unref()
        },
        closed: () => this.#lost(),
      },
      { side: 'gateway', maxStreams: options.maxStreams },
    )
  }

  start(): void {
    this.#hello = setTimeout(() => {
      this.#end('error', new VgateError('VGATE_USAGE', 'the tunnel named no grant in time'))
    }, HELLO_DEADLINE_MS)
    this.#beat(TICK_MS)
  }

  #beat(after: number): void {
    this.#pulse = setTimeout(() => {
      const { verdict, next } = this.#heartbeat.tick(now())
      if (verdict === 'lost') return this.#socket.terminate()
      if (verdict === 'ask') this.#mux.ping(0)
      this.#beat(next)
    }, after)
  }

  #control(raw: unknown): void {
    const parsed = clientMessage.safeParse(raw)
    if (!parsed.success) {
      this.#end(
        'error',
        new VgateError(
          'VGATE_PROTOCOL_VIOLATION',
          'the tunnel got a message that it does not know',
        ),
      )
      return
    }
    if (parsed.data.type === 'open_session') void this.#openSession(parsed.data)
    else this.#closeSession()
  }

  async #openSession(message: Extract<ClientMessage, { type: 'open_session' }>): Promise<void> {
    if (this.#opening) {
      this.#end('error', new VgateError('VGATE_PROTOCOL_VIOLATION', 'a tunnel carries one session'))
      return
    }
    this.#opening = true
    clearTimeout(this.#hello)
    try {
      const session = await this.#options.dataPlane.open(
        { grant: message.grant, principal: this.#principal.id, client: message.client },
        message.secret,
        {
          denied: (operation, refusal) =>
            this.#send({ type: 'denied', operation, rule: refusal.rule, message: refusal.message }),
          expiring: (endsAt) =>
            this.#send({ type: 'expiring', expires_at: new Date(endsAt).toISOString() }),
          held: (event) =>
            this.#send({
              type: 'held',
              ...event,
              collections: [...event.collections],
              approvers: [...event.approvers],
            }),
          released: (request) => this.#send({ type: 'released', request }),
          // At once, behind the last words of the streams: a client whose database connection is cut must know why.
          ending: (reason, error) => this.#tellEnd(reason, error),
          ended: (reason, error) => this.#leave(reason, error),
        },
      )
      this.#session = session
      if (this.#closed) return this.#lost()
      this.#send({
        type: 'session',
        session: session.id,
        target: session.lease.target.name,
        database: session.lease.target.database,
        database_name: session.lease.target.databaseName,
        endpoints: [...(findDatabase(session.lease.target.database)?.endpoints ?? [])],
        expires_at: new Date(session.lease.grant.endsAt).toISOString(),
      })
    } catch (error) {
      this.#end('error', asVgateError(error, UNEXPECTED))
      if (!(error instanceof VgateError)) this.#options.report('tunnel.open_failed', error)
    }
  }

  #opened(stream: MuxStream): void {
    const duplex = new StreamDuplex(stream)
    const session = this.#session
    const known =
      session !== undefined &&
      findDatabase(session.lease.target.database)?.endpoints.some(
        (name) => name === stream.endpoint,
      )
    if (session === undefined || known !== true) {
      stream.reset(RESET.REFUSED, 'there is no such endpoint')
      return
    }
    try {
      session.connect(duplex)
    } catch (error) {
      stream.reset(RESET.LIMIT, asVgateError(error, UNEXPECTED).message)
    }
  }

  #closeSession(): void {
    const stopped = new VgateError('VGATE_GRANT_ENDED', 'the session was closed by its owner')
    if (this.#session === undefined) this.#end('stopped', stopped)
    else void this.#session.end('stopped', stopped)
  }

  /** The WebSocket is gone: nobody is left to serve. */
  #lost(): void {
    this.#closed = true
    clearTimeout(this.#hello)
    clearTimeout(this.#pulse)
    const error = new VgateError('VGATE_GATEWAY_UNREACHABLE', 'the client is gone')
    this.#session
      ?.end('stopped', error)
      .catch((cause: unknown) => this.#options.report('session.end_failed', cause))
  }

  #end(reason: CloseReason, error: VgateError): void {
    this.#tellEnd(reason, error)
    this.#leave(reason, error)
  }

  #tellEnd(reason: CloseReason, error: VgateError): void {
    if (isGoingAway(reason, error)) return
    this.#send({
      type: 'end',
      reason,
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  }

  /** The last words of the streams may still leave. */
  #leave(reason: CloseReason, error: VgateError): void {
    const [code, why] = isGoingAway(reason, error)
      ? [GOING_AWAY, error.message.slice(0, 120)]
      : [1000, reason]
    setTimeout(() => this.#socket.close(code, why), 0)
    setTimeout(() => this.#socket.terminate(), GOODBYE_MS).unref()
  }

  #send(message: GatewayMessage): void {
    if (!this.#closed) this.#mux.sendControl(message)
  }
}

/** Throws VGATE_VERSION_UNSUPPORTED, naming both sides and who is older, unless this gateway's version is offered. */
function refuseOtherVersions(header: string): void {
  const offered = header.split(',').map((name) => name.trim())
  if (offered.includes(TUNNEL_SUBPROTOCOL)) return
  const versions = offered
    .map((name) => /^vgate\.tunnel\.v(\d{1,4})$/.exec(name)?.[1])
    .filter((version) => version !== undefined)
    .slice(0, VERSIONS_SHOWN)
  if (versions.length === 0)
    throw new VgateError('VGATE_USAGE', `the tunnel needs the subprotocol ${TUNNEL_SUBPROTOCOL}`)
  const older = Math.max(...versions.map(Number)) < TUNNEL_VERSION
  throw new VgateError(
    'VGATE_VERSION_UNSUPPORTED',
    `this gateway (${VERSION}) speaks tunnel version ${TUNNEL_VERSION}, and the client speaks ${versions.join(', ')}`,
    {
      hint: older
        ? 'the client is the older one: update vgate'
        : 'the gateway is the older one: ask its administrator to update it, or use an older vgate',
    },
  )
}

/** Answers the WebSocket's own pings, which no client of ours sends: a few, and never more than the peer reads. */
function answerPings(websocket: WebSocket): void {
  let since = performance.now()
  let pings = 0
  websocket.on('ping', (data) => {
    if (performance.now() - since > PING_WINDOW_MS) {
      since = performance.now()
      pings = 0
    }
    pings += 1
    if (websocket.readyState !== websocket.OPEN) return
    if (websocket.bufferedAmount > PONG_QUEUE_BYTES) return websocket.terminate()
    if (pings <= MAX_PINGS) return websocket.pong(data)
    websocket.close(POLICY_VIOLATION, 'too many pings')
    setTimeout(() => websocket.terminate(), GOODBYE_MS).unref()
  })
}

function now(): Now {
  return { steady: performance.now(), wall: Date.now() }
}

/** A gateway that goes away is not the end of a grant: without an `end` the client dials again. */
function isGoingAway(reason: CloseReason, error: VgateError): boolean {
  return reason === 'stopped' && error.code === 'VGATE_GATEWAY_UNREACHABLE'
}

/** Answers a refused upgrade as the control API would, and closes, also when the peer keeps its side open. */
function refuseUpgrade(socket: Duplex, error: VgateError): void {
  const body = JSON.stringify({
    error: {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    },
  })
  const { http } = error.faces
  socket.resume()
  setTimeout(() => socket.destroy(), GOODBYE_MS).unref()
  socket.end(
    `HTTP/1.1 ${http} Refused\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  )
}
