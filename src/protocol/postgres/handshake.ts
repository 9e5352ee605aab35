// Owns the client's side of a connection until it has authenticated: pre-start-up requests, the start-up
// packet, SCRAM. Must never let a byte through that came before its time (CVE-2021-23214 class).

import type { AdapterContext, AdapterHost } from '../../core/adapter.js'
import { VgateError } from '../../core/errors.js'
import { MECHANISM, ScramServer } from './scram.js'
import {
  CANCEL_REQUEST,
  GSSENC_REQUEST,
  readStartup,
  SSL_REQUEST,
  type StartupRequest,
} from './startup.js'
import type { SqlAnalyzer } from './statement.js'
import { BodyReader, cstr, i32, message, violation } from './wire.js'

const TLS_HANDSHAKE = 0x16
const NO = Buffer.from('N')

/** From the first byte to a proven secret. */
export class Handshake {
  readonly #context: AdapterContext
  readonly #host: AdapterHost
  readonly #analyzer: SqlAnalyzer
  readonly #done: (startup: StartupRequest, rest: Buffer) => void
  #state: 'startup' | 'sasl-first' | 'sasl-final' | 'over' = 'startup'
  #buffer: Buffer = Buffer.alloc(0)
  #total = 0
  #sslAsked = false
  #gssAsked = false
  #startup: StartupRequest | undefined
  #scram: ScramServer | undefined

  /** `done` gets the start-up request and the bytes that already came behind the login. */
  constructor(
    context: AdapterContext,
    host: AdapterHost,
    analyzer: SqlAnalyzer,
    done: (startup: StartupRequest, rest: Buffer) => void,
  ) {
    this.#context = context
    this.#host = host
    this.#analyzer = analyzer
    this.#done = done
  }

  /** Takes bytes. Throws the VgateError that the client is told before the connection is closed. */
  take(bytes: Buffer): void {
    this.#total += bytes.length
    this.#buffer = this.#buffer.length === 0 ? bytes : Buffer.concat([this.#buffer, bytes])
    while (this.#state !== 'over' && this.#step()) {
      // each step takes one message
    }
    // Counted after the steps: what came behind the login in the same chunk belongs to the session.
    if (this.#state !== 'over' && this.#total > this.#context.limits.handshakeBytes) {
      throw violation('too much was sent before the login was done')
    }
  }

  #step(): boolean {
    return this.#state === 'startup' ? this.#packet() : this.#password()
  }

  /** Cuts `size` bytes off the buffer once they are there; the cap holds before anything is gathered. */
  #cut(size: number): Buffer | undefined {
    if (size > this.#context.limits.handshakeBytes)
      throw violation(`a start-up message of ${size} bytes is too long`)
    if (this.#buffer.length < size) return undefined
    const cut = this.#buffer.subarray(0, size)
    this.#buffer = this.#buffer.subarray(size)
    return cut
  }

  #packet(): boolean {
    if (this.#buffer.length === 0) return false
    if (this.#buffer.readUInt8(0) === TLS_HANDSHAKE) {
      // An answer in clear would only look like noise to a TLS client.
      this.#state = 'over'
      this.#host.close(
        violation('TLS is not offered on this port; it relays over an encrypted tunnel'),
      )
      return false
    }
    if (this.#buffer.length < 4) return false
    const size = this.#buffer.readUInt32BE(0)
    if (size < 8) throw violation(`a start-up message says it has ${size} bytes`)
    const packet = this.#cut(size)
    if (packet === undefined) return false
    const code = packet.readUInt32BE(4)
    if (code === SSL_REQUEST || code === GSSENC_REQUEST) return this.#encryption(code, size)
    if (code === CANCEL_REQUEST) return this.#cancel(packet)
    this.#startup = readStartup(packet, this.#context.databaseName, this.#analyzer)
    if (this.#startup.negotiate !== undefined) this.#host.toClient(this.#startup.negotiate)
    this.#host.toClient(message('R', i32(10), cstr(MECHANISM), Buffer.from([0])))
    this.#state = 'sasl-first'
    return true
  }

  #encryption(code: number, size: number): boolean {
    const again = code === SSL_REQUEST ? this.#sslAsked : this.#gssAsked
    if (size !== 8 || again) throw violation('a malformed or repeated request for encryption')
    // Bytes sent before our answer would have been meant for inside the encryption, or were injected.
    if (this.#buffer.length > 0)
      throw violation('bytes came behind a request for encryption before its answer')
    if (code === SSL_REQUEST) this.#sslAsked = true
    else this.#gssAsked = true
    this.#host.toClient(NO)
    return true
  }

  #cancel(packet: Buffer): boolean {
    this.#state = 'over'
    // Only keys that this adapter gave out: four bytes of process id and four of secret.
    if (packet.length === 16) this.#host.cancelOther(Buffer.from(packet.subarray(8)))
    this.#host.close()
    return false
  }

  #password(): boolean {
    if (this.#buffer.length < 5) return false
    const type = this.#buffer.readUInt8(0)
    if (type === 0x58) {
      this.#state = 'over'
      this.#host.close()
      return false
    }
    if (type !== 0x70) throw violation('a password message was expected')
    const size = this.#buffer.readUInt32BE(1)
    if (size < 4) throw violation(`a message says it has ${size} bytes`)
    const bytes = this.#cut(size + 1)
    if (bytes === undefined) return false
    if (this.#state === 'sasl-first') this.#first(bytes)
    else this.#final(bytes)
    return true
  }

  #first(bytes: Buffer): void {
    const reader = new BodyReader(bytes)
    const mechanism = reader.cstring()
    if (mechanism !== MECHANISM)
      throw violation(`the login mechanism ${JSON.stringify(mechanism)} is not offered`)
    const response = reader.value()
    reader.done()
    if (response === null) throw violation('the SCRAM login has no first message')
    this.#scram = new ScramServer(
      this.#context.secret,
      this.#context.randomBytes(18).toString('base64'),
    )
    this.#host.toClient(
      message('R', i32(11), Buffer.from(this.#scram.first(response.toString('utf8')))),
    )
    this.#state = 'sasl-final'
  }

  #final(bytes: Buffer): void {
    const answer = this.#scram?.final(bytes.subarray(5).toString('utf8'))
    if (answer === undefined || this.#startup === undefined) {
      throw new VgateError('VGATE_PASSWORD_WRONG', 'password authentication failed', {
        hint: 'use the secret that `vgate connect` printed, or `vgate env` shows',
      })
    }
    this.#host.toClient(message('R', i32(12), Buffer.from(answer)))
    this.#state = 'over'
    this.#done(this.#startup, this.#buffer)
  }
}
