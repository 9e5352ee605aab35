// Owns INSERT, UPDATE and DELETE, and what MERGE shares with them: what they write, what they read to do it, and how much they touch.

import type { Effect } from '../../../core/operation.js'
import type { Analysis } from './analysis.js'
import { type Binding, conjuncts, isAlwaysTrue, namedKeys, noteCondition } from './condition.js'
import { evaluate } from './expression.js'
import { readRange } from './from.js'
import { merge } from './merge.js'
import { evaluateSelect, type Query, targetColumns } from './query.js'
import { relationColumns } from './relation-columns.js'
import { type Item, Scope } from './scope.js'
import {
  nameTarget,
  noteTelling,
  noteWritten,
  reachTarget,
  readTarget,
  showsPart,
  type Target,
  targetOf,
} from './target.js'
import { guessesOf, Writing } from './telling.js'
import {
  expectNode,
  type Fields,
  isFields,
  list,
  NotUnderstood,
  node,
  open,
  placed,
  tagOf,
  text,
} from './tree.js'
import { type Column, NOTHING, type Value } from './value.js'
import { addCommonTables } from './with.js'

const WRITES: ReadonlySet<string> = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'])

/** True for the tags that `evaluateWrite` reads. */
export function isWrite(tag: string): boolean {
  return WRITES.has(tag)
}

/** A write; its columns are those of RETURNING. */
export function evaluateWrite(value: unknown, outer: Scope, analysis: Analysis): Query {
  analysis.writes += 1
  const { tag, fields } = node(value)
  const scope = new Scope(outer)
  addCommonTables(fields['withClause'], scope, analysis)
  if (tag === 'InsertStmt') return insert(fields, scope, analysis)
  if (tag === 'UpdateStmt') return update(fields, scope, analysis)
  if (tag === 'MergeStmt') return merge(fields, scope, analysis)
  return remove(fields, scope, analysis)
}

/** Adds one table to a scope. */
export function addItem(scope: Scope, item: Item): void {
  scope.add({ items: [item], columns: item.columns, rows: () => item.rows })
}

/** Steps after a column's name in a SET or column list: subscripts and fields. */
export function noteSteps(value: unknown, scope: Scope, analysis: Analysis): void {
  for (const step of list(value)) {
    const { tag, fields } = node(step)
    if (tag === 'String') continue
    if (tag !== 'A_Indices')
      throw new NotUnderstood(`not supported yet: ${tag} after a column to write`)
    for (const index of [fields['lidx'], fields['uidx']]) {
      if (index !== undefined) analysis.use(evaluate(index, scope, analysis), 'copied')
    }
  }
}

function insert(fields: Fields, scope: Scope, analysis: Analysis): Query {
  const target = targetOf(fields['relation'], ['insert'], scope, analysis)
  const columns = list(fields['cols']).map((each) => {
    const column = expectNode(each, 'ResTarget')
    noteSteps(column['indirection'], scope, analysis)
    return text(column['name'])
  })
  const source = insertSource(fields['selectStmt'], scope, analysis)
  for (const column of source.columns) analysis.use(column.value, 'copied')
  const written =
    columns.length > 0
      ? columns
      : target.relation.columns.slice(0, source.columns.length).map((each) => each.name)
  const writing = new Writing(true)
  for (const [index, name] of written.entries()) {
    const stands =
      columns.length > 0 ? expectNode(list(fields['cols'])[index], 'ResTarget') : fields
    placed(stands, () => noteWritten(target, name, analysis))
    writing.set(name, guessesOf(source.columns[index]?.value))
  }
  noteTelling(target, writing, analysis)
  const effect: Effect = Number.isFinite(source.rows)
    ? { kind: 'rows', count: source.rows }
    : { kind: 'unknown', reason: 'the number of rows comes from a query' }
  nameInserted(target, written, fields['selectStmt'], scope, analysis)
  const action = onConflict(fields['onConflictClause'], target, scope, analysis)
  // WITH CHECK OPTION asks of each row whether the view would show it.
  if (showsPart(target)) readTarget(target, analysis)
  reachTarget(target, () => action, effect, analysis)
  return returning(fields['returningClause'], target, new Scope(scope), source.rows, analysis)
}

function insertSource(value: unknown, scope: Scope, analysis: Analysis): Query {
  if (value === undefined) return { columns: [], rows: 1 } // DEFAULT VALUES
  return evaluateSelect(expectNode(value, 'SelectStmt'), scope, analysis)
}

