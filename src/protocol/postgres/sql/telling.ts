// Owns what a write tells about values that are there: a unique key says whether a value exists ("duplicate key", a row
// that was not inserted), and so does a foreign key of the column that it refers to.

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

/** Notes what writing a column of a relation tells. */
export function noteTold(
  relation: Relation,
  only: boolean,
  column: string,
  guesses: Guesses,
  analysis: Analysis,
): void {
  if (guesses === 'none') return
  const told = analysis.family(relation, only).flatMap((each) => toldBy(each, column, analysis))
  analysis.useSources(told, 'exists')
  // Each use counts, and two are more than any mask allows.
  if (guesses === 'many') analysis.useSources(told, 'exists')
}

function toldBy(relation: Relation, column: string, analysis: Analysis): readonly ColumnOrigin[] {
  const own = relation.unique.includes(column) ? originsOf(relation, [column]) : []
  const others = relation.references.flatMap((each) => {
    if (each.column !== column) return []
    const target = analysis.catalogue.relationByOid(each.relation)
    const found = target?.columns.find(({ attribute }) => attribute === each.attribute)
    return target === undefined || found === undefined ? [] : originsOf(target, [found.name])
  })
  return [...own, ...others]
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
