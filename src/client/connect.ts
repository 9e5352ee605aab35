// Owns one `connect` or `exec` from grant to end: the grant, the tunnel, the local port, and every way it can be
// over. Never prints; what happens is told by events.

import type { GrantRequest } from '../core/api.js'
import type { HeldEvent } from '../core/approval.js'
import { VgateError } from '../core/errors.js'
import type { CloseReason } from '../core/grant.js'
import { findDatabase } from '../databases/list.js'
import type { Snippet } from '../databases/types.js'
import { approvedGrant } from './await-approval.js'
import type { GatewayApi } from './gateway-api.js'
import { stablePort } from './local-port.js'
import { newPortSecret, portSecret, scramVerifierOf } from './port-secret.js'
import { giveUpMs } from './redial.js'
import { Running } from './running.js'
import { RuntimeFile } from './runtime-file.js'
import { accessToken, type LoginContext, whoIsLoggedIn } from './session-token.js'
import { dialTunnel, openSession } from './tunnel-client.js'
import { keepProved } from './workload-login.js'

/** What clients show as the user; the gateway replaces it. */
const USER = 'vgate'

export interface ConnectOptions {
  readonly request: GrantRequest
  readonly command: 'connect' | 'exec'
  /** For the recording. */
  readonly version: string
  readonly port?: number
  readonly bind?: string
  readonly socket?: string
  readonly newSecret: boolean
  /** How long a lost gateway is dialled again, in milliseconds; 0: never. Half a minute by default. */
  readonly reconnectMs?: number
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
  /** The tunnel was lost. `cut` connections were open and are gone; nothing of them is sent again. */
  | {
      readonly event: 'reconnecting'
      readonly cut: number
      readonly message: string
      readonly until: string
    }
  /** The same port and secret work again, in a new session under the same grant. */
  | { readonly event: 'reconnected'; readonly session: string; readonly expires_at: string }
  | {
      readonly event: 'waiting_approval'
      readonly request: string
      readonly approvers: readonly string[]
      readonly url: string
    }
  | ({ readonly event: 'held' } & HeldEvent)
  | { readonly event: 'released'; readonly request: string }

/** Why it ended, and the error for all but the client's own wish. */
export interface Closed {
  readonly reason: CloseReason
  readonly error?: VgateError
}

export interface Connection {
  readonly ready: Ready
  readonly closed: Promise<Closed>
  /** Resolves as soon as it is known that the session is over: what runs on its connections is being cut. */
  readonly ending: Promise<void>
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
  const fresh = context.workload?.source.fresh === true ? { fresh_tokens: true } : {}
  const asked = { request: { ...options.request, ...fresh }, wait: options.wait }
  const grant = await approvedGrant(api, asked, tell)
  const owner = { gateway: context.gateway.url, user: principal.id, target }
  const secret =
    options.command === 'exec'
      ? newPortSecret()
      : await portSecret(context.store, owner, options.newSecret)
  const running = new Running(tell, options.reconnectMs ?? giveUpMs(process.env['VGATE_RECONNECT']))
  const client = {
    version: options.version,
    platform: `${process.platform}-${process.arch}`,
    command: options.command,
  }
  const open = {
    type: 'open_session' as const,
    grant: grant.id,
    client,
    secret: scramVerifierOf(secret),
  }
  running.dial = async () =>
    openSession(await dialTunnel(context.gateway, await accessToken(context)), open, running)
  running.tunnel = await running.dial()
  const { id, proof_until } = grant
  if (context.workload?.source.fresh === true && proof_until !== undefined) {
    const stopProving = keepProved(context.workload, { id, proof_until })
    void running.closed.then(stopProving)
  }
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
      const note = { host, port: port.port, url, env: { ...env }, expires_at }
      const whose = { v: 1 as const, pid: process.pid, gateway: owner.gateway, target }
      await runtime.write({ ...whose, session: id, ...note })
      running.runtime = runtime
      running.renote = (again) => runtime.write({ ...whose, ...note, ...again })
    }
    running.ready(session.expires_at)
    return {
      ready,
      closed: running.closed,
      ending: running.ending,
      stop: () => running.finish({ reason: 'stopped' }),
    }
  } catch (error) {
    await running.finish({ reason: 'error' })
    if (error instanceof VgateError && error.code === 'VGATE_PORT_IN_USE')
      await runtime.refuseSecond()
    throw error
  }
}
