// Owns a tiny PostgreSQL client for tests that need the bytes themselves: it sends whatever it is told and
// keeps everything that it received. Not a driver: no types, no pool, no TLS.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { encode, type MessageStep, message, startup } from './raw-postgres-messages.js'

/** A message of the server. */
export interface Reply {
  readonly type: string
  readonly body: Buffer
}

export interface RawOptions {
  readonly host: string
  readonly port: number
  readonly timeoutMs?: number
}

export interface LoginOptions {
  /** Settings at the start, as in `PGOPTIONS`. */
  readonly options?: string
  readonly user: string
  readonly password: string
  readonly database: string
}

/** Why a wait ended. */
export type WaitEnd = 'found' | 'closed' | 'timeout'

export class RawPostgres {
  readonly replies: Reply[] = []
  /** True once the server has ended the connection. */
  closed = false
  readonly #socket: Socket
  readonly #timeoutMs: number
  readonly #chunks: Buffer[] = []
  #pending: Buffer[] = []
  #pendingBytes = 0
  /** Bytes that must be there before the next message is whole. */
  #wanted = 1
  /** Answers of one byte (to SSLRequest and GSSENCRequest) that are still to come. */
  #bareBytes = 0
  readonly bare: string[] = []
  #wake: () => void = () => {}

