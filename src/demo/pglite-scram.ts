// Owns the server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) for the demo database. No channel binding: there is no
// TLS here. The gateway gives its password to no server that asks for it in the clear.

import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto'
import { int32, message } from './pglite-wire.js'

const ITERATIONS = 4096
const MECHANISM = 'SCRAM-SHA-256'

/** AuthenticationSASL: the one mechanism spoken here. */
export const AUTHENTICATION_SASL = message('R', int32(10), MECHANISM, Buffer.from([0]))

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** One exchange. Each step answers what to send, or undefined when the client has not proved that it knows the password. */
export class ScramServer {
  readonly #password: string
  readonly #salt = randomBytes(16)
  #bare = ''
  #nonce = ''
  #first = ''

  constructor(password: string) {
    this.#password = password
  }

  get started(): boolean {
    return this.#first !== ''
  }

  /** SASLInitialResponse. Answers AuthenticationSASLContinue. */
  start(payload: Buffer): Buffer | undefined {
    const end = payload.indexOf(0)
    if (end < 0 || payload.toString('utf8', 0, end) !== MECHANISM) return undefined
    const match = /^[ny],[^,]*,(n=[^,]*,r=([\x21-\x2b\x2d-\x7e]+).*)$/s.exec(
      payload.toString('utf8', end + 5),
    )
    if (match === null) return undefined
    this.#bare = match[1] ?? ''
    this.#nonce = `${match[2] ?? ''}${randomBytes(18).toString('base64')}`
    this.#first = `r=${this.#nonce},s=${this.#salt.toString('base64')},i=${ITERATIONS}`
    return message('R', int32(11), Buffer.from(this.#first))
  }

  /** SASLResponse. Answers AuthenticationSASLFinal. */
  finish(payload: Buffer): Buffer | undefined {
    const match = /^(c=[^,]+,r=([^,]+)),p=([A-Za-z0-9+/=]+)$/.exec(payload.toString('utf8'))
    if (match === null || match[2] !== this.#nonce) return undefined
    const salted = pbkdf2Sync(this.#password, this.#salt, ITERATIONS, 32, 'sha256')
    const clientKey = hmac(salted, 'Client Key')
    const storedKey = createHash('sha256').update(clientKey).digest()
    const signed = `${this.#bare},${this.#first},${match[1] ?? ''}`
    const signature = hmac(storedKey, signed)
    const proof = Buffer.from(match[3] ?? '', 'base64')
    const wanted = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)))
    if (proof.length !== wanted.length || !timingSafeEqual(proof, wanted)) return undefined
    const verifier = hmac(hmac(salted, 'Server Key'), signed).toString('base64')
    return message('R', int32(12), Buffer.from(`v=${verifier}`))
  }
}
