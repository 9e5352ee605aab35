// Owns what a session sees of its own schema changes that are not committed: the catalogue read in its own connection,
// for the open transaction alone. Must never be given to another session, nor vouch for a moment before the last change.

import { VgateError } from '../../core/errors.js'
import type { ServerError } from '../../core/operation.js'
import { ABORTED } from './name-replies.js'
import type { Pipeline } from './pipeline.js'
import type { Catalogue, Row, SqlAnalyzer } from './statement.js'

/** Asks in the session's own connection (`Guards.ask`). `then` is not called where an earlier error skips it all. */
export type AskOwn = (
  queries: readonly string[],
  then: (answer: readonly (readonly Row[])[] | { readonly error: ServerError }) => void,
) => void

interface Seen {
  readonly catalogue: Catalogue
  /** `Pipeline.changes` when it was asked for; none where it turned out to be older. */
  readonly changes: number | undefined
  readonly transaction: number
}

/** The catalogue of one session behind its own schema changes. */
export class OwnCatalogue {
  readonly #pipeline: Pipeline
  readonly #analyzer: SqlAnalyzer
  #seen: Seen | undefined
  /** The last transaction that was found not to tell. */
  #silent: number | undefined
  /** Views whose definitions this transaction has asked for. */
  readonly #views = new Set<number>()
  ask: AskOwn = () => {
    throw new Error('nobody to ask')
  }

  constructor(pipeline: Pipeline, analyzer: SqlAnalyzer) {
    this.#pipeline = pipeline
    this.#analyzer = analyzer
  }

  /** The open transaction has changed the schema: what others see is not what runs here. */
  get needed(): boolean {
    return this.#pipeline.ddlSince !== undefined
  }

  /** What was read last in this transaction. */
  get catalogue(): Catalogue | undefined {
    const { proved } = this.#pipeline
    return this.needed && this.#seen?.transaction === proved.transactions
      ? this.#seen.catalogue
      : undefined
  }

  /** It cannot be told what the next statement will see. In a failed transaction none sees anything. */
  get unseen(): boolean {
    return this.needed && !this.#isCurrent && !this.#idle
  }

  get #isCurrent(): boolean {
    return this.catalogue !== undefined && this.#seen?.changes === this.#pipeline.changes
  }

  /** Nothing runs before the end of the transaction, or of the segment. */
  get #idle(): boolean {
    return this.#pipeline.skipping || this.#pipeline.proved.failed
  }

  /**
   * Reads it, unless it has been read since the last change and `again` is not asked for. `shared` is what everybody
   * sees. Afterwards it may be `unseen` still (`SqlAnalyzer.ownCatalogue`).
   */
  refresh(shared: Catalogue, again: boolean, then: (error?: ServerError) => void): void {
    const { changes, proved } = this.#pipeline
    const transaction = proved.transactions
    if (this.#seen?.transaction !== transaction) this.#views.clear()
    if (this.#idle || this.#silent === transaction || (this.#isCurrent && !again)) return then()
    const { ownQueries, viewQuery } = this.#analyzer
    const views = this.#views.size === 0 ? [] : [viewQuery([...this.#views])]
    this.ask([...ownQueries, ...views], (answer) => {
      if ('error' in answer) return then(answer.error)
      this.#read(then, () => {
        const read = this.#analyzer.ownCatalogue(answer, shared)
        if (read === undefined) {
          this.#silent = transaction
          return
        }
        const definitions = answer[ownQueries.length]
        const whole = definitions && this.#analyzer.withViews(read, definitions)
        this.#seen = { catalogue: whole ?? read, changes, transaction }
      })
    })
  }

  /** Reads definitions of views: of those alone that a statement uses, because it locks what is behind them. */
  define(oids: readonly number[], shared: Catalogue, then: (error?: ServerError) => void): void {
    const seen = this.#seen
    if (seen === undefined || this.#idle) return then(ABORTED)
    for (const oid of oids) this.#views.add(oid)
    this.ask([this.#analyzer.viewQuery(oids)], (answer) => {
      if ('error' in answer) return then(answer.error)
      let changed = false
      this.#read(
        (error) => (changed ? this.refresh(shared, true, then) : then(error)),
        () => {
          const catalogue = this.#analyzer.withViews(seen.catalogue, answer[0] ?? [])
          changed = catalogue === undefined
          if (catalogue !== undefined) this.#seen = { ...seen, catalogue }
        },
      )
    })
  }

  /** Rows of an unexpected form are no catalogue. */
  #read(then: (error?: ServerError) => void, work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!(error instanceof VgateError)) throw error
      return then({ sqlstate: 'XX000', message: error.message })
    }
    then()
  }
}