/** Keys of inserted rows, where they are constants of a VALUES list. */
function nameInserted(
  target: Target,
  written: readonly string[],
  value: unknown,
  scope: Scope,
  analysis: Analysis,
): void {
  const { table } = target
  const key = table.relation.keys.find((each) => each.length === 1)?.[0]
  const at = key === undefined ? -1 : written.findIndex((name) => table.column(name) === key)
  if (at < 0 || !isFields(value)) return
  const found = list(expectNode(value, 'SelectStmt')['valuesLists']).flatMap((line) => {
    const item = list(expectNode(line, 'List')['items'])[at]
    if (item === undefined) return []
    const constant = analysis.dry((trial) => evaluate(item, scope, trial))
    return constant.kind === 'constant' && typeof constant.literal === 'string'
      ? [constant.literal]
      : []
  })
  if (found.length > 0) nameTarget(target, found, key, analysis)
}

function onConflict(
  value: unknown,
  target: Target,
  scope: Scope,
  analysis: Analysis,
): 'insert' | 'upsert' {
  if (value === undefined) return 'insert'
  const clause = open(value, 'OnConflictClause')
  const { relation, item } = target
  const inner = new Scope(scope)
  addItem(inner, item)
  if (clause['infer'] !== undefined) {
    const infer = open(clause['infer'], 'InferClause')
    for (const each of list(infer['indexElems'])) {
      const element = expectNode(each, 'IndexElem')
      if (element['expr'] !== undefined) evaluate(element['expr'], inner, analysis)
      else if (inner.name(text(element['name'])) === undefined) {
        throw new NotUnderstood(`unknown column "${text(element['name'])}"`)
      }
    }
    for (const each of conjuncts(infer['whereClause']))
      noteCondition(each, inner, analysis, 'predicate')
  }
  if (clause['action'] !== 'ONCONFLICT_UPDATE') return 'insert'
  readTarget(target, analysis)
  const excluded = relation.columns.map(({ name }): Column => {
    const computed = target.table.column(name) === undefined
    const shown = computed ? target.item.columns.find((column) => column.name === name) : undefined
    return { name, value: shown?.value ?? NOTHING }
  })
  inner.items = [...inner.items, { alias: 'excluded', columns: excluded, rows: 1, relation }]
  assignments(clause['targetList'], target, inner, analysis)
  for (const each of conjuncts(clause['whereClause']))
    noteCondition(each, inner, analysis, 'predicate')
  return 'upsert'
}

/** SET lists. Gives true where an assigned value depends on something that is read. */
export function assignments(
  value: unknown,
  target: Target,
  scope: Scope,
  analysis: Analysis,
): boolean {
  let reads = false
  const shared = new Map<unknown, Value>()
  const writing = new Writing(false)
  for (const each of list(value)) {
    const assignment = expectNode(each, 'ResTarget')
    const name = text(assignment['name'])
    placed(assignment, () => noteWritten(target, name, analysis))
    noteSteps(assignment['indirection'], scope, analysis)
    const assigned = assignedValue(assignment['val'], shared, scope, analysis)
    writing.set(name, guessesOf(assigned), list(assignment['indirection']).length > 0)
    analysis.use(assigned, 'copied')
    if (assigned.kind !== 'constant') reads = true
  }
  noteTelling(target, writing, analysis)
  return reads
}

/** `(a, b) = (…)`: the same source stands in each member; it is looked at for each. */
function assignedValue(
  value: unknown,
  shared: Map<unknown, Value>,
  scope: Scope,
  analysis: Analysis,
): Value {
  if (tagOf(value) !== 'MultiAssignRef') return evaluate(value, scope, analysis)
  const source = expectNode(value, 'MultiAssignRef')['source']
  const key = JSON.stringify(source)
  const known = shared.get(key)
  if (known !== undefined) return known
  const found =
    tagOf(source) === 'SubLink'
      ? multiSource(source, scope, analysis)
      : evaluate(source, scope, analysis)
  shared.set(key, found)
  return found
}

function multiSource(value: unknown, scope: Scope, analysis: Analysis): Value {
  const link = expectNode(value, 'SubLink')
  // The grammar calls it EXPR; its columns go one to each member, so all count for all.
  return evaluate({ SubLink: { ...link, subLinkType: 'ARRAY_SUBLINK' } }, scope, analysis)
}

function bindingsOf(value: unknown, scope: Scope, analysis: Analysis): readonly Binding[] {
  return conjuncts(value).flatMap((each) => noteCondition(each, scope, analysis, 'predicate') ?? [])
}

