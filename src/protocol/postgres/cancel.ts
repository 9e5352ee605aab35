// Owns sending a CancelRequest on a connection of its own, inside TLS where the target has it: the key that cancels
// is a secret. Sans-I/O.

import type { UpstreamCancelHost, UpstreamLogin } from '../../core/adapter.js'
import { SSL_REQUEST } from './startup.js'
import { i32, untyped } from './wire.js'

/** One cancel on one fresh socket (PostgreSQL docs, "Canceling Requests in Progress"). */
export class PostgresCancel implements UpstreamLogin {
  readonly #options: { readonly packet: Buffer; readonly tls: boolean }
  readonly #host: UpstreamCancelHost
  #asked = false

  constructor(
    options: { readonly packet: Buffer; readonly tls: boolean },
    host: UpstreamCancelHost,
  ) {
    this.#options = options
    this.#host = host
  }

  start(): void {
    if (!this.#options.tls) {
      this.secured()
      return
    }
    this.#asked = true
    this.#host.toUpstream(untyped(i32(SSL_REQUEST)))
  }

  fromUpstream(bytes: Buffer): void {
    if (!this.#asked) return
    this.#asked = false
    // Anything but one 'S' is no agreement; the packet is then not sent, never in clear.
    if (bytes.length === 1 && bytes[0] === 0x53) this.#host.startTls()
    else this.#host.done()
  }

  secured(): void {
    this.#host.toUpstream(this.#options.packet)
    this.#host.done()
  }
}
