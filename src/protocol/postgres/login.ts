// Owns the login to the database: TLS request, start-up, answers to what it asks, greeting. Sans-I/O.
// Must never put the password into an error, nor send it in clear unless the caller allowed it.

import { createHash } from 'node:crypto'
import type { UpstreamCredential, UpstreamLogin, UpstreamLoginHost } from '../../core/adapter.js'
import { VgateError } from '../../core/errors.js'
import { Framer, UPSTREAM_TYPES } from './framing.js'
import { PATH_QUERY, PathAnswer } from './path-answer.js'
import { MECHANISM, ScramClient } from './scram.js'
import { CANCEL_REQUEST, PROTOCOL_3_0, SSL_REQUEST } from './startup.js'
import { BodyReader, cstr, errorFields, i32, message, untyped, violation } from './wire.js'

const LOGIN_MESSAGE_BYTES = 64 * 1024
const LOGIN_TOTAL_BYTES = 256 * 1024

export interface LoginOptions {
  readonly credential: UpstreamCredential
  readonly databaseName: string
  readonly parameters: Readonly<Record<string, string>>
  readonly tls: boolean
  readonly randomBytes: (size: number) => Buffer
  /** A password may be sent in clear or as MD5 without TLS (literal loopback only). Default: only over TLS. */
  readonly allowPlaintextPassword?: boolean
  /** Ask the session where it looks names up. */
  readonly askPath?: boolean
}

const failure = (text: string, hint?: string): VgateError =>
  new VgateError('VGATE_UPSTREAM_FAILED', text, hint === undefined ? {} : { hint })

const CREDENTIAL_HINT = "check the target's credential in vgate.yaml (targets.NAME.credential)"

/** What an ErrorResponse during the login means. The database's text is passed on without the user's password in it: it never has one. */
function refusal(bytes: Buffer, username: string): VgateError {
  const fields = errorFields(bytes)
  const sqlstate = fields.get('C') ?? '?????'
  if (sqlstate === '28P01' || sqlstate === '28000') {
    return failure(
      `the database refused the gateway's login for ${JSON.stringify(username)}`,
      CREDENTIAL_HINT,
    )
  }
  return failure(
    `the database refused the connection: ${fields.get('M') ?? 'no reason given'} (${sqlstate})`,
  )
}

