// Owns the one backend that all connections share: its turn-taking lock, and the swap of a connection's private
// state (settings, prepared statements) when the turn passes on. It must never let one connection's state reach another.

import { dataRow, Framer, type Message, query, SYNC } from './pglite-wire.js'

/** PGlite's door: runs protocol bytes and hands out the answer in pieces. */
export type Execute = (bytes: Buffer, onData: (chunk: Uint8Array) => void) => Promise<void>

/** What a connection would have alone on a real server. */
export interface PrivateState {
  /** Settings as name and value; at first the start-up parameters. */
  settings: readonly (readonly [string, string])[]
  /** Texts of SQL-level PREPARE statements. */
  prepared: readonly string[]
  /** Parse messages by statement name; the empty name is the unnamed statement. */
  parses: Map<string, Buffer>
}

export class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
  readonly sqlstate: string

  constructor(sqlstate: string, text: string) {
    super(text)
    this.sqlstate = sqlstate
  }
}

const MAX_ANSWER = 0x3fff_ffff

const SNAPSHOT = `SELECT 's', name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE source = 'session'
UNION ALL SELECT CASE WHEN from_sql THEN 'q' ELSE 'p' END, name, statement FROM pg_catalog.pg_prepared_statements`
const RESET =
  'RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; DEALLOCATE ALL; UNLISTEN *'

const literal = (text: string): string =>
  `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`

/** One PGlite for many connections, one at a time. */
export class SharedBackend {
  readonly #execute: Execute
  readonly #waiting: (() => void)[] = []
  #held = false
  #owner: PrivateState | undefined

  constructor(execute: Execute) {
    this.#execute = execute
  }

  /** Waits for the turn, then puts this connection's state in place of the last one's. First come, first served. */
  async acquire(state: PrivateState): Promise<void> {
    if (this.#held) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#held = true
    if (this.#owner === state) return
    try {
      await this.#swap(state)
    } catch (error) {
      this.release()
      throw error
    }
  }

  /** Ends the turn. The backend must be idle. */
  release(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#held = false
    else next()
  }

  /** The connection is gone: nothing of it is saved. */
  forget(state: PrivateState): void {
    state.parses.clear()
    state.prepared = []
    state.settings = []
  }

  /** Runs bytes of the owner of the turn. */
  run(bytes: Buffer, onData: (chunk: Uint8Array) => void): Promise<void> {
    return this.#execute(bytes, onData)
  }

  /** Runs a simple query of the front's own; rows as text. Throws a DatabaseError. Only within a turn. */
  async ask(text: string): Promise<(string | null)[][]> {
    const messages = await this.#messages(query(text))
    const failed = messages.find(({ type }) => type === 'E')
    if (failed !== undefined) throw databaseError(failed)
    return messages.filter(({ type }) => type === 'D').map(({ payload }) => dataRow(payload))
  }

  async #messages(bytes: Buffer): Promise<Message[]> {
    const framer = new Framer(MAX_ANSWER)
    await this.#execute(bytes, (chunk) => framer.push(Buffer.from(chunk)))
    const messages: Message[] = []
    for (let next = framer.next(false); next !== undefined; next = framer.next(false))
      messages.push(next)
    return messages
  }

  async #swap(state: PrivateState): Promise<void> {
    const last = this.#owner
    this.#owner = undefined
    if (last !== undefined) await this.#save(last)
    await this.ask(RESET)
    const settings = state.settings.map(
      ([name, value]) => `pg_catalog.set_config(${literal(name)}, ${literal(value)}, false)`,
    )
    if (settings.length > 0) await this.ask(`SELECT ${settings.join(', ')}`)
    // A statement whose table is gone cannot come back; using it then fails as an unknown name.
    for (const text of state.prepared) await this.#messages(query(text))
    if (state.parses.size > 0) {
      for (const parse of state.parses.values()) await this.#messages(Buffer.concat([parse, SYNC]))
    }
    this.#owner = state
  }

  async #save(state: PrivateState): Promise<void> {
    const rows = await this.ask(SNAPSHOT)
    const of = (kind: string): [string, string][] =>
      rows.filter((row) => row[0] === kind).map((row) => [row[1] ?? '', row[2] ?? ''])
    state.settings = of('s')
    state.prepared = of('q').map(([, text]) => text)
    const alive = new Set(['', ...of('p').map(([name]) => name)])
    for (const name of state.parses.keys()) if (!alive.has(name)) state.parses.delete(name)
  }
}

function databaseError(failed: Message): DatabaseError {
  const fields = new Map(
    failed.payload
      .toString('utf8')
      .split('\0')
      .map((field) => [field.slice(0, 1), field.slice(1)]),
  )
  return new DatabaseError(fields.get('C') ?? 'XX000', fields.get('M') ?? 'the database failed')
}
