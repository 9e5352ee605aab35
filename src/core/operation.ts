// Owns the operation model that every dialect is classified into and policy decides on.

export type Access = 'none' | 'read' | 'write' | 'admin'

export const RISKS = [
  'bulk-delete',
  'bulk-update',
  'bulk-write',
  'overwrite',
  'bulk-export',
  'drop',
  'index-rebuild',
  'schema',
  'server-side',
] as const
export type Risk = (typeof RISKS)[number]

/** How much of a collection a write touches. `ids` counts keys that are named by constants or parameters. */
export type Effect =
  | { readonly kind: 'none' }
  | { readonly kind: 'ids'; readonly count: number }
  | { readonly kind: 'rows'; readonly count: number } // an insert of a known number of rows
  | { readonly kind: 'filter' }
  | { readonly kind: 'all' }
  | { readonly kind: 'unknown'; readonly reason: string }

/** The database's own catalogue as a collection. */
export const CATALOG = '$catalog'

/** What belongs to one session and ends with it: `$temp.name`. */
export const TEMPORARY = '$temp'

/** True for the name of a collection that is a session's own. */
export function isTemporary(collection: string): boolean {
  return collection === TEMPORARY || collection.startsWith(`${TEMPORARY}.`)
}

/** One collection that an operation reaches. `docs` stands for `public.docs` in Postgres. */
export interface CollectionUse {
  readonly collection: string
  readonly access: Access
  /** Action name of the operation tables for this collection, e.g. `search`, `delete_by_filter`. */
  readonly action: string
  readonly effect: Effect
}

/**
 * How an operation uses a field.
 * - `output`: leaves as a plain column or member, so that a mask can be applied on its way.
 * - `score`: leaves as a bare distance (or its negation, or 1 − distance) to a constant.
 * - `whole`: leaves inside an expression, an aggregate or a whole row that cannot fail whatever the field holds, so that a
 *   mask can put a constant in its place.
 * - `derived`: leaves inside an expression, an aggregate or a whole row.
 * - `copied`: is read into something that is written.
 * - `equality`: is compared for equality with one constant.
 * - `nearest`: orders the result by distance to a constant, with a limit.
 * - `cutoff`: keeps what is nearer, or further, than a constant distance to a constant; see `FieldUse.cutoff`.
 * - `predicate`, `order`, `group`, `join`: steers which rows come, or in what order.
 * - `written`: gets a value from the caller.
 * - `exists`: one value is written where a unique or a foreign key tells whether the field holds it.
 */
export type FieldHow =
  | 'output'
  | 'score'
  | 'whole'
  | 'derived'
  | 'copied'
  | 'equality'
  | 'nearest'
  | 'cutoff'
  | 'predicate'
  | 'order'
  | 'group'
  | 'join'
  | 'written'
  | 'exists'

export interface FieldUse {
  readonly collection: string
  /** Column, or path into JSON, payload, metadata or properties. */
  readonly field: string
  readonly how: FieldHow
  /** The field holds an embedding. */
  readonly vector: boolean
  /** Of a `cutoff`. */
  readonly cutoff?: Cutoff
}

/** Where a condition cuts distances off: on the scale on which they are rounded it is `at`, as it is written `at * unit`. */
export interface Cutoff {
  /** `pending`: a parameter that is not bound yet; absent: not known. */
  readonly at?: number | 'pending'
  readonly unit?: number
  /** What is written counts from 1 down. */
  readonly complement?: true
}

/** Where a column of the result comes from. Parallel to the result's columns where the protocol is positional. */
export interface Output {
  readonly name: string
  /** `column`: a plain field; `score`: a bare distance of that field to a constant; `whole`: what cannot fail, made of fields; `derived`: anything else. */
  readonly kind: 'column' | 'score' | 'whole' | 'derived'
  /** Only for kind `score`. `other`: a distance that tells too much however it is rounded. */
  readonly scoreOf?: 'cosine' | 'l2' | 'l1' | 'inner' | 'other'
  /** Of an inner product: the norm of the vector that was asked with. Absent where it is not known. */
  readonly norm?: number
  /** It is 1 − distance. */
  readonly complement?: true
  /** Fields that the value depends on; exactly one for `column`. Set operations may name several. */
  readonly sources: readonly {
    readonly collection: string
    readonly field: string
    readonly vector: boolean
  }[]
}

/** What comes back, as far as the request proves it. */
export interface Returns {
  /** The provable maximum of rows or points; `unbounded` where nothing proves one. */
  readonly rows: number | 'unbounded'
  /** Of `rows`, those that earlier requests were given: a cursor that is read in pieces is one read. */
  readonly earlier?: number
  /** How many rows are gathered into single values (`json_agg`, `ARRAY(…)`), where any are. */
  readonly gathers?: number | 'unbounded'
  readonly outputs: readonly Output[]
}

/** One classified action. Built by a protocol room, judged by policy, written to the recording. */
export interface Operation {
  /** Action name of the operation tables, e.g. `search`, `scroll`, `delete_by_filter`, `connect`. */
  readonly name: string
  /** The highest access among its collections. */
  readonly access: Access
  readonly collections: readonly CollectionUse[]
  readonly fields: readonly FieldUse[]
  readonly returns: Returns
  /** Risks that follow from the form alone (drop, index-rebuild, schema, server-side, bulk-export of COPY). Policy adds those that depend on thresholds. */
  readonly risks: readonly Risk[]
  /** Functions called that are neither built in nor of a listed extension: `schema.name(type,…)`; a role must name them. */
  readonly functions: readonly string[]
  /**
   * Advisory locks that it takes, as functions: the operation is then one of administering, unless a role names all of
   * them.
   */
  readonly locks?: readonly string[]
  /** Each different distance to a vector of the caller's choice, by the embedding that it is of. */
  readonly probes?: readonly { readonly collection: string; readonly field: string }[]
  /** The request as a person reads it. */
  readonly text: string
}

/** An error in the database's own words. `position` counts characters from 1. */
export interface ServerError {
  readonly sqlstate: string
  readonly message: string
  readonly position?: number
}

/** A request that was not understood: always refused. */
export interface Unclassified {
  readonly reason: string
  readonly hint?: string
  readonly text: string
  /** Not a matter of policy: the database itself would answer with this, and so does the gateway. */
  readonly serverError?: ServerError
}

/** True for what was understood. */
export function isOperation(operation: Operation | Unclassified): operation is Operation {
  return 'access' in operation
}
