// Owns what is known of an expression's value: which base columns it depends on, and in what form it stands.

import type { FieldHow } from '../../../core/operation.js'
import type { ColumnOrigin } from '../statement.js'

export type Metric = 'cosine' | 'l2' | 'l1' | 'inner' | 'other'

/** A named column of a range item or of a query's output. */
export interface Column {
  readonly name: string
  readonly value: Value
}

/** What an expression yields. */
export interface Value {
  /**
   * constant: a literal or parameter (cast to a built-in type or not); column: a plain column; score: a bare
   * distance of an embedding column to a constant; whole: made of its sources by what cannot fail, whatever they hold
   * (`total.ts`); derived: anything else.
   */
  readonly kind: 'constant' | 'column' | 'score' | 'whole' | 'derived'
  readonly sources: readonly ColumnOrigin[]
  /** An embedding column, at most cast to another embedding type. */
  readonly embedding?: boolean
  /** An embedding made of one: a part of it, its signs, or itself at length 1. */
  readonly reshaped?: boolean
  /** Rows of several tables, or of a table and constants, stand in one column. */
  readonly mixed?: boolean
  readonly scoreOf?: Metric
  /** A score that was negated or subtracted from 1 already. */
  readonly turned?: 'negated' | 'complement' | 'mixed'
  /** Of a constant: its norm as a vector. Of a score: that of the vector asked with. Looks at parameters. */
  readonly norm?: () => number | undefined
  /** What tells a constant from another, without looking at parameters; absent where nothing does. */
  readonly identity?: string
  /** The columns of a composite value. */
  readonly row?: readonly Column[]
  /** A column of a base table as it stands: the range item and the column's name. */
  readonly base?: { readonly item: object; readonly column: string }
  /** A constant's text; null is SQL NULL; undefined is not known. */
  readonly literal?: string | null | undefined
  /** Elements of a constant array or list of known length. */
  readonly elements?: readonly (string | null | undefined)[] | undefined
  /** A parameter that is not bound yet (the statement is being prepared). */
  readonly pending?: boolean
  /** OID of its type, where that is known. */
  readonly type?: number | undefined
  /** Of what is whole: how many times as long as the values in it it can be; of a constant: as how many it counts. */
  readonly growth?: number | undefined
  /** Columns of one item's row together, as they stand (`total.ts`): the item. */
  readonly standing?: object | undefined
  /** A constant, or one of several, that may be compared with a key and still names at most one. */
  readonly exact?: boolean
}

export const NOTHING: Value = { kind: 'derived', sources: [] }

/** A value computed from others: all their sources. */
export function derived(...parts: readonly Value[]): Value {
  const sources = unite(parts.map((part) => allSources(part)))
  return sources.length === 0 ? NOTHING : { kind: 'derived', sources }
}

/** The sources of a value and of the columns it is composed of. */
export function allSources(value: Value): readonly ColumnOrigin[] {
  if (value.row === undefined) return value.sources
  return unite([value.sources, ...value.row.map((column) => allSources(column.value))])
}

/** Joins lists of sources; each one once. */
export function unite(lists: readonly (readonly ColumnOrigin[])[]): readonly ColumnOrigin[] {
  const filled = lists.filter((each) => each.length > 0)
  if (filled.length <= 1) return filled[0] ?? []
  const seen = new Map<string, ColumnOrigin>()
  for (const sources of filled) {
    for (const source of sources) seen.set(`${source.collection}\u0000${source.field}`, source)
  }
  return [...seen.values()]
}

/** The value of a position where one of two queries' outputs stands (set operations, merged join columns). */
export function merge(left: Value, right: Value): Value {
  const sources = unite([allSources(left), allSources(right)])
  if (left.exact === true && right.exact === true && sources.length === 0)
    return { ...NOTHING, exact: true }
  if (left.kind === 'constant' && right.kind === 'constant') return NOTHING
  const plain = (value: Value): boolean =>
    (value.kind === 'column' && value.row === undefined) || value.kind === 'constant'
  const type = left.type === right.type ? left.type : undefined
  if (plain(left) && plain(right)) {
    const apart = left.sources.length < sources.length || right.sources.length < sources.length
    return {
      kind: 'column',
      sources,
      embedding: left.embedding === true && right.embedding === true,
      type,
      growth: Math.max(growthOf(left), growthOf(right)),
      ...(apart || left.mixed === true || right.mixed === true ? { mixed: true } : {}),
    }
  }
  if ([left, right].every((each) => plain(each) || each.kind === 'whole'))
    return { kind: 'whole', sources, type, growth: Math.max(growthOf(left), growthOf(right)) }
  if (
    left.kind === 'score' &&
    right.kind === 'score' &&
    left.scoreOf === right.scoreOf &&
    left.scoreOf !== undefined
  ) {
    return { kind: 'score', sources, scoreOf: left.scoreOf, turned: 'mixed', mixed: true }
  }
  return { kind: 'derived', sources }
}

/** How a value counts when it leaves as an output. */
export function leaving(value: Value): FieldHow {
  if (value.row !== undefined) return isSound(value) ? 'whole' : 'derived'
  if (value.kind === 'column') return 'output'
  return value.kind === 'score' || value.kind === 'whole' ? value.kind : 'derived'
}

/** True for what holds values of fields only as they stand, or as what cannot fail made of them. */
export function isSound(value: Value): boolean {
  if (value.row !== undefined)
    return value.sources.length === 0 && value.row.every((column) => isSound(column.value))
  // Without a source it may be of any length: repeat('x', 1e9).
  return value.kind !== 'derived' && value.kind !== 'score'
}

/** A parameter can be as long as a message. */
export const LONG_CONSTANT = 128

/** How many times as long as the fields in it a value can be. */
export function growthOf(value: Value): number {
  if (value.row !== undefined)
    return value.row.reduce((sum, column) => sum + growthOf(column.value), 0)
  return value.growth ?? (value.kind === 'constant' ? LONG_CONSTANT : 1)
}

/** What a view's own column says of its embeddings. */
export function throughView(value: Value | undefined): Pick<Value, 'mixed' | 'reshaped'> {
  const { mixed, reshaped, embedding } = value ?? {}
  return {
    ...(mixed === true ? { mixed } : {}),
    // What a view computes of an embedding may be anything.
    ...(reshaped === true || (value?.kind === 'derived' && embedding !== true)
      ? { reshaped: true }
      : {}),
  }
}
