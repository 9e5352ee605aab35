// Owns what the columns of a relation stand for: the relation's own, its parents' and children's, what they are generated
// from, and what a view shows.

import type { Relation, RelationColumn } from '../catalogue.js'
import type { ColumnOrigin } from '../statement.js'
import type { Analysis } from './analysis.js'
import {
  allSources,
  type Column,
  leaving,
  NOTHING,
  throughView,
  unite,
  type Value,
} from './value.js'
import { viewColumns } from './view.js'

/** Columns of tables, kept as long as their snapshot. Views are not here: reading one reaches more. */
const COLUMNS = {
  all: new WeakMap<Relation, readonly Column[]>(),
  only: new WeakMap<Relation, readonly Column[]>(),
}

/** Columns of a relation with all that they stand for: the relation's own, its parents' and children's, a view's sources. */
export function relationColumns(
  relation: Relation,
  only: boolean,
  analysis: Analysis,
): readonly Column[] {
  if (relation.system)
    return relation.columns.map((column) => ({ name: column.name, value: NOTHING }))
  const known = COLUMNS[only ? 'only' : 'all'].get(relation)
  if (known !== undefined) return known
  const family = analysis.family(relation, only)
  const behind =
    relation.definition === undefined && !relation.unread
      ? undefined
      : viewColumns(relation, analysis)
  const columns = relation.columns.map((column, index) => {
    const own = family.flatMap((each) => {
      const same = each.columns.find((other) => other.name === column.name)
      return same === undefined ? [] : ownSources(each, same)
    })
    const generated = generatedIn(family, column.name)
    const further = behind === undefined ? undefined : (behind[index]?.value ?? NOTHING)
    const sources = unite([own, further === undefined ? [] : allSources(further)])
    const computed = further !== undefined && allSources(further).length > 0
    const how = computed ? leaving(further) : 'output'
    const kind = how === 'output' ? (generated ?? 'column') : how === 'whole' ? how : 'derived'
    const embedding = column.vector && analysis.catalogue.isVectorType(column.typeOid)
    const type = column.typeOid
    const growth = further?.growth
    const value: Value = { kind, sources, embedding, type, growth, ...throughView(further) }
    return { name: column.name, value }
  })
  if (behind === undefined) COLUMNS[only ? 'only' : 'all'].set(relation, columns)
  return columns
}

/** How a generated column stands for what it is computed from: one that is stored was computed before. */
function generatedIn(family: readonly Relation[], name: string): 'whole' | 'derived' | undefined {
  const found = family.flatMap(({ columns }) =>
    columns.filter((each) => each.name === name && each.madeOf !== undefined),
  )
  if (found.length === 0) return undefined
  return found.every(({ stored }) => stored) ? 'whole' : 'derived'
}

/** A column, and those that it is generated from. */
function ownSources(relation: Relation, column: RelationColumn): readonly ColumnOrigin[] {
  const named = new Set([column.name, ...(column.madeOf ?? [])])
  return relation.columns
    .filter(({ name }) => named.has(name))
    .map(({ name, vector }) => ({ collection: relation.collection, field: name, vector }))
}
