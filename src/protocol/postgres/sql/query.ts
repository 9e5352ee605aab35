// Owns queries: SELECT in all its forms, set operations, VALUES and WITH. Each level notes how it uses fields;
// what leaves the whole statement is noted by the caller.

import type { Analysis } from './analysis.js'
import { readCall } from './call.js'
import { columnName } from './column-name.js'
import { type Binding, conjuncts, namedKeys, noteCondition } from './condition.js'
import { evaluate, evaluateWindow } from './expression.js'
import { readRange } from './from.js'
import { lockRows } from './lock.js'
import { generatedRows, readLimit } from './rows.js'
import { type Item, type Range, Scope } from './scope.js'
import { allowsShow } from './settings.js'
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
import { type Column, derived, leaving, merge, NOTHING, type Value } from './value.js'
import { addCommonTables } from './with.js'
import { evaluateWrite, isWrite } from './write.js'

/** What a query gives: its columns, and the most rows that it can have. */
export interface Query {
  readonly columns: readonly Column[]
  readonly rows: number
}

/** MaxTupleAttributeNumber of PostgreSQL: columns of a query, and what it sorts and groups by. */
const MAX_COLUMNS = 1664

const INFINITE = Number.POSITIVE_INFINITY

/** A query as it stands in the tree (wrapped), seen from a scope. */
export function evaluateQuery(value: unknown, outer: Scope, analysis: Analysis): Query {
  return analysis.deeper(() => {
    const tag = tagOf(value)
    if (isWrite(tag)) return evaluateWrite(value, outer, analysis)
    return evaluateSelect(expectNode(value, 'SelectStmt'), outer, analysis)
  })
}

/** An opened SELECT. */
export function evaluateSelect(fields: Fields, outer: Scope, analysis: Analysis): Query {
  if (fields['intoClause'] !== undefined)
    throw new NotUnderstood('not supported yet: INTO inside a query')
  const scope = new Scope(outer)
  addCommonTables(fields['withClause'], scope, analysis)
  if (text(fields['op']) !== 'SETOP_NONE') return setOperation(fields, scope, analysis)
  const values = list(fields['valuesLists'])
  if (values.length > 0) return valuesQuery(fields, values, scope, analysis)
  return plainSelect(fields, scope, analysis)
}

function arm(value: unknown, scope: Scope, analysis: Analysis): Query {
  // The arms stand unwrapped in the grammar.
  return analysis.deeper(() => evaluateSelect(open(value, 'SelectStmt'), scope, analysis))
}

/** Joins the outputs of two queries by position. */
export function mergeColumns(left: readonly Column[], right: readonly Column[]): readonly Column[] {
  if (left.length !== right.length)
    throw new NotUnderstood('each query of a set operation must have as many columns')
  return left.map((column, index) => ({
    name: column.name,
    value: merge(column.value, right[index]?.value ?? NOTHING),
  }))
}

function setOperation(fields: Fields, scope: Scope, analysis: Analysis): Query {
  const operation = text(fields['op'])
  const left = arm(fields['larg'], scope, analysis)
  const right = arm(fields['rarg'], scope, analysis)
  if (operation !== 'SETOP_UNION' || fields['all'] !== true) {
    for (const column of [...left.columns, ...right.columns]) analysis.use(column.value, 'group')
  }
  const columns = mergeColumns(left.columns, right.columns)
  const base =
    operation === 'SETOP_UNION'
      ? left.rows + right.rows
      : operation === 'SETOP_INTERSECT'
        ? Math.min(left.rows, right.rows)
        : left.rows
  return { columns, rows: ending(fields, columns, base, scope, analysis) }
}

