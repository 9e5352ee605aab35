// Owns views: their definitions read as queries, once per catalogue snapshot. What a view reaches is reached by
// whoever reads it.

import type { PostgresProduct } from '../../table.js'
import type { CatalogueSnapshot, Relation, RelationColumn } from '../catalogue.js'
import type { ColumnOrigin } from '../statement.js'
import { Analysis } from './analysis.js'
import { parseTree } from './parser.js'
import { evaluateSelect } from './query.js'
import { relationColumns } from './relation-columns.js'
import { Scope } from './scope.js'
import { expectNode, type Fields, isFields, list, NotUnderstood, ViewUnread } from './tree.js'
import { allSources, type Column } from './value.js'

interface Expansion {
  readonly columns: readonly Column[]
  readonly account: Analysis
}

/** Columns of a view or materialised view by its definition; what it reaches is added to the analysis. */
export function viewColumns(relation: Relation, analysis: Analysis): readonly Column[] {
  if (relation.unread) throw new ViewUnread(relation.oid)
  const known = analysis.catalogue.expansions.get(relation.oid)
  if (known === 'reading') throw new NotUnderstood(`view "${relation.name}" refers to itself`)
  const expansion = isExpansion(known) ? known : expand(relation, analysis)
  analysis.include(expansion.account)
  return expansion.columns
}

function isExpansion(value: unknown): value is Expansion {
  return isFields(value) && 'account' in value && 'columns' in value
}

function expand(relation: Relation, analysis: Analysis): Expansion {
  const cache = analysis.catalogue.expansions
  cache.set(relation.oid, 'reading')
  try {
    // pg_get_viewdef leaves out the schemas of the path it was read with: the gateway's own.
    const account = analysis.separate(analysis.catalogue.defaultSearchPath)
    const query = evaluateSelect(definitionOf(relation), new Scope(), account)
    if (query.columns.length !== relation.columns.length)
      throw new NotUnderstood('its columns do not fit')
    const expansion = { columns: query.columns, account }
    cache.set(relation.oid, expansion)
    return expansion
  } catch (error) {
    cache.delete(relation.oid)
    if (error instanceof NotUnderstood && !(error instanceof ViewUnread)) {
      throw new NotUnderstood(`view "${relation.name}" is not understood: ${error.message}`)
    }
    throw error
  }
}

const DEFINITIONS = new WeakMap<Relation, Fields>()

/** The SELECT that a view is. Throws NotUnderstood where it cannot be had. */
export function definitionOf(relation: Relation): Fields {
  const known = DEFINITIONS.get(relation)
  if (known !== undefined) return known
  if (relation.unread) throw new ViewUnread(relation.oid)
  const parsed = parseTree(relation.definition ?? '')
  const statement = parsed.ok ? list(parsed.tree['stmts'])[0] : undefined
  if (!isFields(statement)) throw new NotUnderstood('its definition was not parsed')
  const select = expectNode(statement['stmt'], 'SelectStmt')
  DEFINITIONS.set(relation, select)
  return select
}

/** Every base column behind one column; undefined where the relation is not understood. */
export function lineageOf(product: PostgresProduct) {
  return (
    relation: Relation,
    column: RelationColumn,
    catalogue: CatalogueSnapshot,
  ): readonly ColumnOrigin[] | undefined => {
    const path = catalogue.defaultSearchPath
    try {
      const columns = relationColumns(
        relation,
        // ONLY was judged with the statement: it reads nothing below.
        true,
        new Analysis({ catalogue, path, product, parameters: undefined }),
      )
      const found = columns[relation.columns.indexOf(column)]
      return found === undefined ? undefined : allSources(found.value)
    } catch (error) {
      if (error instanceof NotUnderstood) return undefined
      throw error
    }
  }
}
