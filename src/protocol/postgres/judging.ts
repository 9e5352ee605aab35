// Owns the way from a text to a ruling: parse (off the event loop where it is long), a fresh catalogue,
// classification, the host's judgement. One question at a time. Must never forward anything.

import type {
  AdapterHost,
  Answer,
  JudgeRequest,
  Question,
  Refusal,
  Ruling,
} from '../../core/adapter.js'
import { VgateError } from '../../core/errors.js'
import { isOperation, type ServerError, type Unclassified } from '../../core/operation.js'
import { whereItRuns } from './after-change.js'
import { ABORTED } from './name-replies.js'
import { OwnCatalogue } from './own-catalogue.js'
import type { Pipeline } from './pipeline.js'
import type { Run } from './run.js'
import { isOfSession } from './search-path.js'
import type {
  Catalogue,
  Classification,
  Parameter,
  ParsedStatement,
  ParseOutcome,
  Row,
  SqlAnalyzer,
} from './statement.js'
import { unclassified } from './unclassified.js'
import type { ErrorReply } from './wire.js'

/** A catalogue older than this is loaded again before a statement is judged, where nothing is open. */
export const CATALOGUE_MAX_AGE_MS = 10_000
export const CATALOGUE_KEY = 'catalogue'
/** Rounds in which a statement's views are read, those behind others later. */
const VIEW_ROUNDS = 50
/** How the analysis starts the reason of a statement that names what the catalogue does not know. */
const UNKNOWN_NAME = /^unknown (relation|column|schema)/

/** Why a catalogue could not be read: the gateway's own error, or the database's in the session's own connection. */
type Trouble = VgateError | ServerError

/** Of names that the database does not have. */
const NAMELESS: ReadonlySet<string> = new Set(['42P01', '42703'])

/** Why no name can be judged along this path. */
function pathTrouble(
  path: readonly string[],
  catalogue: Catalogue,
): { readonly reason: string; readonly hint: string } | undefined {
  const hint = 'SET search_path to schemas that exist, or RESET it'
  if (path.indexOf('pg_catalog') > 0)
    return { reason: 'the search_path of this session has pg_catalog behind other schemas', hint }
  const unknown = path.find((name) => isOfSession(name) || !catalogue.hasSchema(name))
  return unknown === undefined
    ? undefined
    : { reason: `unknown schema "${unknown}" in the search_path of this session`, hint }
}

/** What was judged, without how it is defined. */
const meaning = (found: readonly Classification[]): string =>
  JSON.stringify(found.map(({ operation, keys }) => [operation, keys]))

/** Asks one thing at a time and remembers what to do with the answer. */
export class Judging {
  readonly #host: AdapterHost
  readonly #analyzer: SqlAnalyzer
  readonly #pipeline: Pipeline
  readonly #rulings = new Map<number, (ruling: Ruling) => void>()
  readonly #answers = new Map<number, (answer: Answer) => void>()
  #lastId = 0
  /** What everybody sees. */
  #shared: Catalogue
  /** With what is temporary in this session. */
  #with:
    | { readonly base: Catalogue; readonly rows: readonly Row[]; readonly found: Catalogue }
    | undefined
  readonly own: OwnCatalogue

  constructor(
    host: AdapterHost,
    analyzer: SqlAnalyzer,
    pipeline: Pipeline,
    start: {
      readonly catalogue: Catalogue
      readonly searchPath: readonly string[] | undefined
      readonly lastId: number
    },
  ) {
    this.#host = host
    this.#analyzer = analyzer
    this.#pipeline = pipeline
    this.#shared = start.catalogue
    this.own = new OwnCatalogue(pipeline, analyzer)
    pipeline.path.begin(start.searchPath)
    this.#lastId = start.lastId
  }

