// Owns what is open while a `connect` runs: the tunnel, the local ports, coming back after a loss, and the one place
// where it all ends. Must never send anything of a cut connection again: the new session knows nothing of the old one.

import type { GatewayMessage } from '../core/api.js'
import { VgateError } from '../core/errors.js'
import type { CloseReason } from '../core/grant.js'
import type { Closed, ConnectEvent } from './connect.js'
import { type LocalPort, openLocalPort, type PortRequest } from './local-port.js'
import { redial } from './redial.js'
import type { RuntimeFile } from './runtime-file.js'
import { tieSocket } from './stream-socket.js'
import { endError, type Loss, type Tunnel } from './tunnel-client.js'

/** How long streams may go on delivering after the gateway has said that it is over. */
const FINISH_MS = 500
const FINISH_POLL_MS = 10

export class Running {
  tunnel: Tunnel | undefined
  runtime: RuntimeFile | undefined
  /** Opens a tunnel and a session in it, as the first time. */
  dial: () => Promise<Tunnel> = () => Promise.reject(new Error('nothing to dial'))
  /** Tells the note on disk of the new session. */
  renote: (session: { session: string; expires_at: string }) => Promise<void> = async () => {}
  readonly closed: Promise<Closed>
  readonly endpoints: Record<string, string> = {}
  readonly #ports: LocalPort[] = []
  readonly #tell: (event: ConnectEvent) => void
  readonly #reconnectMs: number
  readonly #stopped = new AbortController()
  #grantEnd = 0
  #connections = 0
  #resolve: (closed: Closed) => void = () => {}
  #ending: Promise<void> | undefined
  /** Resolves when the end has begun. */
  readonly ending: Promise<void>

  constructor(tell: (event: ConnectEvent) => void, reconnectMs: number) {
    this.#tell = tell
    this.#reconnectMs = reconnectMs
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve
    })
    const { signal } = this.#stopped
    this.ending = new Promise((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  /** From here on a loss is followed by another try. */
  ready(expiresAt: string): void {
    this.#grantEnd = Date.parse(expiresAt)
  }

  /** One port for each endpoint; the first one's is the address that people are told. */
  async listen(options: PortRequest, stable: number | undefined): Promise<LocalPort> {
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
          // While there is no tunnel a client is told at once, by the closed connection, and tries again itself.
          if (this.tunnel === undefined || this.#ending !== undefined) {
            socket.destroy()
            return
          }
          this.#connections += 1
          socket.once('close', () => {
            this.#connections -= 1
          })
          tieSocket(this.tunnel.mux, endpoint, socket)
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

  lost(error: VgateError, how: Loss): void {
    this.tunnel = undefined
    if (this.#ending !== undefined) return
    const until = Math.min(Date.now() + this.#reconnectMs, this.#grantEnd)
    if (!how.passing || until <= Date.now()) {
      void this.finish({ reason: 'gateway_lost', error })
      return
    }
    const { message } = error
    const cut = this.#connections
    this.#tell({ event: 'reconnecting', cut, message, until: new Date(until).toISOString() })
    this.#comeBack(error, until, how.woke).catch((failure: unknown) =>
      this.finish(closedBy(failure)),
    )
  }

  /** Ends everything once; later calls wait for the first. */
  finish(closed: Closed): Promise<void> {
    this.#ending ??= this.#end(closed)
    return this.#ending
  }

  async #comeBack(error: VgateError, until: number, atOnce: boolean): Promise<void> {
    const tunnel = await redial(error, {
      dial: () => this.dial(),
      until,
      atOnce,
      now: Date.now,
      random: Math.random,
      signal: this.#stopped.signal,
    })
    if (tunnel === undefined) return
    if (this.#ending !== undefined) return void (await tunnel.close())
    this.tunnel = tunnel
    const { session, expires_at } = tunnel.session
    this.#grantEnd = Date.parse(expires_at)
    this.#tell({ event: 'reconnected', session, expires_at })
    // The note is for people; the connection works without it.
    await this.renote({ session, expires_at }).catch(() => undefined)
  }

  async #end(closed: Closed): Promise<void> {
    this.#stopped.abort()
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

/** What the answer that ended the tries means. */
function closedBy(failure: unknown): Closed {
  const error =
    failure instanceof VgateError
      ? failure
      : new VgateError('VGATE_UNEXPECTED', 'reconnecting failed', { cause: failure })
  const reasons: Readonly<Record<string, CloseReason>> = {
    VGATE_REVOKED: 'revoked',
    VGATE_GRANT_ENDED: 'expired',
  }
  const lost = error.faces.exit === 8
  return { reason: reasons[error.code] ?? (lost ? 'gateway_lost' : 'error'), error }
}
