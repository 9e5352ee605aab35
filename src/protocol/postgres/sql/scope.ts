// Owns names inside a query: range items, their columns, common table expressions, and how a column reference
// finds its column (PostgreSQL: transformColumnRef). Where PostgreSQL could find two things, both count.

import type { Relation } from '../catalogue.js'
import { NotUnderstood } from './tree.js'
import { type Column, derived, NOTHING, type Value } from './value.js'

/** One entry of FROM that can be named. */
export interface Item {
  readonly alias: string
  /** Schema of a relation that has no alias, so that `schema.table.column` finds it. */
  readonly schema?: string
  readonly columns: readonly Column[]
  readonly relation?: Relation
  readonly only?: boolean
  /** Identity of a base table's columns in this item; absent where its keys prove nothing. */
  readonly mark?: object
  /** Columns are not all known: any other name is this value. */
  readonly rest?: Value
  /** The most rows it can have, before conditions. */
  readonly rows: number
}

/** What one element of FROM offers: nameable items, and the columns found without a qualifier, in order. */
export interface Range {
  readonly items: readonly Item[]
  readonly columns: readonly Column[]
  /** The most rows that it can have given constants bound to keys. */
  readonly rows: (bound: (item: Item) => number) => number
}

export interface CommonTable {
  readonly name: string
  columns: () => readonly Column[]
  rows: () => number
}

/** Tables of one FROM; PostgreSQL would plan more for a long time. */
const MAX_ITEMS = 500
/** Columns that one FROM offers. */
const MAX_COLUMNS = 50_000

const SYSTEM_COLUMNS = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid'])

export class Scope {
  readonly parent: Scope | undefined
  items: readonly Item[] = []
  columns: readonly Column[] = []
  readonly tables = new Map<string, CommonTable>()

  constructor(parent?: Scope) {
    this.parent = parent
  }

  /** Adds a FROM element. */
  add(range: Range): void {
    for (const item of range.items) {
      if (
        item.alias !== '' &&
        this.items.some((each) => each.alias === item.alias && each.schema === item.schema)
      ) {
        throw new NotUnderstood(`table name "${item.alias}" specified more than once`)
      }
    }
    this.items = [...this.items, ...range.items]
    this.columns = [...this.columns, ...range.columns]
    if (this.items.length > MAX_ITEMS || this.columns.length > MAX_COLUMNS)
      throw new NotUnderstood('statement too complex: too many tables in FROM')
  }

  /** Columns that a look-up of a name may go through. */
  get breadth(): number {
    return this.columns.length + this.items.length + (this.parent?.breadth ?? 0)
  }

  table(name: string): CommonTable | undefined {
    return this.tables.get(name) ?? this.parent?.table(name)
  }

  /** A range item by alias (and schema), here or further out. */
  item(alias: string, schema?: string): Item | undefined {
    const found = this.items.filter(
      (each) => each.alias === alias && (schema === undefined || each.schema === schema),
    )
    if (found.length > 1) throw new NotUnderstood(`table reference "${alias}" is ambiguous`)
    return found[0] ?? this.parent?.item(alias, schema)
  }

  /** The value of an unqualified name, or undefined where it is unknown. */
  name(name: string): Value | undefined {
    for (let scope: Scope | undefined = this; scope !== undefined; scope = scope.parent) {
      const found = scope.columns.filter((column) => column.name === name)
      if (found.length > 1) throw new NotUnderstood(`column reference "${name}" is ambiguous`)
      const rests = scope.items.flatMap((item) => item.rest ?? [])
      const column = found[0]
      if (column !== undefined) return column.value
      if (rests.length > 0) {
        // A function's unknown column, or something further out: both count.
        const further = scope.parent?.name(name) ?? this.wholeRow(name)
        return derived(...rests, ...(further === undefined ? [] : [further]))
      }
      if (SYSTEM_COLUMNS.has(name) && scope.items.some((item) => item.relation !== undefined))
        return NOTHING
    }
    return this.wholeRow(name)
  }

  /** A reference to a range item as one composite value. */
  wholeRow(alias: string, schema?: string): Value | undefined {
    const item = this.item(alias, schema)
    return item === undefined ? undefined : rowOf(item)
  }

  /** A column of a named item. Unknown columns are refused. */
  static column(item: Item, name: string): Value {
    const found = item.columns.filter((column) => column.name === name)
    if (found.length > 1) throw new NotUnderstood(`column reference "${name}" is ambiguous`)
    const column = found[0]
    if (column !== undefined) return column.value
    if (item.rest !== undefined) return derived(item.rest)
    if (item.relation !== undefined && SYSTEM_COLUMNS.has(name)) return NOTHING
    throw new NotUnderstood(`unknown column ${item.alias}.${name}`)
  }
}

/** A range item as a composite value. */
export function rowOf(item: Item): Value {
  const rest = item.rest === undefined ? [] : item.rest.sources
  return { kind: 'derived', sources: rest, row: item.columns }
}
