// Owns statements that define things: what they make, change and drop, and the risk that follows from the form.
// What would need a role, a server or code is not here: it is refused.

import { collectionName, type Relation, TEMPORARY_SCHEMA } from '../catalogue.js'
import { alterTable, comment, moveSchema, rename } from './alter.js'
import type { Analysis } from './analysis.js'
import {
  admin,
  alreadyKnown,
  alreadyThere,
  change,
  columnDefinition,
  constraint,
  create,
  type Definition,
  demandTemporaryFor,
  existingRelation,
  indexed,
  type NewName,
  NONE,
  newName,
  options,
  storage,
  table,
} from './definition.js'
import { evaluate } from './expression.js'
import { relationItem, resolveRelation } from './from.js'
import { twoParts } from './names.js'
import { evaluateQuery, evaluateSelect } from './query.js'
import { Scope } from './scope.js'
import { demandFree, demandRoom, isOwn } from './temporary.js'
import {
  expectNode,
  type Fields,
  isFields,
  list,
  NotUnderstood,
  names,
  node,
  open,
  tagOf,
  text,
} from './tree.js'
import { NOTHING } from './value.js'

type Handler = (fields: Fields, analysis: Analysis) => Definition

/** Judges one definition statement; undefined where it is none of these. */
export function define(
  tag: string,
  fields: () => Fields,
  analysis: Analysis,
): Definition | undefined {
  const handler = Object.hasOwn(HANDLERS, tag) ? HANDLERS[tag] : undefined
  return handler?.(fields(), analysis)
}

/** True for the tags that change the catalogue. */
export function isDefinition(tag: string): boolean {
  return Object.hasOwn(HANDLERS, tag)
}

const HANDLERS: Readonly<Record<string, Handler>> = {
  CreateStmt: createTable,
  CreateTableAsStmt: createTableAs,
  ViewStmt: createView,
  IndexStmt: createIndex,
  CreateSchemaStmt: (fields, analysis) => {
    const name = text(fields['schemaname'])
    if (mayBeThere(fields, analysis) && analysis.catalogue.hasSchema(name))
      return alreadyKnown('42P06', `schema "${name}"`, 'CREATE SCHEMA', analysis)
    return admin(`${name}.*`, 'create_collection', ['schema'], analysis)
  },
  CreateSeqStmt: (fields, analysis) => {
    for (const option of list(fields['options'])) {
      const name = text(expectNode(option, 'DefElem')['defname'])
      if (name === 'owned_by') throw new NotUnderstood('not supported yet: OWNED BY')
    }
    const { sequence } = fields
    if (newName(sequence, analysis).schema === TEMPORARY_SCHEMA)
      throw new NotUnderstood('not supported yet: temporary sequences')
    const there = existingRelation(fields, sequence, 'CREATE SEQUENCE', analysis)
    return there ?? create(sequence, analysis)
  },
  CreateExtensionStmt: (fields, analysis) => {
    // Client libraries do this at construction: where it is there, nothing happens.
    const name = text(fields['extname'])
    if (mayBeThere(fields, analysis) && analysis.catalogue.extensions.has(name))
      return alreadyKnown('42710', `extension "${name}"`, 'CREATE EXTENSION', analysis)
    throw new NotUnderstood('not supported yet: CREATE EXTENSION')
  },
  DropStmt: drop,
  TruncateStmt: truncate,
  AlterTableStmt: alterTable,
  RenameStmt: rename,
  AlterObjectSchemaStmt: moveSchema,
  CommentStmt: comment,
  RefreshMatViewStmt: (fields, analysis) => {
    const { relation } = resolveRelation(fields['relation'], analysis)
    return change(relation, 'rebuild_index', ['index-rebuild'], analysis)
  },
  ReindexStmt: (fields, analysis) => {
    options(fields['params'], ['concurrently', 'verbose'])
    const kind = fields['kind']
    if (kind !== 'REINDEX_OBJECT_INDEX' && kind !== 'REINDEX_OBJECT_TABLE') {
      throw new NotUnderstood('not supported yet: REINDEX of a schema or database')
    }
    const relation =
      kind === 'REINDEX_OBJECT_INDEX'
        ? indexed(fields['relation'], analysis)
        : table(fields['relation'], analysis)
    return change(relation, 'rebuild_index', ['index-rebuild'], analysis)
  },
  ClusterStmt: (fields, analysis) => {
    options(fields['params'], ['verbose'])
    if (fields['relation'] === undefined)
      throw new NotUnderstood('not supported yet: CLUSTER of every table')
    const relation = table(fields['relation'], analysis)
    // Rows are put into the order of an index, which is then seen.
    const item = analysis.dry((trial) =>
      relationItem(relation, false, { name: undefined, columns: [] }, trial),
    )
    for (const { value } of item.columns) if (value.embedding !== true) analysis.use(value, 'order')
    return change(relation, 'rebuild_index', ['index-rebuild'], analysis)
  },
  VacuumStmt: vacuum,
}

function mayBeThere(fields: Fields, analysis: Analysis): boolean {
  return fields['if_not_exists'] === true && analysis.unlessThere
}

