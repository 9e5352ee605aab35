// Owns what a write tells about values that are there: a unique key says whether a value exists ("duplicate key", a row
// that was not inserted), a foreign key does of the columns that it refers to, and both say it of what stands in their
// other columns; a check compares what is written with what stays beside it.

import type { Relation } from '../catalogue.js'
import type { ColumnOrigin } from '../statement.js'
import type { Analysis } from './analysis.js'
import type { Value } from './value.js'

/** How many values a write puts into a column, each of which it may ask for. */
export type Guesses = 'none' | 'one' | 'many'

/** One constant is one guess, whatever number of rows it goes to; NULL is never found. */
export function guessesOf(value: Value | undefined): Guesses {
  if (value?.kind !== 'constant') return 'many'
  return value.literal === null ? 'none' : 'one'
}

/** What one write puts into the columns that it sets. */
export class Writing {
  readonly #guesses = new Map<string, Guesses>()
  /** Columns of which it sets a member: the rest stays. */
  readonly #parts = new Set<string>()

  /** Into new rows: what it does not set is not what was there. */
  readonly fresh: boolean

  constructor(fresh: boolean) {
    this.fresh = fresh
  }

  set(column: string, guesses: Guesses, part = false): void {
    this.#guesses.set(column, part || this.#guesses.has(column) ? 'many' : guesses)
    if (part) this.#parts.add(column)
  }

  /** The same under other names. */
  as(named: (column: string) => string | undefined): Writing {
    const other = new Writing(this.fresh)
    for (const [column, guesses] of this.#guesses) {
      const name = named(column)
      if (name !== undefined) other.set(name, guesses, this.#parts.has(column))
    }
    return other
  }

  guesses(column: string): Guesses | undefined {
    return this.#guesses.get(column)
  }

  /** Nothing of what a row held stays in the column; one that is generated is set with all that it is computed from. */
  replaces(relation: Relation, name: string): boolean {
    const madeOf = relation.columns.find((each) => each.name === name)?.madeOf ?? [name]
    return madeOf.every((each) => this.#guesses.has(each) && !this.#parts.has(each))
  }
}

/** Takes what is asked of, the column whose value asks (none: what stands there already), and for how many values. */
type Ask = (of: readonly ColumnOrigin[], by: string | undefined, guesses: Guesses) => void

/** Notes what a write tells of values that are there: those of the columns that it sets, and of what stands beside them. */
export function noteTold(
  relation: Relation,
  only: boolean,
  writing: Writing,
  analysis: Analysis,
): void {
  const asked = new Map<string, { readonly origin: ColumnOrigin; readonly guesses: Guesses }>()
  const ask: Ask = (of, by, guesses) => {
    for (const origin of of) {
      const key = JSON.stringify([origin.collection, origin.field, by])
      if (asked.get(key)?.guesses !== 'many') asked.set(key, { origin, guesses })
    }
  }
  for (const each of analysis.family(relation, only)) {
    askUnique(each, writing, ask)
    askReferred(each, writing, ask, analysis)
    noteChecked(each, writing, analysis)
  }
  for (const { origin, guesses } of asked.values()) {
    if (guesses === 'none') continue
    analysis.useSources([origin], 'exists')
    // Each use counts, and two are more than any mask allows.
    if (guesses === 'many') analysis.useSources([origin], 'exists')
  }
}

/** A value is looked for together with what stands in the other columns of the key. */
function askUnique(relation: Relation, writing: Writing, ask: Ask): void {
  for (const group of relation.unique) {
    if (!group.some((name) => writing.guesses(name) !== undefined)) continue
    for (const name of group) {
      const own = writing.guesses(name)
      const of = originsOf(relation, [name])
      if (own !== undefined) ask(of, name, own)
      else if (!writing.replaces(relation, name)) ask(of, undefined, writing.fresh ? 'one' : 'many')
    }
  }
}

function askReferred(relation: Relation, writing: Writing, ask: Ask, analysis: Analysis): void {
  for (const { columns, relation: oid, attributes } of relation.references) {
    const own = columns.map((name) => guessesOn(relation, name, writing))
    // NULL in any column refers to nothing.
    if (!own.some((each) => each === 'one' || each === 'many')) continue
    const target = analysis.catalogue.relationByOid(oid)
    for (const [at, name] of columns.entries()) {
      const found = target?.columns.find(({ attribute }) => attribute === attributes[at])
      const rest = writing.fresh ? 'one' : 'many'
      const of = target === undefined || found === undefined ? [] : originsOf(target, [found.name])
      ask(of, own[at] && name, own[at] ?? rest)
      if (writing.fresh) continue
      const kept = sourcesOf(relation, name).filter((each) => !writing.replaces(relation, each))
      ask(originsOf(relation, kept), undefined, 'many')
    }
  }
}

/** What is put into a column, or into what it is computed from. */
function guessesOn(relation: Relation, name: string, writing: Writing): Guesses | undefined {
  const own = writing.guesses(name)
  if (own !== undefined) return own
  const through = sourcesOf(relation, name).some((each) => writing.guesses(each) !== undefined)
  return through ? 'many' : undefined
}

function sourcesOf(relation: Relation, name: string): readonly string[] {
  return [name, ...(relation.columns.find((each) => each.name === name)?.madeOf ?? [])]
}

/** A check of a row that is changed compares what is written with what stays in it. */
function noteChecked(relation: Relation, writing: Writing, analysis: Analysis): void {
  if (writing.fresh) return
  for (const group of relation.checks) {
    if (!group.some((name) => writing.guesses(name) !== undefined)) continue
    const kept = group.filter((name) => !writing.replaces(relation, name))
    analysis.useSources(originsOf(relation, kept), 'predicate')
  }
}

/** Columns of a relation as what is used of them. */
export function originsOf(relation: Relation, names: readonly string[]): readonly ColumnOrigin[] {
  return relation.columns
    .filter(({ name }) => names.includes(name))
    .map(({ name, vector }) => ({ collection: relation.collection, field: name, vector }))
}

/** What a foreign key that is being made would tell: the columns named, or those of every key where none is. */
export function noteReferred(
  relation: Relation,
  names: readonly string[],
  analysis: Analysis,
): void {
  const keys = names.length > 0 ? names : relation.keys.flat()
  for (const each of analysis.family(relation)) analysis.useSources(originsOf(each, keys), 'join')
}
