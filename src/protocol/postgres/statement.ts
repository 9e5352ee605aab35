// Owns the seam between the wire adapter and the SQL analysis: what the adapter must know of a statement.
// The adapter never looks at SQL, the analysis never at bytes.

import type { PreviewQuery, SideQuery } from '../../core/adapter.js'
import type { Operation, Unclassified } from '../../core/operation.js'

/** One row of an answer, as text. */
export type Row = readonly (string | null)[]

/** A column as RowDescription names it, resolved: every base column its value can come from (views followed). */
export interface ColumnOrigin {
  readonly collection: string
  readonly field: string
  readonly vector: boolean
}

/** A snapshot of the database's catalogue, built from side queries. Immutable. */
export interface Catalogue {
  /** Schemas searched for unqualified names when the client sets nothing, resolved (`current_schemas(false)`). */
  readonly defaultSearchPath: readonly string[]
  hasSchema(name: string): boolean
  /** Base columns behind one column of a table or view; undefined where the relation or column is unknown to this snapshot. */
  originsOf(tableOid: number, attribute: number): readonly ColumnOrigin[] | undefined
  /** What is temporary in the session that it is for; undefined where there has never been anything. */
  readonly temporary: readonly { readonly name: string }[] | undefined
  /** True for an OID of a type that holds embeddings. */
  isVectorType(typeOid: number): boolean
  /** Those of these relations that are views whose definitions it lacks. */
  unreadViews(oids: readonly number[]): readonly number[]
}

/** A parameter's value as text, NULL, or not known (not bound yet, or a type the adapter does not decode). */
export type Parameter =
  /** `odd`: its type reads a text in a way of its own, so that the numbers in it may be others. */
  | { readonly known: true; readonly value: string | null; readonly odd?: true }
  /** `norm`: of a vector in binary form, where it is one. */
  | { readonly known: false; readonly norm?: () => number | undefined }

/** A relation that a statement's meaning hangs on. */
export interface UsedRelation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** What changes with its definition. */
  readonly version: string
}

/** What of the catalogue a statement's meaning hangs on. */
export interface CatalogueUses {
  /** Relations that it reaches, each once. */
  readonly relations: readonly UsedRelation[]
  /** Names as the search path resolves them, quoted: OIDs, 0 where nothing has the name. */
  readonly names: Readonly<Record<string, number>>
  /** Where names were looked up. */
  readonly path: readonly string[]
  /** In front of it something temporary may stand. */
  readonly temporary?: true
}

/** What COPY … FROM STDIN says of the rows that will come. Single bytes where PostgreSQL takes single bytes. */
export interface CopyForm {
  readonly format: 'text' | 'csv' | 'binary'
  readonly delimiter: number
  readonly quote: number
  readonly escapeBy: number
  readonly header: boolean
  /** How many columns a row has. */
  readonly columns: number
  /** The column that is the collection's key; absent where there is none, or where not every row will be written. */
  readonly key?: { readonly collection: string; readonly at: number; readonly type: number }
}

/** What the database says where an object that is to be created, if absent, is there: nothing is to run. */
export interface Existing {
  /** The command's tag. */
  readonly tag: string
  /** Of its notice. */
  readonly sqlstate: string
  readonly message: string
  /** What it is where the catalogue may have changed meanwhile, so that it runs. */
  readonly otherwise: Operation | Unclassified
}

export interface Classification {
  readonly operation: Operation | Unclassified
  /** Views whose definitions this snapshot lacks: once it has them, it is to be classified again. */
  readonly unread?: readonly number[]
  /** Absent where nothing but the database's own catalogue is used. */
  readonly uses?: CatalogueUses
  /** What it makes, changes or drops is temporary, so that the schema that others see stays as it is. */
  readonly temporary?: true
  /** Where names are looked up may be another place behind it. */
  readonly movesPath?: true
  /** Of CREATE … IF NOT EXISTS. */
  readonly existing?: Existing
  /** Of COPY … FROM STDIN. */
  readonly copyIn?: CopyForm
  /** Which column of RETURNING names the keys of what was written. */
  readonly returnedKey?: { readonly collection: string; readonly at: number }
  /** Keys written or deleted as far as the statement names them, and the column whose values they are. */
  readonly keys?: Readonly<Record<string, readonly string[]>>
  readonly keyedBy?: Readonly<Record<string, string>>
}

/** What a statement changes about the session, if it succeeds. */
export interface StatementEffects {
  /** Changes the catalogue: reload it, and until the transaction ends allow only more of the kind and its end. */
  readonly ddl: boolean
  /** Runs in no transaction with anything else (VACUUM, CREATE INDEX CONCURRENTLY …). */
  readonly alone?: true
  /** Its names are looked up when it is bound; those of any other when it runs. */
  readonly planned?: true
  /** Runs in an open transaction only (LOCK, DECLARE without WITH HOLD). */
  readonly inside?: true
  /** Sets modes that must come before the first query of its transaction. */
  readonly modes?: true
  /** CREATE … IF NOT EXISTS: what it is only the catalogue of the moment tells. */
  readonly ifAbsent?: true
  /** Name of the prepared statement that it removes; `*` for all. */
  readonly deallocates?: string
  /** Name of the cursor, which is a portal, that it closes; `*` for all. */
  readonly closes?: string
  /** It looks no name up, so that it means the same along any search path. */
  readonly pathless?: true
  /** Runs a procedure, which may commit where no transaction is open. */
  readonly calls?: true
  /** Transaction control. */
  readonly transaction?:
    | 'begin'
    | 'commit'
    | 'rollback'
    | 'savepoint'
    | 'release'
    | 'rollback-to'
    | 'other'
  /** Name of the savepoint that it is about; absent where the server may read it otherwise. */
  readonly savepoint?: string
  readonly copy?: 'in' | 'out'
  /** True when it reads only and changes nothing, whatever the session's state. */
  readonly readOnly: boolean
}

