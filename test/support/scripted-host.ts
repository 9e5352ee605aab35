// Owns a host for the Postgres adapter without sockets: the test plays the client, the database and the judge.

import {
  type Adapter,
  type AdapterHost,
  type AdapterLimits,
  DEFAULT_LIMITS,
  type Delivery,
  type JudgeRequest,
  type Ruling,
} from '../../src/core/adapter.js'
import type { VgateError } from '../../src/core/errors.js'
import type { MaskerFactory } from '../../src/core/masker.js'
import { PostgresAdapter } from '../../src/protocol/postgres/adapter.js'
import { ScramClient, scramVerifier } from '../../src/protocol/postgres/scram.js'
import type { Catalogue, SqlAnalyzer } from '../../src/protocol/postgres/statement.js'
import { cstr, i32, message, untyped } from '../../src/protocol/postgres/wire.js'
import { fakeAnalyzer } from './fake-analyzer.js'

const verifier = scramVerifier('secret', Buffer.from('salt'), 1)

export interface ScriptOptions {
  readonly judge?: (request: JudgeRequest) => Ruling | undefined
  readonly masker?: MaskerFactory
  readonly limits?: Partial<AdapterLimits>
  readonly columns?: readonly (readonly [
    table: string,
    oid: number,
    attribute: number,
    name: string,
  ])[]
  readonly analyzer?: SqlAnalyzer
  /** Always the same by default. */
  readonly randomBytes?: (size: number) => Buffer
}

export class ScriptedHost implements AdapterHost {
  readonly adapter: Adapter
  readonly requests: { id: number; request: JudgeRequest }[] = []
  readonly deliveries: Delivery[] = []
  readonly opened: Readonly<Record<string, string>>[] = []
  readonly cancelled: Buffer[] = []
  upstreamCancels = 0
  closed: VgateError | 'closed' | undefined
  #client: Buffer[] = []
  #upstream: Buffer[] = []
  readonly #options: ScriptOptions

  constructor(options: ScriptOptions = {}) {
    this.#options = options
    const masker = options.masker ?? {
      forField: () => ({ alwaysNull: true, mask: () => ({ value: null, masked: 1 }) }),
    }
    const limits = { ...DEFAULT_LIMITS, ...options.limits }
    const context = {
      databaseName: 'probe',
      secret: verifier,
      masker,
      limits,
      randomBytes: options.randomBytes ?? ((size: number) => Buffer.alloc(size, 7)),
    }
    this.adapter = new PostgresAdapter(context, this, options.analyzer ?? fakeAnalyzer())
  }

  toClient(bytes: Buffer): void {
    this.#client.push(bytes)
  }
  toUpstream(bytes: Buffer): void {
    this.#upstream.push(bytes)
  }
  openUpstream(parameters: Readonly<Record<string, string>>): void {
    this.opened.push(parameters)
  }
  judge(id: number, request: JudgeRequest): void {
    this.requests.push({ id, request })
    const ruling =
      this.#options.judge === undefined ? permit(request) : this.#options.judge(request)
    if (ruling !== undefined) this.adapter.ruled(id, ruling)
  }
  ask(id: number): void {
    void fakeAnalyzer()
      .loadCatalogue(async () => (this.#options.columns ?? []).map((row) => row.map(String)))
      .then((value: Catalogue) => this.adapter.answered(id, { ok: true, value }))
  }
  delivered(delivery: Delivery): void {
    this.deliveries.push(delivery)
  }
  cancelUpstream(): void {
    this.upstreamCancels += 1
  }
  cancelOther(key: Buffer): void {
    this.cancelled.push(key)
  }
  close(error?: VgateError): void {
    this.closed = error ?? 'closed'
  }

  /** What the client got since the last call. */
  client(): Buffer {
    const all = Buffer.concat(this.#client)
    this.#client = []
    return all
  }

  /** Types of what the database got since the last call, and the bytes. */
  upstream(): { types: string; bytes: Buffer } {
    const bytes = Buffer.concat(this.#upstream)
    this.#upstream = []
    return { types: typesOf(bytes), bytes }
  }

  /** Lets pending answers come. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** Sends client messages and waits for what is asked about them. */
  async send(...messages: readonly Buffer[]): Promise<void> {
    this.adapter.fromClient(Buffer.concat(messages))
    await this.settle()
  }

  startup(): void {
    this.adapter.fromClient(untyped(i32(196608), cstr('user'), cstr('anna'), Buffer.from([0])))
  }

  /** Logs in up to ReadyForQuery. */
  async login(): Promise<void> {
    this.startup()
    this.client()
    const scram = new ScramClient('secret', 'nonce')
    const first = Buffer.from(scram.first())
    this.adapter.fromClient(message('p', cstr('SCRAM-SHA-256'), i32(first.length), first))
    const answer = scram.respond(this.client().subarray(9).toString())
    this.adapter.fromClient(message('p', Buffer.from(answer)))
    await this.settle()
    this.adapter.upstreamReady({ parameters: { server_version: '15.0', client_encoding: 'UTF8' } })
    await this.settle()
    this.client()
  }
}

/** Permits everything without obligations. */
export function permit(request: JudgeRequest): Ruling {
  return {
    verdict: 'permit',
    obligations: request.operations.map(() => ({ masks: [], record: 'text' as const })),
  }
}

/** The type letters of a run of whole messages. */
export function typesOf(bytes: Buffer): string {
  let types = ''
  for (let at = 0; at < bytes.length; at += 1 + bytes.readUInt32BE(at + 1))
    types += String.fromCharCode(bytes.readUInt8(at))
  return types
}

/** RowDescription of columns with their origin, type and format. */
export function rowDescription(
  ...columns: readonly {
    name: string
    table?: number
    attribute?: number
    type?: number
    format?: number
  }[]
): Buffer {
  const parts = columns.flatMap(({ name, table = 0, attribute = 0, type = 25, format = 0 }) => [
    cstr(name),
    i32(table),
    { i16: attribute },
    i32(type),
    { i16: -1 },
    i32(-1),
    { i16: format },
  ])
  return message('T', { i16: columns.length }, ...parts)
}

export function dataRow(...values: readonly (Buffer | string | null)[]): Buffer {
  const parts = values.flatMap((value) => {
    if (value === null) return [i32(-1)]
    const bytes = Buffer.from(value)
    return [i32(bytes.length), bytes]
  })
  return message('D', { i16: values.length }, ...parts)
}

export const complete = (tag: string): Buffer => message('C', cstr(tag))
export const ready = (status = 'I'): Buffer => message('Z', Buffer.from(status))
export const query = (sql: string): Buffer => message('Q', cstr(sql))
