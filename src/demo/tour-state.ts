// Owns what the tour's steps hand on to each other: the open connection, the client on it, the session's recording.

import { readdirSync } from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { z } from 'zod'
import type { Staying } from './tour-cli.js'
import type { DemoWorld } from './world.js'

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

/** What a query came to: its rows, or the error as the server's own would be. */
export interface Answer {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly tag: string
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string }
}

export class TourState {
  readonly world: DemoWorld
  connection: Staying | undefined
  #ready: ReadyEvent | undefined
  #client: pg.Client | undefined

  constructor(world: DemoWorld) {
    this.world = world
  }

  get ready(): ReadyEvent {
    if (this.#ready === undefined) throw new Error('nothing is connected yet')
    return this.#ready
  }

  /** Takes the `ready` event and connects an ordinary client with nothing but its environment. */
  async open(event: unknown): Promise<void> {
    this.#ready = readyEvent.parse(event)
    const { PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE } = this.#ready.env
    const client = new pg.Client({
      host: PGHOST,
      port: Number(PGPORT),
      user: PGUSER,
      password: PGPASSWORD,
      database: PGDATABASE,
      query_timeout: 15_000,
    })
    client.on('error', () => undefined) // a lost connection shows in the next query
    await client.connect()
    this.#client = client
  }

  /** One query through the gateway. An ErrorResponse is an answer; anything else that fails is thrown. */
  async query(text: string, values?: readonly unknown[]): Promise<Answer> {
    if (this.#client === undefined) throw new Error('nothing is connected yet')
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

  /** One query past the gateway, with the credential that only it holds: what the tour compares with. */
  async direct(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { port, user, password, name } = this.world.database
    const client = new pg.Client({ host: '127.0.0.1', port, user, password, database: name })
    await client.connect()
    try {
      return (await client.query(text, [...values])).rows
    } finally {
      await client.end()
    }
  }

  /** Ends the client, then the connection. */
  async close(): Promise<void> {
    await this.#client?.end().catch(() => undefined) // it may be lost already
    this.#client = undefined
    await this.connection?.stop()
    this.connection = undefined
  }

  /** The session's recording in the gateway's data. */
  recording(): string {
    const folder = path.join(this.world.folder, 'data')
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    const found = names.find(
      (name) => name.includes('recordings') && path.basename(name) === `${this.ready.session}.vgr`,
    )
    if (found === undefined)
      throw new Error(`no recording of ${this.ready.session} in ${folder}: ${names.join(', ')}`)
    return path.join(folder, found)
  }
}
