// Owns one `connect` or `exec` from grant to end: the grant, the tunnel, the local port, and every way it can be
// over. Never prints; what happens is told by events.

import type { GatewayMessage, GrantRequest } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import type { CloseReason } from '../core/grant.js'
import { findDatabase } from '../databases/list.js'
import type { Snippet } from '../databases/types.js'
import { approvedGrant } from './await-approval.js'
import type { GatewayApi } from './gateway-api.js'
import { type LocalPort, openLocalPort, stablePort } from './local-port.js'
import { newPortSecret, portSecret, scramVerifierOf } from './port-secret.js'
import { RuntimeFile } from './runtime-file.js'
import { accessToken, type LoginContext, whoIsLoggedIn } from './session-token.js'
import { tieSocket } from './stream-socket.js'
import { dialTunnel, endError, openSession, type Tunnel } from './tunnel-client.js'

/** What clients show as the user; the gateway replaces it. */
const USER = 'vgate'
/** How long streams may go on delivering after the gateway has said that it is over. */
const FINISH_MS = 500
const FINISH_POLL_MS = 10

export interface ConnectOptions {
  readonly request: GrantRequest
  readonly command: 'connect' | 'exec'
  /** For the recording. */
  readonly version: string
  readonly port?: number
  readonly bind?: string
  readonly socket?: string
  readonly newSecret: boolean
  /** False: where a second person has to approve, say so and end (VGATE_APPROVAL_PENDING). */
  readonly wait: boolean
}

export interface Ready {
  readonly session: string
  readonly target: string
  readonly host: string
  readonly port: number
  readonly url: string
  /** Endpoint → `host:port`. */
  readonly endpoints: Readonly<Record<string, string>>
  readonly env: Readonly<Record<string, string>>
  readonly expires_at: string
  /** Ready-to-paste lines by client. For people. */
  readonly snippets: readonly Snippet[]
  /** From the gateway, for people. */
  readonly notes: readonly string[]
}

export type ConnectEvent =
  | {
      readonly event: 'denied'
      readonly operation: string
      readonly rule: string
      readonly message: string
    }
  | { readonly event: 'expiring'; readonly expires_at: string }
  | {
      readonly event: 'waiting_approval'
      readonly request: string
      readonly approvers: readonly string[]
      readonly url: string
    }
  | {
      readonly event: 'held'
      readonly request: string
      readonly operation: string
      readonly collections: readonly string[]
      readonly preview: string
      readonly approvers: readonly string[]
      readonly url: string
    }
  | { readonly event: 'released'; readonly request: string }

/** Why it ended, and the error for all but the client's own wish. */
export interface Closed {
  readonly reason: CloseReason
  readonly error?: VgateError
}

export interface Connection {
  readonly ready: Ready
  readonly closed: Promise<Closed>
  /** Ends it cleanly, with reason `stopped`. */
  stop(): Promise<void>
}

/** Exit code for an end that the user did not ask for (product.md, "Exit codes"). */
export function exitCodeOf(closed: Closed): number {
  if (closed.reason === 'expired') return 0
  if (closed.reason === 'error') return closed.error?.faces.exit ?? 1
  return { revoked: 5, stopped: 8, gateway_lost: 8, upstream_lost: 9 }[closed.reason]
}

