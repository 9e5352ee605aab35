// Owns ALTER, RENAME, SET SCHEMA and COMMENT. A new name for governed data counts as copying it: masks follow names.

import type { Risk } from '../../../core/operation.js'
import { collectionName, type Relation, TEMPORARY_SCHEMA } from '../catalogue.js'
import type { Analysis } from './analysis.js'
import {
  admin,
  change,
  columnDefinition,
  constraint,
  type Definition,
  indexed,
  storage,
  table,
} from './definition.js'
import { evaluate } from './expression.js'
import { relationItem } from './from.js'
import { twoParts } from './names.js'
import { Scope } from './scope.js'
import { demandFree, demandRoom, isOwn } from './temporary.js'
import {
  expectNode,
  type Fields,
  isFields,
  list,
  NotUnderstood,
  names,
  open,
  tagOf,
  text,
} from './tree.js'

const ALTERATIONS: ReadonlySet<string> = new Set(
  `AT_AddColumn AT_ColumnDefault AT_DropNotNull AT_SetNotNull AT_SetStatistics AT_SetOptions AT_ResetOptions
AT_SetStorage AT_SetCompression AT_DropColumn AT_AddConstraint AT_DropConstraint AT_ValidateConstraint
AT_AlterColumnType AT_SetRelOptions AT_ResetRelOptions`.split(/\s+/),
)

/** ALTER TABLE, INDEX and MATERIALIZED VIEW: listed changes only. */
export function alterTable(fields: Fields, analysis: Analysis): Definition {
  const type = text(fields['objtype'])
  const isIndex = type === 'OBJECT_INDEX'
  if (!isIndex && type !== 'OBJECT_TABLE' && type !== 'OBJECT_MATVIEW')
    throw new NotUnderstood(`not supported yet: ALTER of ${type}`)
  const relation = isIndex
    ? indexed(fields['relation'], analysis)
    : table(fields['relation'], analysis)
  if (isOwn(relation)) demandRoom(analysis)
  const scope = new Scope()
  const item = analysis.dry((trial) =>
    relationItem(relation, false, { name: undefined, columns: [] }, trial),
  )
  scope.add({ items: [item], columns: item.columns, rows: () => item.rows })
  const risks = new Set<Risk>(['schema'])
  for (const each of list(fields['cmds'])) {
    const command = expectNode(each, 'AlterTableCmd')
    const subtype = text(command['subtype'])
    if (!ALTERATIONS.has(subtype)) throw new NotUnderstood(`not supported yet: ${subtype}`)
    if (command['behavior'] === 'DROP_CASCADE')
      throw new NotUnderstood('not supported yet: CASCADE')
    if (subtype === 'AT_DropColumn') risks.add('drop')
    // What does not fit the new type fails: that tells of the values.
    if (subtype === 'AT_AlterColumnType')
      analysis.use(Scope.column(item, text(command['name'])), 'derived')
    alteration(subtype, command['def'], scope, analysis, isOwn(relation) ? relation : undefined)
  }
  return change(relation, isIndex ? 'alter_index' : 'alter_collection', [...risks], analysis)
}

/** `own`: the table, where it is temporary, and where its indexes and sequences are then. */
function alteration(
  subtype: string,
  definition: unknown,
  scope: Scope,
  analysis: Analysis,
  own: Relation | undefined,
): void {
  if (definition === undefined) return
  if (subtype === 'AT_AddColumn')
    columnDefinition(expectNode(definition, 'ColumnDef'), scope, analysis, own)
  else if (subtype === 'AT_AlterColumnType') {
    // The grammar keeps USING in the definition's raw default.
    const { raw_default: using, ...rest } =
      isFields(definition) && isFields(definition['ColumnDef']) ? definition['ColumnDef'] : {}
    columnDefinition(open(rest, 'ColumnDef'), scope, analysis, own)
    if (using !== undefined) analysis.use(evaluate(using, scope, analysis), 'derived')
  } else if (subtype === 'AT_AddConstraint')
    constraint(expectNode(definition, 'Constraint'), scope, analysis, own)
  else if (subtype === 'AT_ColumnDefault')
    analysis.use(evaluate(definition, scope, analysis), 'derived')
  else if (tagOf(definition) === 'List') storage(expectNode(definition, 'List')['items'])
  else if (!['Integer', 'String'].includes(tagOf(definition)))
    throw new NotUnderstood(`not supported yet: ${subtype}`)
}

const RENAMED: ReadonlySet<string> = new Set([
  'OBJECT_TABLE',
  'OBJECT_VIEW',
  'OBJECT_MATVIEW',
  'OBJECT_INDEX',
  'OBJECT_COLUMN',
])

/** RENAME of a relation, an index or a column. */
export function rename(fields: Fields, analysis: Analysis): Definition {
  const type = text(fields['renameType'])
  if (!RENAMED.has(type)) throw new NotUnderstood(`not supported yet: RENAME of ${type}`)
  const isIndex = type === 'OBJECT_INDEX'
  const relation = isIndex
    ? indexed(fields['relation'], analysis)
    : table(fields['relation'], analysis)
  if (type === 'OBJECT_COLUMN') {
    // A mask is bound to a column's name: a renamed column would leave it.
    const column = relation.columns.find((each) => each.name === text(fields['subname']))
    if (column === undefined) throw new NotUnderstood(`unknown column "${text(fields['subname'])}"`)
    const source = { collection: relation.collection, field: column.name, vector: column.vector }
    analysis.useSources([source], 'copied')
    return change(relation, 'alter_collection', ['schema'], analysis)
  }
  if (isOwn(relation)) demandFree(text(fields['newname']), analysis)
  if (!isIndex) named(relation, collectionName(relation.schema, text(fields['newname'])), analysis)
  return change(relation, isIndex ? 'alter_index' : 'rename_collection', ['schema'], analysis)
}

/** A relation gets another name: the new name must be the caller's too, and every column is carried over. */
function named(relation: Relation, collection: string, analysis: Analysis): void {
  analysis.useSources(
    relation.columns.map((column) => ({
      collection: relation.collection,
      field: column.name,
      vector: column.vector,
    })),
    'copied',
  )
  admin(collection, 'create_collection', ['schema'], analysis)
}

/** SET SCHEMA. */
export function moveSchema(fields: Fields, analysis: Analysis): Definition {
  const type = text(fields['objectType'])
  if (!['OBJECT_TABLE', 'OBJECT_VIEW', 'OBJECT_MATVIEW'].includes(type))
    throw new NotUnderstood(`not supported yet: SET SCHEMA of ${type}`)
  const relation = table(fields['relation'], analysis)
  if (isOwn(relation) || text(fields['newschema']).startsWith(TEMPORARY_SCHEMA))
    throw new NotUnderstood('cannot move objects into or out of temporary schemas')
  named(relation, collectionName(text(fields['newschema']), relation.name), analysis)
  return change(relation, 'rename_collection', ['schema'], analysis)
}

/** COMMENT on a table or column. */
export function comment(fields: Fields, analysis: Analysis): Definition {
  const type = text(fields['objtype'])
  if (type !== 'OBJECT_TABLE' && type !== 'OBJECT_COLUMN')
    throw new NotUnderstood(`not supported yet: COMMENT on ${type}`)
  const path = names(expectNode(fields['object'], 'List')['items'])
  const { schema, name } = twoParts(type === 'OBJECT_COLUMN' ? path.slice(0, -1) : path, 'object')
  const relation = analysis.named(schema, name)
  if (relation === undefined) throw new NotUnderstood(`unknown relation "${name}"`)
  return change(relation, 'alter_collection', ['schema'], analysis)
}