function valuesQuery(
  fields: Fields,
  values: readonly unknown[],
  scope: Scope,
  analysis: Analysis,
): Query {
  let columns: readonly Column[] | undefined
  for (const each of values) {
    const parts = list(expectNode(each, 'List')['items']).map((item) =>
      evaluate(item, scope, analysis),
    )
    for (const part of parts) if (part.kind === 'derived') analysis.use(part, 'derived')
    const line = parts.map((value, index) => ({ name: `column${index + 1}`, value }))
    columns = columns === undefined ? line : mergeColumns(columns, line)
  }
  const found = columns ?? []
  return { columns: found, rows: ending(fields, found, values.length, scope, analysis) }
}

function plainSelect(fields: Fields, scope: Scope, analysis: Analysis): Query {
  const gathering = analysis.gathering
  const ranges = list(fields['fromClause']).map((each) => {
    const range = readRange(each, scope, analysis)
    scope.add(range)
    analysis.scan(scope.columns.length + scope.items.length)
    return range
  })
  const bindings = conjuncts(fields['whereClause']).flatMap(
    (each) => noteCondition(each, scope, analysis, 'predicate') ?? [],
  )
  for (const item of ranges.flatMap((range) => range.items)) proveSettings(item, bindings, analysis)
  for (const each of list(fields['windowClause'])) {
    evaluateWindow(expectNode(each, 'WindowDef'), scope, analysis)
  }
  const columns = targetColumns(fields['targetList'], scope, analysis)
  const grouped = groupBy(fields['groupClause'], columns, scope, analysis)
  for (const each of conjuncts(fields['havingClause']))
    noteCondition(each, scope, analysis, 'predicate')
  if (list(fields['lockingClause']).length > 0) lockRows(fields['lockingClause'], ranges, analysis)
  const targets = [fields['targetList'], fields['havingClause']]
  const calls = targets.flatMap((each) => callsOf(each))
  const base =
    grouped === 'none' && calls.some((call) => isAggregate(call, analysis))
      ? 1
      : grouped === 'sets'
        ? INFINITE
        : fromRows(ranges, bindings)
  const spread = calls.reduce((most, call) => Math.max(most, spreadOf(call, scope, analysis)), 1)
  const rows = base === 0 ? 0 : base * spread
  const remaining = ending(fields, columns, rows, scope, analysis)
  if (analysis.gathering > gathering) analysis.gather(fromRows(ranges, bindings), false)
  analysis.gathering = gathering
  return { columns, rows: remaining }
}

/** Of pg_settings only rows that are named may be read, and only those that SHOW would show. */
function proveSettings(item: Item, bindings: readonly Binding[], analysis: Analysis): void {
  if (item.mark === undefined || !analysis.unproved.has(item.mark)) return
  const named = bindings.some(
    ({ base, keys }) =>
      base.item === item.mark &&
      base.column === 'name' &&
      // The name may be a parameter that is not bound yet.
      (keys()?.every((key) => allowsShow(key, analysis.product)) ??
        analysis.parameters === undefined),
  )
  if (named) analysis.unproved.delete(item.mark)
}

function fromRows(ranges: readonly Range[], bindings: readonly Binding[]): number {
  let rows = 1
  for (const range of ranges) {
    const most = range.rows((item) => {
      const named = namedKeys(item, bindings)
      return named === undefined || named.count === 'unknown' ? INFINITE : named.count
    })
    rows = most === 0 || rows === 0 ? 0 : rows * most
  }
  return rows
}

/** A select list or RETURNING: stars expanded, names as PostgreSQL gives them, computed values noted at once. */
export function targetColumns(value: unknown, scope: Scope, analysis: Analysis): readonly Column[] {
  const found: Column[] = []
  for (const each of list(value)) {
    found.push(...targetColumn(each, scope, analysis))
    if (found.length > MAX_COLUMNS)
      throw new NotUnderstood(`a query can have at most ${MAX_COLUMNS} columns`)
  }
  return found
}