/**
 * What a statement does with an object of the session that SQL and the protocol know by the same name: a prepared
 * statement, or a cursor, which is a portal. What it reaches only that object tells.
 */
export type NamedUse =
  /** Makes it, of `inner`. `source` is the whole statement, nothing reduced. */
  | {
      readonly kind: 'prepare'
      readonly name: string
      readonly inner: ParsedStatement
      readonly source: string
    }
  | {
      readonly kind: 'declare'
      readonly name: string
      readonly inner: ParsedStatement
      readonly source: string
      /** It outlives its transaction. */
      readonly hold: boolean
      readonly binary: boolean
    }
  /** Runs it: EXECUTE, also under EXPLAIN or CREATE TABLE AS. */
  | { readonly kind: 'execute'; readonly name: string }
  | {
      readonly kind: 'fetch'
      readonly name: string
      /** Rows at most; Infinity for ALL. */
      readonly most: number
      /** From where it stands towards the end, and nothing else. */
      readonly forward: boolean
      /** MOVE: no rows come. */
      readonly moves: boolean
    }

export interface ParsedStatement {
  /** This statement's own text, with literal vectors reduced to `vector(n)`, for records and people. */
  readonly text: string
  /** Its literals may be secrets, so that `text` is all that anybody is shown, also under `record: full`. */
  readonly secret?: true
  /** Highest `$n`. */
  readonly parameterCount: number
  readonly effects: StatementEffects
  /** Where it stands in the text, without the semicolon behind it. */
  readonly place?: { readonly from: number; readonly to: number }
  /** True for a single plain SELECT/VALUES/TABLE whose simple-protocol run equals one portal's run. */
  readonly portalReady: boolean
  /** Absent where it names no such object. */
  readonly named?: NamedUse | undefined
  /**
   * Of `execute`: what it is once its name stands for `target`. Undefined where that is no query. Judged by itself
   * such a statement is refused.
   */
  execution?(target: ParsedStatement): ParsedStatement | undefined
  /** Pure; cached by the implementation for a catalogue, search path and absent parameters. */
  classify(
    catalogue: Catalogue,
    searchPath: readonly string[],
    parameters?: readonly Parameter[],
  ): Classification
  /** What would count the rows that it touches, where it is a write of one table. Pure. */
  preview?(
    catalogue: Catalogue,
    searchPath: readonly string[],
    parameters?: readonly Parameter[],
  ): readonly PreviewQuery[]
}

export type ParseOutcome =
  | { readonly ok: true; readonly statements: readonly ParsedStatement[] }
  /** PostgreSQL's own message and position (characters from 1). */
  | {
      readonly ok: false
      readonly message: string
      readonly position: number
      /** As `ParsedStatement.text`, and why without what may not be shown. */
      readonly text: string
      readonly reason: string
    }

export interface SqlAnalyzer {
  /** Loads the parser; once before anything else. */
  prepare(): Promise<void>
  /** Parses with PostgreSQL's grammar. Repeated texts come from a cache keyed by the exact text. */
  parse(text: string): ParseOutcome
  /** A text that was not parsed, as far as anybody may be shown it. */
  shown(text: string): string
  /** For texts above `offloadBytes`: the worker module, and the outcome from what it answered. */
  readonly offloadBytes: number
  readonly offloadEntry: URL
  fromOffload(text: string, answer: unknown): ParseOutcome
  /** Answers `previous` itself, cheaply, where nothing that it was read from has changed since. */
  loadCatalogue(query: SideQuery, previous?: unknown): Promise<Catalogue>
  /** What is asked in a session's own connection to know what it sees. */
  readonly ownQueries: readonly string[]
  /** The snapshot of these answers, and of what the shared one knows; undefined where they cannot be relied on. */
  ownCatalogue(answers: readonly (readonly Row[])[], shared: Catalogue): Catalogue | undefined
  /** The same as a session sees it in which TEMPORARY_QUERY has these answers. */
  withTemporary(catalogue: Catalogue, rows: readonly Row[]): Catalogue
  /** What is asked for the definitions of views, and the snapshot that has them; undefined where they are others by now. */
  viewQuery(oids: readonly number[]): string
  withViews(catalogue: Catalogue, answer: readonly Row[]): Catalogue | undefined
  /** A start-up parameter or setting: true if it may be set by the client at start-up with this value. `search_path` is judged by `resolveSearchPath`. */
  allowsSetting(name: string, value: string): boolean
  /** A search_path value as the client gave it → schema names, or undefined where one is unknown. */
  resolveSearchPath(
    value: string,
    catalogue: Catalogue,
    user: string,
  ): readonly string[] | undefined
}