/** Asks for the grant, opens the tunnel and the local port. Rejects when any of it is refused, leaving nothing behind. */
export async function connect(
  context: LoginContext,
  api: GatewayApi,
  options: ConnectOptions,
  tell: (event: ConnectEvent) => void,
): Promise<Connection> {
  const principal = await whoIsLoggedIn(context)
  const target = options.request.target
  const runtime = new RuntimeFile(context.state, context.gateway.url, target)
  if (options.command === 'connect') await runtime.refuseSecond()
  const grant = await approvedGrant(api, options, tell)
  const owner = { gateway: context.gateway.url, user: principal.id, target }
  const secret =
    options.command === 'exec'
      ? newPortSecret()
      : await portSecret(context.store, owner, options.newSecret)
  const running = new Running(tell)
  const socket = await dialTunnel(context.gateway, await accessToken(context))
  running.tunnel = await openSession(
    socket,
    {
      type: 'open_session',
      grant: grant.id,
      client: {
        version: options.version,
        platform: `${process.platform}-${process.arch}`,
        command: options.command,
      },
      secret: scramVerifierOf(secret),
    },
    running,
  )
  try {
    const session = running.tunnel.session
    const stable =
      options.command === 'exec' ? undefined : stablePort(owner.gateway, target, owner.user)
    const port = await running.listen(options, stable)
    const database = findDatabase(session.database)
    if (database === undefined) {
      throw new VgateError(
        'VGATE_UNEXPECTED',
        `this version does not know the database ${session.database}`,
        { hint: 'update vgate' },
      )
    }
    const input = {
      host: port.host,
      port: port.port,
      secret: secret.reveal(),
      databaseName: session.database_name,
      user: USER,
    }
    const ready: Ready = {
      session: session.session,
      target,
      host: port.host,
      port: port.port,
      url: database.connectionString(input),
      endpoints: running.endpoints,
      env: database.environment(input),
      expires_at: session.expires_at,
      snippets: database.snippets(input),
      notes: grant.notes,
    }
    if (options.command === 'connect') {
      const { session: id, host, url, env, expires_at } = ready
      await runtime.write({
        v: 1,
        pid: process.pid,
        gateway: owner.gateway,
        target,
        session: id,
        host,
        port: port.port,
        url,
        env: { ...env },
        expires_at,
      })
      running.runtime = runtime
    }
    return { ready, closed: running.closed, stop: () => running.finish({ reason: 'stopped' }) }
  } catch (error) {
    await running.finish({ reason: 'error' })
    if (error instanceof VgateError && error.code === 'VGATE_PORT_IN_USE')
      await runtime.refuseSecond()
    throw error
  }
}

/** What is open, and the one place where it ends. */
class Running {
  tunnel: Tunnel | undefined
  runtime: RuntimeFile | undefined
  readonly closed: Promise<Closed>
  readonly endpoints: Record<string, string> = {}
  readonly #ports: LocalPort[] = []
  readonly #tell: (event: ConnectEvent) => void
  #resolve: (closed: Closed) => void = () => {}
  #ending: Promise<void> | undefined

  constructor(tell: (event: ConnectEvent) => void) {
    this.#tell = tell
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /** One port for each endpoint; the first one's is the address that people are told. */
  async listen(options: ConnectOptions, stable: number | undefined): Promise<LocalPort> {
    const names = this.tunnel?.session.endpoints ?? []
    const first = options.port ?? stable
    for (const [index, endpoint] of names.entries()) {
      const port = await openLocalPort(
        {
          ...(first === undefined ? {} : { port: first + index }),
          ...(options.bind === undefined ? {} : { bind: options.bind }),
          ...(options.socket === undefined ? {} : { socket: options.socket }),
        },
        (socket) => {
          if (this.tunnel === undefined || this.#ending !== undefined) socket.destroy()
          else tieSocket(this.tunnel.mux, endpoint, socket)
        },
      )
      this.#ports.push(port)
      this.endpoints[endpoint] = port.host.includes(':')
        ? `[${port.host}]:${port.port}`
        : `${port.host}:${port.port}`
    }
    const main = this.#ports[0]
    if (main === undefined)
      throw new VgateError('VGATE_UNEXPECTED', 'the gateway offers no endpoint for this target')
    return main
  }

  message(message: GatewayMessage): void {
    if (message.type === 'denied') {
      this.#tell({
        event: 'denied',
        operation: message.operation,
        rule: message.rule,
        message: message.message,
      })
    }
    if (message.type === 'held') {
      const { type: event, ...held } = message
      this.#tell({ event, ...held })
    }
    if (message.type === 'released') this.#tell({ event: 'released', request: message.request })
    if (message.type === 'expiring')
      this.#tell({ event: 'expiring', expires_at: message.expires_at })
    if (message.type === 'end')
      void this.finish({ reason: message.reason, error: endError(message) })
  }

  lost(error: VgateError): void {
    void this.finish({ reason: 'gateway_lost', error })
  }

  /** Ends everything once; later calls wait for the first. */
  finish(closed: Closed): Promise<void> {
    this.#ending ??= this.#end(closed)
    return this.#ending
  }

  async #end(closed: Closed): Promise<void> {
    this.runtime?.removeNow()
    const stopped = Promise.all(this.#ports.map((port) => port.close()))
    if (closed.error !== undefined && closed.reason !== 'gateway_lost') await this.#deliver()
    await this.tunnel?.close()
    await stopped
    this.#resolve(closed)
  }

  /** The gateway's last words on each stream come before the tunnel goes. */
  async #deliver(): Promise<void> {
    const until = Date.now() + FINISH_MS
    while ((this.tunnel?.mux.size ?? 0) > 0 && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, FINISH_POLL_MS))
    }
  }
}