/** How much a condition lets a write touch; names the keys where it can. */
function effectOf(
  where: unknown,
  joined: boolean,
  target: Target,
  bindings: readonly Binding[],
  analysis: Analysis,
): Effect {
  if (isAlwaysTrue(where) && !joined) return { kind: 'all' }
  if (where !== undefined && tagOf(where) === 'CurrentOfExpr')
    return { kind: 'unknown', reason: 'the key is that of the row at which a cursor stands' }
  return keyEffect(target, bindings, analysis) ?? { kind: 'filter' }
}

/** The effect on keys that constants name; notes them. Undefined where they name none. */
export function keyEffect(
  target: Target,
  bindings: readonly Binding[],
  analysis: Analysis,
): Effect | undefined {
  const named = namedKeys(target.item, bindings)
  // A join can only take rows away from what the keys name.
  if (named === undefined) return undefined
  if (named.count === 'unknown')
    return { kind: 'unknown', reason: 'the number of keys is not known' }
  const keys = named.keys()
  if (keys !== undefined) nameTarget(target, keys, named.column, analysis)
  return { kind: 'ids', count: named.count }
}

/** Rows that an effect bounds. */
export function most(effect: Effect): number {
  return effect.kind === 'ids' ? effect.count : Number.POSITIVE_INFINITY
}

/** Whether a view is read to find the rows: for its condition, or for the triggers that are given each. */
const isRead = (target: Target): boolean => target.triggered || showsPart(target)

function update(fields: Fields, scope: Scope, analysis: Analysis): Query {
  const target = targetOf(fields['relation'], ['update'], scope, analysis)
  addItem(scope, target.item)
  const from = list(fields['fromClause'])
  for (const each of from) scope.add(readRange(each, scope, analysis))
  const reads = assignments(fields['targetList'], target, scope, analysis)
  const bindings = bindingsOf(fields['whereClause'], scope, analysis)
  const effect = effectOf(fields['whereClause'], from.length > 0, target, bindings, analysis)
  if (reads || fields['whereClause'] !== undefined || isRead(target)) readTarget(target, analysis)
  reachTarget(target, updateAction, effect, analysis)
  return returning(fields['returningClause'], target, scope, most(effect), analysis)
}

/** What an UPDATE is called by what it touches. */
export function updateAction({ kind }: Effect): string {
  return kind === 'ids' ? 'update' : 'update_by_filter'
}

/** What a DELETE is called by what it touches. */
export function deleteAction({ kind }: Effect): string {
  return kind === 'ids' ? 'delete' : kind === 'all' ? 'truncate' : 'delete_by_filter'
}

function remove(fields: Fields, scope: Scope, analysis: Analysis): Query {
  const target = targetOf(fields['relation'], ['delete'], scope, analysis)
  addItem(scope, target.item)
  const using = list(fields['usingClause'])
  for (const each of using) scope.add(readRange(each, scope, analysis))
  const bindings = bindingsOf(fields['whereClause'], scope, analysis)
  const effect = effectOf(fields['whereClause'], using.length > 0, target, bindings, analysis)
  if (fields['whereClause'] !== undefined || isRead(target)) readTarget(target, analysis)
  reachTarget(target, deleteAction, effect, analysis)
  return returning(fields['returningClause'], target, scope, most(effect), analysis)
}

/** RETURNING: what it gives, and which of its columns is the key. */
export function returning(
  value: unknown,
  target: Target,
  scope: Scope,
  rows: number,
  analysis: Analysis,
): Query {
  analysis.returnedKey = undefined
  if (value === undefined) return { columns: [], rows: 0 }
  const clause = open(value, 'ReturningClause')
  const { relation, item, only, table } = target
  readTarget(target, analysis)
  if (!scope.items.includes(item)) addItem(scope, item)
  const columns = relationColumns(relation, only, analysis)
  // PostgreSQL 18: OLD and NEW, or the names given to them, unless something else has the name.
  const renames = list(clause['options']).map((each) =>
    text(expectNode(each, 'ReturningOption')['value']),
  )
  for (const alias of renames.length > 0 ? [...renames, 'old', 'new'] : ['old', 'new']) {
    if (scope.items.some((each) => each.alias === alias)) continue
    scope.items = [...scope.items, { alias, columns, rows, relation }]
  }
  const returned = targetColumns(clause['exprs'], scope, analysis)
  const key = table.relation.keys.find((each) => each.length === 1)?.[0]
  const at = returned.findIndex(
    ({ value: { base } }) => base !== undefined && base.item === item.mark && base.column === key,
  )
  if (at >= 0) analysis.returnedKey = { collection: table.relation.collection, at }
  return { columns: returned, rows }
}
