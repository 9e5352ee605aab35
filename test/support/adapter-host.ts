// Owns a small host for the Postgres adapter in tests: real sockets on both sides, a judge given by the test,
// and everything that was judged and delivered kept. No policy, no recording, no tunnel.

import { randomBytes } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import pg from 'pg'
import {
  type Adapter,
  type AdapterHost,
  DEFAULT_LIMITS,
  type Delivery,
  type JudgeRequest,
  type ProtocolFamily,
  type Ruling,
  type UpstreamGreeting,
} from '../../src/core/adapter.js'
import type { VgateError } from '../../src/core/errors.js'
import type { MaskerFactory } from '../../src/core/masker.js'
import { scramVerifier } from '../../src/protocol/postgres/scram.js'

export interface AdapterHostOptions {
  readonly family: ProtocolFamily
  readonly upstream: {
    readonly host: string
    readonly port: number
    readonly user: string
    readonly password: string
  }
  readonly database: string
  readonly masker: MaskerFactory
  readonly judge: (request: JudgeRequest) => Ruling | Promise<Ruling>
}

export const PORT_SECRET = 'the-port-secret'
const secret = scramVerifier(PORT_SECRET, randomBytes(16), 4096)

/** Listens on loopback; one adapter and one upstream connection for each client. */
export class AdapterServer {
  readonly requests: JudgeRequest[] = []
  readonly deliveries: Delivery[] = []
  readonly errors: VgateError[] = []
  readonly adapters: Adapter[] = []
  readonly #options: AdapterHostOptions
  readonly #server: Server
  readonly #cancels = new Map<string, Buffer>()
  readonly #sockets = new Set<Socket>()
  /** What was loaded last, by its key. */
  readonly #loaded = new Map<string, unknown>()
  #side: pg.Client | undefined

  private constructor(options: AdapterHostOptions) {
    this.#options = options
    this.#server = createServer((client) => this.#accept(client))
  }

  static async start(options: AdapterHostOptions): Promise<AdapterServer> {
    const server = new AdapterServer(options)
    await options.family.prepare()
    const { upstream, database } = options
    server.#side = new pg.Client({ ...upstream, database })
    await server.#side.connect()
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve))
    return server
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('not listening')
    return address.port
  }

  /** A new connected client through the adapter. */
  async connect(more: pg.ClientConfig = {}): Promise<pg.Client> {
    const { database } = this.#options
    const client = new pg.Client({
      host: '127.0.0.1',
      port: this.port,
      user: 'anna',
      password: PORT_SECRET,
      database,
      ...more,
    })
    client.on('error', () => {}) // an end that a test wants comes as an event too
    await client.connect()
    return client
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await this.#side?.end()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #ask(
    load: (query: (text: string) => Promise<(string | null)[][]>) => Promise<unknown>,
  ): Promise<unknown> {
    return load(async (text) => {
      const types = { getTypeParser: () => (value: string) => value }
      const result = await this.#side?.query({ text, rowMode: 'array', types })
      return (result?.rows ?? []) as (string | null)[][]
    })
  }

  #accept(client: Socket): void {
    this.#sockets.add(client)
    let upstream: Socket | undefined
    const host: AdapterHost = {
      toClient: (bytes) => void client.write(bytes),
      toUpstream: (bytes) => void upstream?.write(bytes),
      openUpstream: (parameters) => {
        upstream = this.#dial(parameters, adapter, (packet) => {
          if (adapter.cancelKey !== undefined)
            this.#cancels.set(adapter.cancelKey.toString('hex'), packet)
        })
      },
      judge: (id, request) => {
        this.requests.push(request)
        const ruling = this.#options.judge(request)
        if (ruling instanceof Promise) void ruling.then((late) => adapter.ruled(id, late))
        else adapter.ruled(id, ruling)
      },
      ask: (id, question) => {
        if (question.kind !== 'load') throw new Error('no worker in this host')
        const { key } = question
        void this.#ask((query) => question.load(query, this.#loaded.get(key))).then((value) => {
          this.#loaded.set(key, value)
          adapter.answered(id, { ok: true, value })
        })
      },
      delivered: (delivery) => this.deliveries.push(delivery),
      cancelUpstream: () => this.#cancel(adapter.cancelKey),
      cancelOther: (key) => this.#cancel(key),
      close: (error) => {
        if (error !== undefined) this.errors.push(error)
        client.end()
        upstream?.destroy()
      },
    }
    const adapter = this.#options.family.createAdapter(
      {
        databaseName: this.#options.database,
        secret,
        masker: this.#options.masker,
        limits: DEFAULT_LIMITS,
        randomBytes,
      },
      host,
    )
    this.adapters.push(adapter)
    client.on('data', (bytes) => adapter.fromClient(bytes))
    client.on('error', () => adapter.clientEnded())
    client.on('end', () => adapter.clientEnded())
  }

  #cancel(key: Buffer | undefined): void {
    const packet = key && this.#cancels.get(key.toString('hex'))
    if (packet) connect(this.#options.upstream.port, this.#options.upstream.host).end(packet)
  }

  #dial(
    parameters: Readonly<Record<string, string>>,
    adapter: Adapter,
    cancel: (packet: Buffer) => void,
  ): Socket {
    const { upstream, database } = this.#options
    const socket = connect(upstream.port, upstream.host)
    this.#sockets.add(socket)
    const credential = { username: upstream.user, password: upstream.password }
    let ready = false
    const login = this.#options.family.createLogin(
      { credential, databaseName: database, parameters, tls: false, randomBytes },
      {
        toUpstream: (bytes) => void socket.write(bytes),
        startTls: () => {},
        ready: (greeting: UpstreamGreeting, packet: Buffer, rest: Buffer) => {
          ready = true
          adapter.upstreamReady(greeting)
          queueMicrotask(() => cancel(packet))
          this.#lateKeys.push(() => cancel(packet))
          if (rest.length > 0) adapter.fromUpstream(rest)
        },
        failed: (error) => adapter.upstreamFailed(error),
      },
    )
    socket.on('connect', () => login.start())
    socket.on('data', (bytes) => {
      for (const late of this.#lateKeys.splice(0)) late()
      if (ready) adapter.fromUpstream(bytes)
      else login.fromUpstream(bytes)
    })
    socket.on('error', () => {})
    return socket
  }

  /** The key is given out only when the catalogue is there too. */
  readonly #lateKeys: (() => void)[] = []
}