  /** What is judged by: where the open transaction has changed the schema, what it sees of that. */
  get catalogue(): Catalogue {
    const base = this.own.catalogue ?? this.#shared
    const rows = this.#pipeline.path.temporary
    if (rows === undefined) return base
    if (this.#with?.base !== base || this.#with.rows !== rows)
      this.#with = { base, rows, found: this.#analyzer.withTemporary(base, rows) }
    return this.#with.found
  }

  get waiting(): boolean {
    return this.#rulings.size > 0 || this.#answers.size > 0 || this.#pipeline.path.waiting
  }

  ruled(id: number, ruling: Ruling): void {
    const then = this.#rulings.get(id)
    if (this.#rulings.delete(id)) then?.(ruling)
  }

  answered(id: number, answer: Answer): void {
    const then = this.#answers.get(id)
    if (this.#answers.delete(id)) then?.(answer)
  }

  /** The reply that a refusal becomes. */
  reply({ serverError, sqlstate, message, rule, hint }: Refusal): ErrorReply {
    if (serverError === undefined)
      return { severity: 'ERROR', sqlstate, message, detail: `rule: ${rule}`, hint }
    // In a failed transaction the database looks for no name.
    if (NAMELESS.has(serverError.sqlstate) && this.#pipeline.proved.failed) return ABORTED
    return { severity: 'ERROR', ...serverError }
  }

  /** Everything that was asked is forgotten (the connection is over). */
  forget(): void {
    this.#rulings.clear()
    this.#answers.clear()
  }

  judge(request: JudgeRequest, then: (ruling: Ruling, id: number) => void): void {
    this.#lastId += 1
    const id = this.#lastId
    this.#rulings.set(id, (ruling) => then(ruling, id))
    this.#host.judge(id, request)
  }

  /** A read reached a limit that a second person may lift: opens a request. Answers what to tell the caller. */
  limit(run: Run, then: (told: string) => void): void {
    this.#ask({ kind: 'limit', request: run.request, index: run.index }, (answer) =>
      then(
        answer.ok && typeof answer.value === 'string'
          ? answer.value
          : 'no request could be opened; run it again to try once more',
      ),
    )
  }

  /** The reply that a refusal of these becomes: a failed transaction looks at nothing but its end. */
  replyTo(refusal: Refusal, statements: readonly ParsedStatement[]): ErrorReply {
    const ends = statements.some(({ effects }) => effects.transaction !== undefined)
    // What has failed it, in the server's own words, is told all the same.
    const { sqlstate = '42' } = refusal.serverError ?? {}
    const unseen = this.#pipeline.proved.failed && !ends && sqlstate.startsWith('42')
    return unseen ? ABORTED : this.reply(refusal)
  }

  /** The path in which unqualified names are looked up. */
  get path(): readonly string[] {
    return this.#pipeline.path.schemas ?? this.catalogue.defaultSearchPath
  }

  /** One name may be found in more than one schema. */
  get manyPlaces(): boolean {
    return this.path.length > 1 || this.catalogue.temporary !== undefined
  }

  #ask(question: Question, then: (answer: Answer) => void): void {
    this.#lastId += 1
    this.#answers.set(this.#lastId, then)
    this.#host.ask(this.#lastId, question)
  }

  /** Parses; a parser that breaks denies this text alone. */
  parse(text: string, then: (outcome: ParseOutcome | Unclassified) => void): void {
    const guarded = (parse: () => ParseOutcome): ParseOutcome | Unclassified => {
      try {
        return parse()
      } catch {
        return unclassified(this.#analyzer.shown(text), 'the statement could not be analysed')
      }
    }
    if (Buffer.byteLength(text) <= this.#analyzer.offloadBytes) {
      then(guarded(() => this.#analyzer.parse(text)))
      return
    }
    this.#ask({ kind: 'offload', entry: this.#analyzer.offloadEntry, input: text }, (answer) => {
      if (!answer.ok)
        return then(
          unclassified(
            this.#analyzer.shown(text),
            `the statement could not be analysed: ${answer.error.message}`,
          ),
        )
      const { value } = answer
      then(guarded(() => this.#analyzer.fromOffload(text, value)))
    })
  }

  #load(maxAgeMs: number, then: (error?: VgateError) => void): void {
    const load: Question = {
      kind: 'load',
      key: CATALOGUE_KEY,
      maxAgeMs,
      load: (query, previous) => this.#analyzer.loadCatalogue(query, previous),
    }
    this.#ask(load, (answer) => {
      if (!answer.ok) return then(answer.error)
      // What `load` above answered, for this connection or another one of the same target.
      const shared = answer.value as Catalogue
      // With other schemas, or rights on them, the same setting is another path.
      if (shared !== this.#shared && this.#pipeline.path.schemas !== undefined)
        this.#pipeline.path.doubt()
      this.#shared = shared
      this.#pipeline.catalogueStale = false
      then()
    })
  }

  /** Reads the catalogue from now on. `then` is told whether it is the one that was judged with. */
  reload(then: (same: boolean) => void): void {
    if (this.own.needed) return this.own.refresh(this.#shared, true, () => then(false))
    const before = this.#shared
    this.#load(0, (error) => then(error === undefined && this.#shared === before))
  }

  #fresh(statements: readonly ParsedStatement[], then: (error?: Trouble) => void): void {
    // Whether something is there is asked of the database as it is now.
    const asks = statements.some(({ effects }) => effects.ifAbsent === true)
    if (this.own.needed) {
      // What begins or ends a transaction, or a part of one, names nothing.
      const controls = statements.every(({ effects }) => effects.transaction !== undefined)
      return controls ? then() : this.own.refresh(this.#shared, asks, then)
    }
    if (asks) return this.#load(0, then)
    // Inside a transaction a side query could wait for locks of this very connection.
    if (!this.#pipeline.resting) {
      then()
      return
    }
    this.#load(this.#pipeline.catalogueStale ? 0 : CATALOGUE_MAX_AGE_MS, then)
  }

  /** Against the catalogue at hand. */
  classifyNow(
    statements: readonly ParsedStatement[],
    parameters: readonly Parameter[] | undefined,
  ): Classification[] {
    const { catalogue, path, own } = this
    const trouble = pathTrouble(path, catalogue)
    const found = statements.map((statement) => {
      try {
        if (trouble !== undefined && statement.effects.pathless !== true)
          return { operation: unclassified(statement.text, trouble.reason, trouble.hint) }
        return statement.classify(catalogue, path, parameters)
      } catch {
        return { operation: unclassified(statement.text, 'the statement could not be analysed') }
      }
    })
    const standing = own.unseen ? 'unseen' : own.needed ? 'seen' : 'unchanged'
    const several = catalogue.temporary === undefined ? path : ['pg_temp', ...path]
    return whereItRuns(statements, found, { standing, path: several })
  }

  /** Whether these statements are classified now as they were before a wait; then what they use is proved again. */
  stillMeans(
    statements: readonly ParsedStatement[],
    parameters: readonly Parameter[] | undefined,
    before: readonly Classification[],
    prove: (now: readonly Classification[], then: (proved: boolean) => void) => void,
  ): Promise<boolean> {
    // As in `#fresh`: what is open would be waited for.
    if (this.#pipeline.inTransaction) return Promise.resolve(true)
    return new Promise((resolve) => {
      this.#load(0, (failed) => {
        if (failed !== undefined) return resolve(false)
        this.#settlePath(statements, (error) => {
          if (error !== undefined) return resolve(false)
          const now = this.classifyNow(statements, parameters)
          if (meaning(now) === meaning(before)) prove(now, resolve)
          else resolve(false)
        })
      })
    })
  }

  /** Classifies against a catalogue that is fresh where that can be had; one more load where a relation is unknown. */
  classify(
    statements: readonly ParsedStatement[],
    parameters: readonly Parameter[] | undefined,
    then: (classifications: readonly Classification[]) => void,
  ): void {
    const failed = (error: Trouble): void => {
      const why = `the catalogue could not be loaded: ${error.message}`
      const answer = error instanceof VgateError ? undefined : error
      refused((text) => unclassified(text, why, 'try again', answer))
    }
    const refused = (operation: (text: string) => Unclassified): void =>
      then(statements.map(({ text }) => ({ operation: operation(text) })))
    const classified = (error: Trouble | undefined, next: typeof then): void => {
      if (error !== undefined) return failed(error)
      this.#settlePath(statements, (lost) => {
        if (lost !== undefined) return refused((text) => unclassified(text, lost.message, '', lost))
        this.#withViews(statements, parameters, VIEW_ROUNDS, next, failed)
      })
    }
    this.#fresh(statements, (error) =>
      classified(error, (first) => {
        const unknown = first.some(
          ({ operation }) => !isOperation(operation) && UNKNOWN_NAME.test(operation.reason),
        )
        const again = (trouble?: Trouble): void => classified(trouble, then)
        if (unknown && this.own.needed) this.own.refresh(this.#shared, true, again)
        else if (unknown && this.#pipeline.resting) this.#load(0, again)
        else then(first)
      }),
    )
  }

  /** Asks the session where it looks names up, where that is not known and one of these looks one up. */
  #settlePath(
    statements: readonly ParsedStatement[],
    then: (error: ErrorReply | undefined) => void,
  ): void {
    const { path, skipping } = this.#pipeline
    const needed =
      path.unsure && !skipping && statements.some(({ effects }) => effects.pathless !== true)
    if (needed) path.ask(then)
    else then(undefined)
  }

  /** Behind a schema change of its own, definitions of views are read as statements use them. */
  #withViews(
    statements: readonly ParsedStatement[],
    parameters: readonly Parameter[] | undefined,
    rounds: number,
    then: (classifications: readonly Classification[]) => void,
    failed: (error: Trouble) => void,
  ): void {
    const found = this.classifyNow(statements, parameters)
    const unread = found.flatMap((one) => one.unread ?? [])
    if (unread.length === 0 || rounds === 0 || this.own.catalogue === undefined) return then(found)
    this.own.define(unread, this.#shared, (error) => {
      if (error !== undefined) failed(error)
      else this.#withViews(statements, parameters, rounds - 1, then, failed)
    })
  }
}
