// Owns where a session looks names up: what may have changed that, and the question to the session itself before the
// next statement is judged (ADR 0027). Must never tell a path that something under way may have changed.

import { GUARD_PREFIX } from './guard-text.js'
import type { Pipeline } from './pipeline.js'
import type { StatementEffects } from './statement.js'
import { cstr, type ErrorReply, i16, i32, message } from './wire.js'

const NAME = cstr(`${GUARD_PREFIX}path`)
/** Makes nothing that stays, whatever was left under the name. */
const ASK = Buffer.concat([
  message('C', 'S', NAME),
  message(
    'P',
    NAME,
    cstr('SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(false))'),
    i16(0),
  ),
  message('B', NAME, NAME, i16(0), i16(0), i16(0)),
  message('E', NAME, i32(0)),
  message('C', 'P', NAME),
  message('C', 'S', NAME),
])
const REPLIES = '312DC33'

/** The search path of one session, as the session itself says it. */
export class SearchPath {
  readonly #pipeline: Pipeline
  #path: readonly string[] | undefined
  #unsure = false
  /** The last segment in which something ran that may have changed it, of a transaction that is not over. */
  #touchedIn: number | undefined
  /** The answer is awaited before anything else is taken. */
  waiting = false

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline
  }

  /** Schemas by name; undefined where the session has what the catalogue's own connection has. */
  get schemas(): readonly string[] | undefined {
    return this.#path
  }

  /** As the session's start told. */
  begin(path: readonly string[] | undefined): void {
    this.#path = path
  }

  /** It must be asked for before a name is judged. In a failed transaction nothing looks a name up. */
  get unsure(): boolean {
    return this.#unsure && !this.#pipeline.proved.failed
  }

  /** True where the next message has to wait: what was sent may change the path. */
  get unsettled(): boolean {
    return this.unsure && !this.#pipeline.idle
  }

  /** The end of the open transaction may make it another one. */
  get touched(): boolean {
    return this.#touchedIn !== undefined || this.#unsure
  }

  /** Others, or code of the database, may have changed it. */
  doubt(): void {
    this.#unsure = true
    // Definitions that the session has told were written for the path of that moment.
    this.#pipeline.changes += 1
  }

  /** Something that may change it is being sent. */
  touch(): void {
    this.doubt()
    this.#touchedIn = this.#pipeline.segment
  }

  /** A statement is being sent: the end of a transaction, or of a part of it, may take a change back. */
  passing(effects: StatementEffects): void {
    if (this.touched && takesBack(effects)) this.doubt()
  }

  /** ReadyForQuery says that no transaction is open. */
  ended(): void {
    if (this.#touchedIn === undefined) return
    this.#unsure = true
    if (this.#touchedIn <= this.#pipeline.finished) this.#touchedIn = undefined
  }

  /** Asks the session. Everything that was sent is answered by now. */
  ask(then: (error?: ErrorReply) => void): void {
    const pipeline = this.#pipeline
    const values: (Buffer | null)[][] = []
    const between = !pipeline.unitOpen
    const finish = (error?: ErrorReply): void => {
      this.waiting = false
      then(error)
    }
    this.waiting = true
    this.#unsure = false
    pipeline.send(ASK, {
      kind: 'guard',
      replies: REPLIES,
      values,
      done: () => {
        this.#path = namesIn(values[0]?.[0])
        if (between) pipeline.recovered = finish
        else finish()
      },
      failed: (error) => {
        this.#unsure = true
        pipeline.recover(error, () => finish({ severity: 'ERROR', ...error }))
        return true
      },
      skipped: () => {
        this.#unsure = true
        finish()
      },
    })
    // Between the client's units a Sync of ours ends nothing; inside one it would end the client's transaction.
    if (between) return pipeline.syncOwn()
    pipeline.ledIn = pipeline.segment
    pipeline.flushUpstream()
  }
}

/** A schema that the server makes for a session, or for what it keeps apart. */
export function isOfSession(schema: string): boolean {
  return /^pg_(?:temp|toast)/.test(schema)
}

/** Whether it may take back what ran before it; a savepoint and its release leave everything as it is. */
export function takesBack({ transaction }: StatementEffects): boolean {
  return transaction !== undefined && !['begin', 'savepoint', 'release'].includes(transaction)
}

function namesIn(value: Buffer | null | undefined): readonly string[] {
  const names: unknown = JSON.parse(value?.toString('utf8') ?? '[]')
  return Array.isArray(names) ? names.map(String) : []
}
