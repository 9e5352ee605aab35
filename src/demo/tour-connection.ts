// Owns one person's open connection in the tour: the running `vgate connect`, and an ordinary client on its port.

import type { Duplex } from 'node:stream'
import pg from 'pg'
import { z } from 'zod'
import type { Staying } from './tour-cli.js'

const readyEvent = z.object({
  session: z.string(),
  host: z.string(),
  port: z.number(),
  env: z.object({
    PGHOST: z.string(),
    PGPORT: z.string(),
    PGUSER: z.string(),
    PGPASSWORD: z.string(),
    PGDATABASE: z.string(),
  }),
})

export type ReadyEvent = z.infer<typeof readyEvent>

const QUERY_MS = 30_000

/** What a query came to: its rows, or the error as the server's own would be. */
export interface Answer {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly tag: string
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string }
}

export class TourConnection {
  readonly command: Staying
  readonly ready: ReadyEvent
  /** What the client was told beside its results. */
  readonly notices: string[] = []
  readonly #client: pg.Client

  private constructor(command: Staying, ready: ReadyEvent, client: pg.Client) {
    this.command = command
    this.ready = ready
    this.#client = client
    client.on('error', () => undefined) // a lost connection shows in the next query
    client.on('notice', (notice) => this.notices.push(notice.message ?? ''))
  }

  /** Waits for the command's `ready`, and connects an ordinary client with nothing but its environment. */
  static async open(command: Staying): Promise<TourConnection> {
    const ready = readyEvent.parse(await command.event('ready'))
    const { PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE } = ready.env
    const client = new pg.Client({
      host: PGHOST,
      port: Number(PGPORT),
      user: PGUSER,
      password: PGPASSWORD,
      database: PGDATABASE,
      query_timeout: QUERY_MS,
    })
    const connection = new TourConnection(command, ready, client)
    await client.connect()
    return connection
  }

  /** One query through the gateway. An ErrorResponse is an answer; anything else that fails is thrown. */
  async query(text: string, values?: readonly unknown[]): Promise<Answer> {
    try {
      const result = await (values === undefined
        ? this.#client.query(text)
        : this.#client.query(text, [...values]))
      return { rows: result.rows, tag: `${result.command ?? ''} ${result.rowCount ?? ''}`.trim() }
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error
      return {
        rows: [],
        tag: 'ERROR',
        error: { code: error.code ?? '', message: error.message, hint: error.hint ?? '' },
      }
    }
  }

  /** COPY … TO STDOUT, read by somebody in no hurry. */
  copy(text: string): CopyOut {
    return this.#client.query(new CopyOut(text))
  }

  /** Ends the client, then the command. */
  async close(): Promise<void> {
    await this.#client.end().catch(() => undefined) // it may be lost already
    await this.command.stop()
  }
}

/** Read so much, then rest: about a megabyte a second. */
const SIP_BYTES = 64 * 1024
const REST_MS = 50

/** A COPY … TO STDOUT under way, in the form that the client library takes. */
export class CopyOut implements pg.Submittable {
  readonly #text: string
  #stream: Duplex | undefined
  #hurry = false
  #sip = 0
  #begin: () => void = () => undefined
  #finish: (end: { readonly error?: Error; readonly at: number }) => void = () => undefined
  bytes = 0
  /** The first bytes have come. */
  readonly begun = new Promise<void>((resolve) => {
    this.#begin = resolve
  })
  /** How it ended, and when. */
  readonly ended = new Promise<{ readonly error?: Error; readonly at: number }>((resolve) => {
    this.#finish = resolve
  })

  constructor(text: string) {
    this.#text = text
  }

  /** Reads as fast as it comes from now on. */
  hurry(): void {
    this.#hurry = true
    this.#stream?.resume()
  }

  submit(connection: pg.Connection): void {
    this.#stream = connection.stream
    connection.query(this.#text)
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    this.bytes += chunk.length
    this.#sip += chunk.length
    this.#begin()
    if (this.#hurry || this.#sip < SIP_BYTES) return
    this.#sip = 0
    this.#stream?.pause()
    setTimeout(() => this.#stream?.resume(), REST_MS)
  }

  handleCommandComplete(): void {
    // Its end is ReadyForQuery.
  }

  handleReadyForQuery(): void {
    this.#finish({ at: Date.now() })
  }

  handleError(error: Error): void {
    this.#finish({ error, at: Date.now() })
  }
}