function createTable(fields: Fields, analysis: Analysis): Definition {
  // What it would have been nobody reads: not the server either.
  const there = existingRelation(fields, fields['relation'], 'CREATE TABLE', analysis)
  if (there !== undefined) return there
  storage(fields['options'])
  const own = new Scope()
  const made = newName(fields['relation'], analysis)
  demandTemporaryFor(fields['oncommit'], made)
  const columns = list(fields['tableElts'])
    .flatMap((each) => {
      if (tagOf(each) === 'ColumnDef') return [text(expectNode(each, 'ColumnDef')['colname'])]
      return tagOf(each) === 'TableLikeClause' ? likeTable(each, made, analysis) : []
    })
    .map((name) => ({ name, value: NOTHING }))
  own.add({ items: [{ alias: made.name, columns, rows: 0 }], columns, rows: () => 0 })
  for (const each of [
    ...list(fields['tableElts']),
    ...list(fields['constraints']),
    ...list(fields['nnconstraints']),
  ]) {
    const { tag, fields: inner } = node(each)
    if (tag === 'ColumnDef') columnDefinition(inner, own, analysis, made)
    else if (tag === 'Constraint') constraint(inner, own, analysis, made)
    else if (tag !== 'TableLikeClause')
      throw new NotUnderstood(`not supported yet: ${tag} in CREATE TABLE`)
  }
  return create(fields['relation'], analysis)
}

/** Options of LIKE that copy comments and forms of storage (parsenodes.h, TableLikeOption); all others copy code. */
const LIKE_FORMS = (1 << 0) | (1 << 1) | (1 << 7) | (1 << 8)

/** LIKE copies a form, no data. Defaults, checks and indexes run code as the table that they come from does. */
function likeTable(value: unknown, made: NewName, analysis: Analysis): readonly string[] {
  if (made.schema !== TEMPORARY_SCHEMA) throw new NotUnderstood('not supported yet: LIKE')
  const fields = expectNode(value, 'TableLikeClause')
  const { relation } = resolveRelation(fields['relation'], analysis)
  analysis.reach(relation, 'read', 'describe_collection', NONE)
  const { options = 0 } = fields
  const plain = typeof options === 'number' && (options & ~LIKE_FORMS) === 0
  if (!plain && !isOwn(relation)) analysis.reach(relation, 'write', 'insert', NONE)
  const columns = relation.columns.map(({ name }) => name)
  if (!plain) for (const name of columns) demandFree(`${made.name}_${name}_seq`, analysis)
  return columns
}

function createTableAs(fields: Fields, analysis: Analysis): Definition {
  const query = fields['query']
  if (!isFields(query) || tagOf(query) !== 'SelectStmt')
    throw new NotUnderstood('not supported yet: CREATE TABLE AS of this form')
  const into = open(fields['into'], 'IntoClause')
  const tag =
    fields['objtype'] === 'OBJECT_MATVIEW' ? 'CREATE MATERIALIZED VIEW' : 'CREATE TABLE AS'
  const made = newName(into['rel'], analysis)
  if (tag === 'CREATE MATERIALIZED VIEW' && made.schema === TEMPORARY_SCHEMA)
    throw new NotUnderstood('not supported yet: temporary views')
  const rows = readForTable(into, query, analysis)
  return existingRelation(fields, into['rel'], tag, analysis) ?? filledTable(into, rows, analysis)
}

/** SELECT … INTO: what is read is copied. */
export function intoTable(into: Fields, query: unknown, analysis: Analysis): Definition {
  return filledTable(into, readForTable(into, query, analysis), analysis)
}

/** Reads what is copied; answers how many rows it may be. */
function readForTable(into: Fields, query: unknown, analysis: Analysis): number {
  demandTemporaryFor(into['onCommit'], newName(into['rel'], analysis))
  storage(into['options'])
  const select = { ...expectNode(query, 'SelectStmt') }
  delete select['intoClause']
  const result = evaluateSelect(select, new Scope(), analysis)
  for (const column of result.columns) analysis.use(column.value, 'copied')
  return into['skipData'] === true ? 0 : result.rows
}

function filledTable(into: Fields, rows: number, analysis: Analysis): Definition {
  analysis.writes += 1
  const many = { kind: 'unknown', reason: 'the number of rows comes from a query' } as const
  const effect = Number.isFinite(rows) ? ({ kind: 'rows', count: rows } as const) : many
  return create(into['rel'], analysis, effect)
}

function createView(fields: Fields, analysis: Analysis): Definition {
  storage(fields['options'])
  const result = evaluateQuery(fields['query'], new Scope(), analysis)
  // A view of what is temporary is temporary itself.
  const { schema } = newName(fields['view'], analysis)
  if (schema === TEMPORARY_SCHEMA || analysis.usesTemporary)
    throw new NotUnderstood('not supported yet: temporary views')
  for (const column of result.columns) analysis.use(column.value, 'copied')
  return create(fields['view'], analysis)
}