function targetColumn(value: unknown, scope: Scope, analysis: Analysis): readonly Column[] {
  const target = expectNode(value, 'ResTarget')
  const star = starColumns(target['val'], scope, analysis)
  if (star !== undefined) {
    analysis.scan(star.length)
    return star
  }
  const result = evaluate(target['val'], scope, analysis)
  // A computed value may leave in an error's text even where nobody selects it.
  if (leaving(result) === 'derived' && result.row === undefined) analysis.use(result, 'derived')
  const name =
    typeof target['name'] === 'string'
      ? target['name']
      : columnName(target['val'], (sub) => firstName(sub))
  return [{ name, value: result }]
}

/** Name of a scalar subquery's first column, as far as the text gives it. */
function firstName(subquery: unknown): string {
  let fields = isFields(subquery) ? subquery['SelectStmt'] : undefined
  while (isFields(fields) && isFields(fields['larg'])) fields = fields['larg']
  if (!isFields(fields)) throw new NotUnderstood('not supported yet: this subquery without a name')
  if (list(fields['valuesLists']).length > 0) return 'column1'
  const first = list(fields['targetList'])[0]
  if (first === undefined) return '?column?'
  const target = expectNode(first, 'ResTarget')
  if (typeof target['name'] === 'string') return target['name']
  if (isStar(target['val'])) return '*'
  return columnName(target['val'], firstName)
}

function isStar(value: unknown): boolean {
  if (!isFields(value)) return false
  const tag = tagOf(value)
  if (tag !== 'ColumnRef' && tag !== 'A_Indirection') return false
  const fields = expectNode(value, tag)
  const parts = list(tag === 'ColumnRef' ? fields['fields'] : fields['indirection'])
  const last = parts[parts.length - 1]
  return last !== undefined && tagOf(last) === 'A_Star'
}

function starColumns(
  value: unknown,
  scope: Scope,
  analysis: Analysis,
): readonly Column[] | undefined {
  if (!isStar(value)) return undefined
  const { tag, fields } = node(value)
  if (tag === 'A_Indirection') {
    const whole = evaluate(value, scope, analysis)
    if (whole.row === undefined) throw new NotUnderstood('not supported yet: * of this value')
    return whole.row
  }
  const path = names(list(fields['fields']).slice(0, -1))
  if (path.length === 0) {
    if (scope.items.length === 0) throw new NotUnderstood('SELECT * with no tables')
    return scope.columns
  }
  const [first, second] = path
  const item = second === undefined ? scope.item(first ?? '') : scope.item(second, first)
  if (item === undefined || path.length > 2)
    throw new NotUnderstood(`unknown relation "${path.join('.')}"`)
  return item.columns
}

function groupBy(
  value: unknown,
  columns: readonly Column[],
  scope: Scope,
  analysis: Analysis,
): 'none' | 'plain' | 'sets' {
  let found: 'none' | 'plain' | 'sets' = 'none'
  for (const each of few(value)) {
    if (tagOf(each) === 'GroupingSet') {
      const set = expectNode(each, 'GroupingSet')
      groupBy(set['content'], columns, scope, analysis)
      found = 'sets'
      continue
    }
    if (found === 'none') found = 'plain'
    analysis.use(positionOf(each, columns) ?? groupValue(each, columns, scope, analysis), 'group')
  }
  return found
}

/** What DISTINCT, GROUP BY and ORDER BY list. */
function few(value: unknown): readonly unknown[] {
  const all = list(value)
  if (all.length > MAX_COLUMNS) throw new NotUnderstood('statement too complex')
  return all
}

/** GROUP BY prefers a column of FROM, then an output's name. Where both exist, both count. */
function groupValue(
  value: unknown,
  columns: readonly Column[],
  scope: Scope,
  analysis: Analysis,
): Value {
  const named = outputNamed(value, columns, analysis)
  if (named === undefined) return evaluate(value, scope, analysis)
  const name = names(expectNode(value, 'ColumnRef')['fields'])[0] ?? ''
  const inner = scope.columns.some((column) => column.name === name) ? scope.name(name) : undefined
  return inner === undefined ? named : derived(named, inner)
}

