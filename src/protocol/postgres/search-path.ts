// Owns where a session looks names up, and what is temporary there: what may have changed that, and the question to the
// session itself before the next statement is judged (ADR 0027, 0028). Must never tell what something under way may have
// changed.

import { TEMPORARY_QUERY } from './catalogue-queries.js'
import { GUARD_PREFIX } from './guard-text.js'
import type { Pipeline } from './pipeline.js'
import type { Row, StatementEffects } from './statement.js'
import { cstr, type ErrorReply, i16, i32, message } from './wire.js'

const NAME = cstr(`${GUARD_PREFIX}path`)
/** Makes nothing that stays, whatever was left under the name. */
const question = (sql: string): Buffer =>
  Buffer.concat([
    message('C', 'S', NAME),
    message('P', NAME, cstr(sql), i16(0)),
    message('B', NAME, NAME, i16(0), i16(0), i16(0)),
    message('E', NAME, i32(0)),
    message('C', 'P', NAME),
    message('C', 'S', NAME),
  ])
/** The path, and whether the session has ever had anything temporary. */
const ASK = question(
  'SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(false)), pg_catalog.pg_my_temp_schema()',
)
const ASK_TEMPORARY = question(
  `/* vgate: what is temporary in this session? */ ${TEMPORARY_QUERY} ORDER BY c.oid`,
)
const REPLIES = '312*C33'

/** The search path of one session, as the session itself says it. */
export class SearchPath {
  readonly #pipeline: Pipeline
  #path: readonly string[] | undefined
  #temporary: readonly Row[] | undefined
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

  /** Answers to TEMPORARY_QUERY, the same as long as they say the same; undefined where there is no schema for any. */
  get temporary(): readonly Row[] | undefined {
    return this.#temporary
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

  /** A Sync is being sent: it ends a transaction that nobody began, and an error may have taken it back. */
  closing(): void {
    const { segment, proved } = this.#pipeline
    if (this.#touchedIn === segment && !proved.enclosed) this.doubt()
  }

  /** ReadyForQuery says that no transaction is open. */
  ended(): void {
    if (this.#touchedIn === undefined) return
    this.#unsure = true
    if (this.#touchedIn <= this.#pipeline.finished) this.#touchedIn = undefined
  }

  /** Asks the session. Everything that was sent is answered by now. */
  ask(then: (error?: ErrorReply) => void): void {
    const finish = (error?: ErrorReply): void => {
      this.waiting = false
      then(error)
    }
    this.waiting = true
    this.#unsure = false
    this.#put(ASK, finish, ([row]) => {
      const [path, schema] = row ?? []
      this.#path = namesIn(path)
      if (schema !== undefined && schema !== null && schema !== '0')
        return this.#put(ASK_TEMPORARY, finish, (rows) => {
          if (JSON.stringify(rows) !== JSON.stringify(this.#temporary)) this.#temporary = rows
          finish()
        })
      this.#temporary = undefined
      finish()
    })
  }

  /** `finish` is called where there is no answer. */
  #put(
    sql: Buffer,
    finish: (error?: ErrorReply) => void,
    answered: (rows: readonly Row[]) => void,
  ): void {
    const pipeline = this.#pipeline
    const values: (Buffer | null)[][] = []
    const between = !pipeline.unitOpen
    const take = (): void =>
      answered(values.map((row) => row.map((value) => value?.toString() ?? null)))
    pipeline.send(sql, {
      kind: 'guard',
      replies: REPLIES,
      values,
      done: () => {
        if (between) pipeline.recovered = take
        else take()
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

function namesIn(value: string | null | undefined): readonly string[] {
  const names: unknown = JSON.parse(value ?? '[]')
  return Array.isArray(names) ? names.map(String) : []
}
