// Owns SCRAM-SHA-256 (RFC 5802, RFC 7677) on both sides. Must never log or keep a password longer than a login.

import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from 'node:crypto'
import type { ScramVerifier } from '../../core/adapter.js'
import { violation } from './wire.js'

export const MECHANISM = 'SCRAM-SHA-256'
// A hostile database could ask for iterations that stop the event loop.
const MAX_ITERATIONS = 200_000

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

function xor(a: Buffer, b: Buffer): Buffer {
  const out = Buffer.alloc(a.length)
  for (let at = 0; at < a.length; at += 1) out[at] = (a[at] ?? 0) ^ (b[at] ?? 0)
  return out
}

function attributes(text: string): Map<string, string> {
  const map = new Map<string, string>()
  for (const piece of text.split(',')) {
    if (piece.charAt(1) !== '=') throw violation('a SCRAM message is malformed')
    map.set(piece.charAt(0), piece.slice(2))
  }
  return map
}

/** PostgreSQL uses the password as it is where SASLprep would fail; plain ASCII needs no preparation. */
function prepared(password: string): string {
  return password.normalize('NFKC')
}

/** Keys of a password (RFC 5802 §3): what a server stores. Costs `iterations` rounds of HMAC. */
export function scramVerifier(password: string, salt: Buffer, iterations: number): ScramVerifier {
  const salted = pbkdf2Sync(prepared(password), salt, iterations, 32, 'sha256')
  return {
    iterations,
    salt: salt.toString('base64'),
    storedKey: sha256(hmac(salted, 'Client Key')).toString('base64'),
    serverKey: hmac(salted, 'Server Key').toString('base64'),
  }
}

/** The server's side of one login. No channel binding is offered. */
export class ScramServer {
  readonly #verifier: ScramVerifier
  readonly #serverNonce: string
  #gs2 = ''
  #clientFirst = ''
  #serverFirst = ''

  constructor(verifier: ScramVerifier, serverNonce: string) {
    this.#verifier = verifier
    this.#serverNonce = serverNonce
  }

  /** client-first-message → server-first-message. Throws a violation where the form is not allowed. */
  first(text: string): string {
    const match = /^([ny],,)((?:n=[^,]*),r=([\x21-\x2b\x2d-\x7e]+)(?:,[a-z]=.*)?)$/i.exec(text)
    const [, gs2, bare, nonce] = match ?? []
    if (gs2 === undefined || bare === undefined || nonce === undefined) {
      throw violation(
        'the SCRAM login asks for something that is not offered (channel binding, another identity)',
      )
    }
    this.#gs2 = gs2
    this.#clientFirst = bare
    this.#serverFirst = `r=${nonce}${this.#serverNonce},s=${this.#verifier.salt},i=${this.#verifier.iterations}`
    return this.#serverFirst
  }

  /** client-final-message → server-final-message, or undefined when the proof is wrong. */
  final(text: string): string | undefined {
    const cut = text.lastIndexOf(',p=')
    if (cut < 0) throw violation('the SCRAM login carries no proof')
    const withoutProof = text.slice(0, cut)
    const given = attributes(withoutProof)
    if (given.get('c') !== Buffer.from(this.#gs2).toString('base64'))
      throw violation('the SCRAM login changed its header')
    if (given.get('r') !== attributes(this.#serverFirst).get('r'))
      throw violation('the SCRAM login changed its nonce')
    const proof = Buffer.from(text.slice(cut + 3), 'base64')
    if (proof.length !== 32) throw violation('the SCRAM proof has a wrong length')
    const authMessage = `${this.#clientFirst},${this.#serverFirst},${withoutProof}`
    const storedKey = Buffer.from(this.#verifier.storedKey, 'base64')
    const clientKey = xor(proof, hmac(storedKey, authMessage))
    const found = sha256(clientKey)
    if (found.length !== storedKey.length || !timingSafeEqual(found, storedKey)) return undefined
    const signature = hmac(Buffer.from(this.#verifier.serverKey, 'base64'), authMessage)
    return `v=${signature.toString('base64')}`
  }
}

/** The client's side of one login. */
export class ScramClient {
  readonly #password: string
  readonly #nonce: string
  readonly #user: string
  #serverSignature: Buffer | undefined

  /** `user` is what stands in `n=`; PostgreSQL takes the name of the start-up message, so it is empty there. */
  constructor(password: string, nonce: string, user = '') {
    this.#password = password
    this.#nonce = nonce
    this.#user = user
  }

  first(): string {
    return `n,,n=${this.#user},r=${this.#nonce}`
  }

  /** server-first-message → client-final-message. */
  respond(serverFirst: string): string {
    const given = attributes(serverFirst)
    const nonce = given.get('r') ?? ''
    const salt = Buffer.from(given.get('s') ?? '', 'base64')
    const iterations = Number(given.get('i'))
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length || given.has('m')) {
      throw violation('the database answered the SCRAM login with a foreign nonce')
    }
    if (
      !Number.isInteger(iterations) ||
      iterations < 1 ||
      iterations > MAX_ITERATIONS ||
      salt.length === 0
    ) {
      throw violation('the database asks for a SCRAM computation out of bounds')
    }
    const salted = pbkdf2Sync(prepared(this.#password), salt, iterations, 32, 'sha256')
    const clientKey = hmac(salted, 'Client Key')
    const withoutProof = `c=biws,r=${nonce}`
    const authMessage = `n=${this.#user},r=${this.#nonce},${serverFirst},${withoutProof}`
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage)
    return `${withoutProof},p=${xor(clientKey, hmac(sha256(clientKey), authMessage)).toString('base64')}`
  }

  /** True when the server's signature proves that it knows the password too. */
  verify(serverFinal: string): boolean {
    const given = Buffer.from(attributes(serverFinal).get('v') ?? '', 'base64')
    const expected = this.#serverSignature
    return (
      expected !== undefined && given.length === expected.length && timingSafeEqual(given, expected)
    )
  }
}