function positionOf(value: unknown, columns: readonly Column[]): Value | undefined {
  if (!isFields(value) || tagOf(value) !== 'A_Const') return undefined
  const constant = expectNode(value, 'A_Const')['ival']
  if (!isFields(constant)) return undefined
  const position = constant['ival']
  const column = typeof position === 'number' ? columns[position - 1] : undefined
  if (column === undefined) throw new NotUnderstood('position is not in the select list')
  return column.value
}

function outputNamed(
  value: unknown,
  columns: readonly Column[],
  analysis: Analysis,
): Value | undefined {
  if (!isFields(value) || tagOf(value) !== 'ColumnRef') return undefined
  const parts = list(expectNode(value, 'ColumnRef')['fields'])
  const [only] = parts
  if (parts.length !== 1 || tagOf(only) !== 'String') return undefined
  const name = text(expectNode(only, 'String')['sval'])
  analysis.scan(columns.length)
  const found = columns.filter((column) => column.name === name)
  return found.length === 0
    ? undefined
    : found.length === 1
      ? found[0]?.value
      : derived(...found.map((each) => each.value))
}

/** DISTINCT, ORDER BY, OFFSET and LIMIT. Gives the most rows that remain. */
function ending(
  fields: Fields,
  columns: readonly Column[],
  base: number,
  scope: Scope,
  analysis: Analysis,
): number {
  for (const each of few(fields['distinctClause'])) {
    // Plain DISTINCT is one empty node; DISTINCT ON lists expressions.
    if (isFields(each) && Object.keys(each).length === 0) {
      for (const column of columns) analysis.use(column.value, 'group')
    } else {
      analysis.use(
        positionOf(each, columns) ??
          outputNamed(each, columns, analysis) ??
          evaluate(each, scope, analysis),
        'group',
      )
    }
  }
  if (fields['limitOffset'] !== undefined) {
    analysis.use(evaluate(fields['limitOffset'], scope, analysis), 'predicate')
  }
  const limit = readLimit(fields['limitCount'], fields['limitOption'], scope, analysis)
  for (const each of few(fields['sortClause'])) {
    const sort = expectNode(each, 'SortBy')['node']
    const value =
      positionOf(sort, columns) ??
      outputNamed(sort, columns, analysis) ??
      evaluate(sort, scope, analysis)
    // Among rows whose distances are known, an order would tell what no rounding hides.
    const bounded = limit.present || Number.isFinite(base)
    const nearest = value.kind === 'score' && value.mixed !== true && bounded
    analysis.use(value, nearest ? 'nearest' : 'order')
  }
  return Math.min(base, limit.rows)
}

/** Function calls in an expression, outside subqueries. */
function callsOf(value: unknown): readonly Fields[] {
  if (Array.isArray(value)) return value.flatMap(callsOf)
  if (!isFields(value)) return []
  const found: Fields[] = []
  for (const [key, inner] of Object.entries(value)) {
    if (key === 'SubLink') continue
    if (key === 'FuncCall' && isFields(inner)) found.push(inner)
    found.push(...callsOf(inner))
  }
  return found
}

function routinesOf(call: Fields, analysis: Analysis) {
  const parts = names(call['funcname'])
  const [schema, name] = parts.length === 2 ? parts : [undefined, parts[0]]
  return analysis.catalogue.routines(schema, name ?? '', analysis.path)
}

function isAggregate(call: Fields, analysis: Analysis): boolean {
  if (call['over'] !== undefined) return false
  const routines = routinesOf(call, analysis)
  return routines.length > 0 && routines.every((each) => each.kind === 'a')
}

function spreadOf(call: Fields, scope: Scope, analysis: Analysis): number {
  if (!routinesOf(call, analysis).some((each) => each.returnsSet)) return 1
  return analysis.dry((trial) => generatedRows(readCall(open(call, 'FuncCall'), scope, trial)))
}