/** One login on one fresh socket. */
export class PostgresLogin implements UpstreamLogin {
  readonly #options: LoginOptions
  readonly #host: UpstreamLoginHost
  #state: 'new' | 'tls-asked' | 'tls-handshake' | 'login' | 'authenticated' | 'path' | 'over' =
    'new'
  readonly #path = new PathAnswer()
  #scram: ScramClient | undefined
  #scramDone = false
  #parameters: Record<string, string> = {}
  #cancel: Buffer = Buffer.alloc(0)
  #total = 0
  readonly #framer = new Framer((type) =>
    UPSTREAM_TYPES.has(type) ? LOGIN_MESSAGE_BYTES : undefined,
  )
  #readyNow = false

  constructor(options: LoginOptions, host: UpstreamLoginHost) {
    this.#options = options
    this.#host = host
  }

  start(): void {
    if (!this.#options.tls) {
      this.#startUp()
      return
    }
    this.#state = 'tls-asked'
    this.#host.toUpstream(untyped(i32(SSL_REQUEST)))
  }

  secured(): void {
    if (this.#state === 'tls-handshake') this.#startUp()
  }

  fromUpstream(bytes: Buffer): void {
    if (this.#state === 'over' || bytes.length === 0) return
    try {
      if (this.#state === 'tls-asked') {
        this.#tlsAnswer(bytes)
        return
      }
      // Bytes between the agreement and TLS were injected in plain text (CVE-2021-23222).
      if (this.#state === 'tls-handshake')
        throw failure('the database sent bytes before TLS was up')
      this.#total += bytes.length
      this.#push(bytes)
    } catch (error) {
      this.#fail(error instanceof VgateError ? error : failure('the login to the database failed'))
    }
  }

  #push(bytes: Buffer): void {
    const rest = this.#framer.push(bytes, (type, body) =>
      this.#message(String.fromCharCode(type), body),
    )
    if (this.#readyNow) {
      this.#state = 'over'
      const { searchPath } = this.#path
      const greeting = { parameters: this.#parameters, ...(searchPath && { searchPath }) }
      this.#host.ready(greeting, this.#cancel, rest)
    } else if (this.#total > LOGIN_TOTAL_BYTES) {
      throw failure('the database sends too much before the login is done')
    }
  }

  #tlsAnswer(bytes: Buffer): void {
    if (bytes.length !== 1 || bytes.readUInt8(0) !== 0x53) {
      throw bytes.length > 1
        ? failure('the database sent bytes before TLS was up')
        : failure(
            'the database does not speak TLS',
            'turn TLS on there, or set tls: off for a loopback address',
          )
    }
    this.#state = 'tls-handshake'
    this.#host.startTls()
  }

  #startUp(): void {
    this.#state = 'login'
    const { credential, databaseName, parameters } = this.#options
    const all = { ...parameters, user: credential.username, database: databaseName }
    const pairs = Object.entries(all).flatMap(([name, value]) => [cstr(name), cstr(value)])
    this.#host.toUpstream(untyped(i32(PROTOCOL_3_0), ...pairs, Buffer.from([0])))
  }

  #message(type: string, bytes: Buffer): void {
    if (type === 'E') throw refusal(bytes, this.#options.credential.username)
    if (type === 'N') return
    if (type === 'v') throw failure('the database does not speak protocol 3.0')
    if (this.#state === 'login') {
      if (type !== 'R') throw violation(`the database sent ${type} during the login`)
      this.#authentication(new BodyReader(bytes))
      return
    }
    if (this.#state === 'path') {
      if (this.#path.take(type, bytes)) this.#ready()
    } else this.#greeting(type, bytes)
  }

  #ready(): void {
    this.#readyNow = true
    this.#framer.stop() // what follows belongs to the session
  }

  #greeting(type: string, bytes: Buffer): void {
    const reader = new BodyReader(bytes)
    if (type === 'S') this.#parameters[reader.cstring()] = reader.cstring()
    else if (type === 'K') {
      // 4 bytes in protocol 3.0; later ones allow up to 256.
      const key = reader.bytes(reader.remaining)
      if (key.length < 8 || key.length > 260)
        throw violation('the database sent a malformed cancel key')
      this.#cancel = untyped(i32(CANCEL_REQUEST), key)
    } else if (type === 'Z') {
      if (this.#options.askPath !== true) return this.#ready()
      this.#state = 'path'
      this.#host.toUpstream(message('Q', cstr(PATH_QUERY)))
    } else throw violation(`the database sent ${type} before it was ready`)
  }

  #authentication(reader: BodyReader): void {
    const method = reader.int32()
    if (method === 0) {
      this.#authenticated()
      return
    }
    if (method === 3) {
      this.#password(this.#plain())
      return
    }
    if (method === 5) {
      this.#password(this.#md5(reader.bytes(4)))
      return
    }
    if (method === 10) {
      this.#sasl(reader)
      return
    }
    if (method === 11 && this.#scram !== undefined) {
      const answer = this.#scram.respond(reader.bytes(reader.remaining).toString('utf8'))
      this.#host.toUpstream(message('p', Buffer.from(answer)))
      return
    }
    if (method === 12 && this.#scram !== undefined) {
      if (!this.#scram.verify(reader.bytes(reader.remaining).toString('utf8'))) {
        throw failure(
          'the database could not prove that it knows the password',
          'something else may be answering in its place',
        )
      }
      this.#scramDone = true
      return
    }
    throw failure(
      `the database asks for authentication method ${method}, which is not supported`,
      'use scram-sha-256',
    )
  }

  #authenticated(): void {
    // A server that skips its proof half way could be anybody.
    if (this.#scram !== undefined && !this.#scramDone)
      throw failure('the database ended the SCRAM login before its proof')
    this.#state = 'authenticated'
  }

  #plain(): string {
    if (!this.#options.tls && this.#options.allowPlaintextPassword !== true) {
      throw failure('the database asks for a password without TLS', 'use scram-sha-256, or TLS')
    }
    return this.#options.credential.password
  }

  #md5(salt: Buffer): string {
    const { username } = this.#options.credential
    const digest = (bytes: Buffer): string => createHash('md5').update(bytes).digest('hex')
    const inner = digest(Buffer.from(this.#plain() + username))
    return `md5${digest(Buffer.concat([Buffer.from(inner), salt]))}`
  }

  #password(text: string): void {
    this.#host.toUpstream(message('p', cstr(text)))
  }

  #sasl(reader: BodyReader): void {
    const offered: string[] = []
    while (reader.remaining > 1) offered.push(reader.cstring())
    if (this.#scram !== undefined || !offered.includes(MECHANISM)) {
      throw failure(
        `the database offers ${offered.join(', ') || 'nothing'} only, which is not supported`,
        'use scram-sha-256',
      )
    }
    this.#scram = new ScramClient(
      this.#options.credential.password,
      this.#options.randomBytes(18).toString('base64'),
    )
    const first = Buffer.from(this.#scram.first())
    this.#host.toUpstream(message('p', cstr(MECHANISM), i32(first.length), first))
  }

  #fail(error: VgateError): void {
    this.#state = 'over'
    this.#framer.stop()
    this.#host.failed(error.code === 'VGATE_UPSTREAM_FAILED' ? error : failure(error.message))
  }
}