function createIndex(fields: Fields, analysis: Analysis): Definition {
  const { relation, only } = resolveRelation(fields['relation'], analysis)
  storage(fields['options'])
  const index = fields['idxname']
  if (isOwn(relation)) demandRoom(analysis)
  if (isOwn(relation) && typeof index === 'string') demandFree(index, analysis)
  const there =
    typeof index === 'string' && mayBeThere(fields, analysis)
      ? analysis.named(relation.schema, index)
      : undefined
  if (there !== undefined && typeof index === 'string') {
    analysis.reach(relation, 'read', 'describe_collection', NONE)
    return alreadyThere(there, index, 'CREATE INDEX', analysis)
  }
  const scope = new Scope()
  const item = analysis.dry((trial) =>
    relationItem(relation, only, { name: undefined, columns: [] }, trial),
  )
  scope.add({ items: [item], columns: item.columns, rows: () => item.rows })
  const keys = list(fields['indexParams'])
  for (const [index, each] of [...keys, ...list(fields['indexIncludingParams'])].entries()) {
    const element = expectNode(each, 'IndexElem')
    storage(element['opclassopts'])
    if (element['expr'] !== undefined) {
      analysis.use(evaluate(element['expr'], scope, analysis), 'derived')
      continue
    }
    const column = Scope.column(item, text(element['name']))
    if (index >= keys.length) continue
    // A unique key tells which values are there; out of any other, rows may come in the order of its values.
    if (fields['unique'] === true) analysis.use(column, 'group')
    else if (column.embedding !== true) analysis.use(column, 'order')
  }
  if (fields['whereClause'] !== undefined)
    analysis.use(evaluate(fields['whereClause'], scope, analysis), 'predicate')
  return change(relation, 'create_index', ['index-rebuild'], analysis)
}

const DROPPED: ReadonlySet<string> = new Set([
  'OBJECT_TABLE',
  'OBJECT_VIEW',
  'OBJECT_MATVIEW',
  'OBJECT_FOREIGN_TABLE',
  'OBJECT_SEQUENCE',
])

function drop(fields: Fields, analysis: Analysis): Definition {
  if (fields['behavior'] === 'DROP_CASCADE')
    throw new NotUnderstood('not supported yet: CASCADE', 'name what is to go')
  const type = text(fields['removeType'])
  for (const each of list(fields['objects'])) {
    if (type === 'OBJECT_SCHEMA') {
      admin(`${text(expectNode(each, 'String')['sval'])}.*`, 'drop_collection', ['drop'], analysis)
      continue
    }
    const { schema, name } = twoParts(names(expectNode(each, 'List')['items']), 'object')
    const relation = analysis.named(schema, name)
    if (type === 'OBJECT_INDEX') dropIndex(relation, name, fields['missing_ok'] === true, analysis)
    else if (!DROPPED.has(type)) throw new NotUnderstood(`not supported yet: DROP of ${type}`)
    else if (relation !== undefined) change(relation, 'drop_collection', ['drop'], analysis)
    else
      admin(
        collectionName(schema ?? analysis.path[0] ?? 'public', name),
        'drop_collection',
        ['drop'],
        analysis,
      )
  }
  return { name: type === 'OBJECT_INDEX' ? 'drop_index' : 'drop_collection' }
}

function dropIndex(
  index: Relation | undefined,
  name: string,
  missingOk: boolean,
  analysis: Analysis,
): void {
  const relation =
    index?.indexOf === undefined ? undefined : analysis.catalogue.relationByOid(index.indexOf)
  if (relation !== undefined) change(relation, 'drop_index', ['drop', 'index-rebuild'], analysis)
  else if (!missingOk || index !== undefined) throw new NotUnderstood(`unknown index "${name}"`)
}

function truncate(fields: Fields, analysis: Analysis): Definition {
  if (fields['behavior'] === 'DROP_CASCADE')
    throw new NotUnderstood('not supported yet: CASCADE', 'name every table')
  for (const each of list(fields['relations'])) {
    const { relation, only } = resolveRelation(expectNode(each, 'RangeVar'), analysis)
    if (relation.system)
      throw new NotUnderstood(`the catalogue cannot be written: "${relation.name}"`)
    analysis.reach(relation, 'write', 'truncate', { kind: 'all' }, only)
    if (!analysis.family(relation, only).every(isOwn)) analysis.risks.add('bulk-delete')
  }
  return { name: 'truncate' }
}

function vacuum(fields: Fields, analysis: Analysis): Definition {
  const found = options(fields['options'], [
    'full',
    'freeze',
    'verbose',
    'analyze',
    'skip_locked',
    'index_cleanup',
    'truncate',
    'process_toast',
    'process_main',
    'parallel',
    'buffer_usage_limit',
  ])
  const relations = list(fields['rels'])
  if (relations.length === 0)
    throw new NotUnderstood('not supported yet: VACUUM or ANALYZE of every table')
  const full = found.has('full')
  for (const each of relations) {
    const relation = table(expectNode(each, 'VacuumRelation')['relation'], analysis)
    change(relation, full ? 'rebuild_index' : 'flush', full ? ['index-rebuild'] : [], analysis)
  }
  return { name: full ? 'rebuild_index' : 'flush' }
}