  private constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket
    this.#timeoutMs = timeoutMs
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('error', () => {}) // a reset is an end like any other; `close` follows
    socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  /** Opens the TCP connection; nothing is sent. */
  static async open(options: RawOptions): Promise<RawPostgres> {
    const socket = connect({ host: options.host, port: options.port, noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new RawPostgres(socket, options.timeoutMs ?? 10_000)
  }

  /** Opens, starts up and authenticates; throws the server's own message when it refuses. */
  static async login(options: RawOptions & LoginOptions): Promise<RawPostgres> {
    const raw = await RawPostgres.open(options)
    raw.send(
      startup([
        ['user', options.user],
        ['database', options.database],
        ...(options.options === undefined ? [] : [['options', options.options] as const]),
      ]),
    )
    if (!(await raw.authenticate(options))) {
      const error = raw.replies.find((reply) => reply.type === 'E')
      raw.end()
      throw new Error(`login refused: ${error ? errorFields(error.body)['M'] : 'closed'}`)
    }
    return raw
  }

  /** Every byte that the server has sent so far. */
  get received(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  send(...bytes: readonly Buffer[]): void {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(bytes))
  }

  step(step: MessageStep): void {
    this.send(encode(step))
  }

  /** Sends a request whose answer is one bare byte; answers that byte, or undefined when the server closed. */
  async askBare(request: Buffer, ...behind: readonly Buffer[]): Promise<string | undefined> {
    this.#bareBytes += 1
    const wanted = this.bare.length
    this.send(request, ...behind)
    await this.#until(() => this.bare.length > wanted)
    return this.bare[wanted]
  }

  /** Stops reading, for tests of a client that does not take its answers. */
  pause(): void {
    this.#socket.pause()
  }

  /** Ends the connection at once. */
  end(): void {
    this.#socket.destroy()
  }

  /** Waits until a reply of one of these types stands at `from` or later. */
  async waitFor(types: string, from: number): Promise<WaitEnd> {
    return this.#until(() => this.replies.slice(from).some((reply) => types.includes(reply.type)))
  }

  /** Waits until the server ends the connection. */
  async waitClosed(): Promise<WaitEnd> {
    const end = await this.#until(() => false)
    return end === 'closed' ? 'found' : end
  }

  /** One simple query; answers its replies up to ReadyForQuery, or up to the end of the connection. */
  async query(sql: string): Promise<Reply[]> {
    const from = this.replies.length
    this.step({ m: 'Q', sql })
    const end = await this.waitFor('Z', from)
    if (end === 'timeout') throw new Error(`no ReadyForQuery in time after: ${sql.slice(0, 80)}`)
    return this.replies.slice(from)
  }

  /** Answers authentication requests until ReadyForQuery. False when the server refused or closed. */
  async authenticate(login: { user: string; password: string }): Promise<boolean> {
    let at = 0
    let scram: ScramClient | undefined
    for (;;) {
      if ((await this.#until(() => this.replies.length > at)) !== 'found') return false
      const reply = this.replies[at]
      at += 1
      if (reply === undefined || reply.type === 'E') return false
      if (reply.type === 'Z') return true
      if (reply.type !== 'R') continue
      const kind = reply.body.readInt32BE(0)
      if (kind === 3) this.send(message('p', Buffer.from(`${login.password}\0`)))
      if (kind === 5) this.send(message('p', md5Answer(login, reply.body.subarray(4))))
      if (kind === 10) {
        scram = new ScramClient(login.password)
        const first = Buffer.from(scram.first())
        const length = Buffer.alloc(4)
        length.writeInt32BE(first.length)
        this.send(message('p', Buffer.from('SCRAM-SHA-256\0'), length, first))
      }
      if (kind === 11 && scram) {
        this.send(message('p', Buffer.from(scram.final(reply.body.subarray(4).toString()))))
      }
      if (kind === 12 && !scram?.proves(reply.body.subarray(4).toString())) {
        throw new Error('the server did not prove that it knows the password')
      }
    }
  }

  async #until(met: () => boolean): Promise<WaitEnd> {
    const deadline = Date.now() + this.#timeoutMs
    while (!met()) {
      if (this.closed) return 'closed'
      const left = deadline - Date.now()
      if (left <= 0) return 'timeout'
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return 'found'
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.length
    if (this.#pendingBytes < this.#wanted) return
    let rest = Buffer.concat(this.#pending)
    while (this.#bareBytes > 0 && rest.length > 0 && rest[0] !== 0x45) {
      this.bare.push(rest.toString('latin1', 0, 1))
      this.#bareBytes -= 1
      rest = rest.subarray(1)
    }
    this.#wanted = 5
    while (rest.length >= 5) {
      const length = rest.readInt32BE(1) + 1
      this.#wanted = length
      if (rest.length < length || length < 5) break
      this.#wanted = 5
      this.replies.push({ type: rest.toString('latin1', 0, 1), body: rest.subarray(5, length) })
      rest = rest.subarray(length)
    }
    this.#pending = [rest]
    this.#pendingBytes = rest.length
    this.#wake()
  }
}

/** The fields of an ErrorResponse or NoticeResponse, by their letters (S severity, C SQLSTATE, M message …). */
export function errorFields(body: Buffer): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const field of body.toString('utf8').split('\0')) {
    if (field.length > 0) fields[field.slice(0, 1)] = field.slice(1)
  }
  return fields
}

/** The values of a DataRow as text; NULL is null. */
export function rowValues(body: Buffer): (string | null)[] {
  const values: (string | null)[] = []
  let at = 2
  for (let left = body.readInt16BE(0); left > 0; left -= 1) {
    const length = body.readInt32BE(at)
    at += 4
    values.push(length < 0 ? null : body.toString('utf8', at, at + length))
    at += Math.max(length, 0)
  }
  return values
}

function md5Answer(login: { user: string; password: string }, salt: Buffer): Buffer {
  const md5 = (...parts: (string | Buffer)[]): string => {
    const hash = createHash('md5')
    for (const part of parts) hash.update(part)
    return hash.digest('hex')
  }
  return Buffer.from(`md5${md5(md5(login.password, login.user), salt)}\0`)
}

/** SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677), the client's side. */
class ScramClient {
  readonly #password: string
  readonly #nonce = randomBytes(18).toString('base64')
  #serverSignature = ''

  constructor(password: string) {
    this.#password = password
  }

  first(): string {
    return `n,,n=,r=${this.#nonce}`
  }

  final(serverFirst: string): string {
    const fields = Object.fromEntries(
      serverFirst.split(',').map((field) => [field.slice(0, 1), field.slice(2)]),
    )
    const salted = pbkdf2Sync(
      this.#password,
      Buffer.from(fields['s'] ?? '', 'base64'),
      Number(fields['i']),
      32,
      'sha256',
    )
    const hmac = (key: Buffer, data: string): Buffer =>
      createHmac('sha256', key).update(data).digest()
    const clientKey = hmac(salted, 'Client Key')
    const storedKey = createHash('sha256').update(clientKey).digest()
    const bare = `c=biws,r=${fields['r']}`
    const signed = `n=,r=${this.#nonce},${serverFirst},${bare}`
    const signature = hmac(storedKey, signed)
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)))
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), signed).toString('base64')
    return `${bare},p=${proof.toString('base64')}`
  }

  proves(serverFinal: string): boolean {
    return serverFinal === `v=${this.#serverSignature}`
  }
}
