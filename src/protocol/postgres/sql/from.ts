// Owns FROM: tables, views, common tables, subqueries, functions and joins, as named items with columns.

import type { Relation } from '../catalogue.js'
import type { Analysis } from './analysis.js'
import { allowsCatalogueRelation } from './builtin.js'
import { type Call, readCall } from './call.js'
import { columnName } from './column-name.js'
import { conjuncts, noteCondition } from './condition.js'
import { evaluate, evaluateAll } from './expression.js'
import { resolveType } from './names.js'
import { evaluateQuery } from './query.js'
import { relationColumns } from './relation-columns.js'
import { generatedRows } from './rows.js'
import { type Item, type Range, Scope } from './scope.js'
import { readsSettings, SHOW_ALL } from './settings-rows.js'
import {
  expectNode,
  type Fields,
  isFields,
  list,
  NotUnderstood,
  names,
  node,
  open,
  placed,
  tagOf,
  text,
} from './tree.js'
import { type Column, derived, merge, NOTHING, type Value } from './value.js'

/** Reads one element of FROM. `left` is what stands before it: visible to LATERAL and functions. */
export function readRange(value: unknown, left: Scope, analysis: Analysis): Range {
  return analysis.deeper(() => {
    const { tag, fields } = node(value)
    if (tag === 'RangeVar') return tableRange(fields, left, analysis)
    if (tag === 'RangeSubselect') return subselectRange(fields, left, analysis)
    if (tag === 'RangeFunction') return functionRange(fields, left, analysis)
    if (tag === 'JoinExpr') return joinRange(fields, left, analysis)
    if (tag === 'RangeTableSample') return sampleRange(fields, left, analysis)
    throw new NotUnderstood(`not supported yet: ${tag} in FROM`)
  })
}

function aliasOf(value: unknown): { name: string | undefined; columns: readonly string[] } {
  if (value === undefined) return { name: undefined, columns: [] }
  const fields = open(value, 'Alias')
  return { name: text(fields['aliasname']), columns: names(fields['colnames']) }
}

function renamed(columns: readonly Column[], aliases: readonly string[]): readonly Column[] {
  if (aliases.length === 0) return columns
  if (aliases.length > columns.length) throw new NotUnderstood('more column aliases than columns')
  return columns.map((column, index) => ({
    name: aliases[index] ?? column.name,
    value: column.value,
  }))
}

function single(item: Item): Range {
  return { items: [item], columns: item.columns, rows: (bound) => Math.min(item.rows, bound(item)) }
}

/** Resolves a relation that a statement names. Unknown, temporary and foreign-database names are refused. */
export function resolveRelation(
  value: unknown,
  analysis: Analysis,
): { relation: Relation; only: boolean } {
  const fields = open(value, 'RangeVar')
  const name = text(fields['relname'])
  const schema = fields['schemaname'] === undefined ? undefined : text(fields['schemaname'])
  if (fields['relpersistence'] !== 'p')
    throw new NotUnderstood('not supported yet: temporary or unlogged tables')
  const relation = analysis.named(schema, name)
  if (relation === undefined) {
    const shown = schema === undefined ? name : `${schema}.${name}`
    return placed(fields, () => {
      throw new NotUnderstood(`unknown relation "${shown}"`)
    })
  }
  if (relation.kind === 'i' || relation.kind === 'I')
    throw new NotUnderstood(`"${name}" is an index`)
  return { relation, only: fields['inh'] !== true }
}

function tableRange(fields: Fields, left: Scope, analysis: Analysis): Range {
  const alias = aliasOf(fields['alias'])
  const name = text(fields['relname'])
  const common = fields['schemaname'] === undefined ? left.table(name) : undefined
  if (common !== undefined) {
    analysis.met += 1
    const columns = renamed(common.columns(), alias.columns)
    return single({ alias: alias.name ?? name, columns, rows: common.rows() })
  }
  const { relation, only } = resolveRelation(fields, analysis)
  return single(relationItem(relation, only, alias, analysis))
}

/** A relation as a range item; notes that it is read. */
export function relationItem(
  relation: Relation,
  only: boolean,
  alias: { name: string | undefined; columns: readonly string[] },
  analysis: Analysis,
): Item {
  if (relation.system && !allowsCatalogueRelation(relation.schema, relation.name)) {
    throw new NotUnderstood(
      `"${relation.name}" is not readable: it can hold values or other people's statements`,
    )
  }
  analysis.reach(relation, 'read', 'get', { kind: 'none' }, only)
  // A key of a table is not unique over tables that inherit from it; a partitioned table's is.
  const keyed =
    only || relation.kind === 'p' || analysis.catalogue.descendants(relation).length === 0
  const mark = keyed ? {} : undefined
  if (relation.system && relation.name === 'pg_settings') analysis.unproved.add(mark ?? {})
  const own = relationColumns(relation, only, analysis)
  const columns = renamed(mark === undefined ? own : marked(own, mark), alias.columns)
  return {
    ...(mark === undefined ? {} : { mark }),
    alias: alias.name ?? relation.name,
    ...(alias.name === undefined ? { schema: relation.schema } : {}),
    columns,
    relation,
    only,
    rows: relation.kind === 'S' ? 1 : Number.POSITIVE_INFINITY,
  }
}

function marked(columns: readonly Column[], mark: object): readonly Column[] {
  return columns.map(({ name, value }) => ({
    name,
    value: { ...value, base: { item: mark, column: name } },
  }))
}

function subselectRange(fields: Fields, left: Scope, analysis: Analysis): Range {
  const alias = aliasOf(fields['alias'])
  // Without LATERAL what stands before it cannot be named.
  const outer = fields['lateral'] === true ? left : outerOf(left)
  const again = fields['lateral'] === true ? 1 : 0
  analysis.repeated += again
  const query = evaluateQuery(fields['subquery'], outer, analysis)
  analysis.repeated -= again
  return single({
    alias: alias.name ?? '',
    columns: renamed(query.columns, alias.columns),
    rows: query.rows,
  })
}

/** The scope without its own FROM items, but with its common tables. */
function outerOf(scope: Scope): Scope {
  const outer = new Scope(scope.parent)
  for (const [name, table] of scope.tables) outer.tables.set(name, table)
  return outer
}

function functionRange(fields: Fields, left: Scope, analysis: Analysis): Range {
  const alias = aliasOf(fields['alias'])
  const settings = readsSettings(fields, analysis)
  if (settings !== undefined)
    return single(
      relationItem(settings, true, { ...alias, name: alias.name ?? SHOW_ALL }, analysis),
    )
  const calls = list(fields['functions']).map((each) => oneFunction(each, left, analysis))
  const definitions = columnDefinitions(fields['coldeflist'], analysis)
  const columns: Column[] = []
  let rest: Value | undefined
  let rows = 0
  for (const call of calls) {
    analysis.use(call.value, 'derived')
    const own = call.definitions.length > 0 ? call.definitions : definitions
    const shape = functionColumns(call, own, calls.length === 1 ? alias.name : undefined, analysis)
    columns.push(...shape.columns)
    if (shape.rest !== undefined) rest = derived(shape.rest, rest ?? NOTHING)
    rows = Math.max(rows, generatedRows(call))
  }
  if (fields['ordinality'] === true) columns.push({ name: 'ordinality', value: NOTHING })
  const item: Item = {
    alias: alias.name ?? calls[0]?.name ?? '',
    columns:
      alias.columns.length > columns.length && rest !== undefined
        ? alias.columns.map((name) => ({ name, value: rest ?? NOTHING }))
        : renamed(columns, alias.columns),
    ...(rest === undefined ? {} : { rest }),
    rows,
  }
  return single(item)
}

function oneFunction(
  value: unknown,
  left: Scope,
  analysis: Analysis,
): Call & { definitions: readonly string[] } {
  const [first, second] = list(expectNode(value, 'List')['items'])
  if (first === undefined) throw new NotUnderstood('malformed function in FROM')
  // Without column definitions the grammar leaves an empty node.
  const bare = second === undefined || (isFields(second) && Object.keys(second).length === 0)
  const definitions = bare ? [] : columnDefinitions(expectNode(second, 'List')['items'], analysis)
  if (tagOf(first) === 'FuncCall')
    return { ...readCall(expectNode(first, 'FuncCall'), left, analysis), definitions }
  const plain = evaluate(first, left, analysis)
  const name = columnName(first, () => '')
  return { value: derived(plain), routines: [], arguments: [], name, definitions }
}

function columnDefinitions(value: unknown, analysis: Analysis): readonly string[] {
  return list(value).map((each) => {
    const fields = expectNode(each, 'ColumnDef')
    resolveType(fields['typeName'], analysis)
    return text(fields['colname'])
  })
}

function functionColumns(
  call: Call,
  definitions: readonly string[],
  alias: string | undefined,
  analysis: Analysis,
): { columns: readonly Column[]; rest?: Value } {
  const value = derived(call.value)
  const named = (list: readonly string[]): readonly Column[] =>
    list.map((name) => ({ name, value }))
  if (definitions.length > 0) return { columns: named(definitions) }
  const single = named([alias ?? call.name])
  if (call.name === 'unnest' && call.arguments.length > 1) {
    return {
      columns: call.arguments.map((each) => ({ name: 'unnest', value: derived(each) })),
      rest: value,
    }
  }
  const shapes = new Set(
    call.routines.map((each) => JSON.stringify([each.outputs, each.rowOf, each.pseudo])),
  )
  const routine = call.routines[0]
  if (routine === undefined || shapes.size > 1) return { columns: single, rest: value }
  if (routine.outputs !== undefined && routine.outputs.length > 1)
    return { columns: named(routine.outputs) }
  if (routine.outputs !== undefined)
    return { columns: named([alias ?? (routine.outputs[0] || call.name)]) }
  if (routine.rowOf !== undefined) {
    const relation = analysis.catalogue.relationByOid(routine.rowOf)
    if (relation === undefined) return { columns: single, rest: value }
    const own = relationColumns(relation, false, analysis)
    return {
      columns: own.map((column) => ({ name: column.name, value: derived(column.value, value) })),
    }
  }
  const open =
    routine.pseudo !== undefined && routine.pseudo !== 'void' && routine.pseudo !== 'cstring'
  return open ? { columns: single, rest: value } : { columns: single }
}

function sampleRange(fields: Fields, left: Scope, analysis: Analysis): Range {
  const method = names(fields['method'])
  const [only] = method.slice(-1)
  if (only !== 'bernoulli' && only !== 'system')
    throw new NotUnderstood('not supported yet: this sampling method')
  if (method.length > 1 && method[0] !== 'pg_catalog')
    throw new NotUnderstood('not supported yet: this sampling method')
  analysis.use(evaluateAll(fields['args'], left, analysis), 'predicate')
  if (fields['repeatable'] !== undefined)
    analysis.use(evaluate(fields['repeatable'], left, analysis), 'predicate')
  return readRange(fields['relation'], left, analysis)
}

function joinRange(fields: Fields, left: Scope, analysis: Analysis): Range {
  const first = readRange(fields['larg'], left, analysis)
  const inner = new Scope(left.parent)
  for (const [name, table] of left.tables) inner.tables.set(name, table)
  inner.items = left.items
  inner.columns = left.columns
  inner.add(first)
  const second = readRange(fields['rarg'], inner, analysis)
  const columns = joinedColumns(fields, first, second, analysis)
  if (fields['quals'] !== undefined) {
    // In ON only the two sides of the join can be named, and what is further out.
    const scope = new Scope(outerOf(left))
    scope.add(first)
    scope.add(second)
    for (const each of conjuncts(fields['quals'])) noteCondition(each, scope, analysis, 'join')
  }
  const kind = text(fields['jointype'])
  const rows = joinedRows(kind, first, second)
  const alias = fields['alias'] === undefined ? undefined : aliasOf(fields['alias'])
  const items: Item[] = [...first.items, ...second.items]
  if (alias !== undefined) {
    const item: Item = {
      alias: alias.name ?? '',
      columns: renamed(columns, alias.columns),
      rows: Number.POSITIVE_INFINITY,
    }
    return { items: [item], columns: item.columns, rows }
  }
  if (fields['join_using_alias'] !== undefined)
    throw new NotUnderstood('not supported yet: an alias after USING')
  return { items, columns, rows }
}

function joinedColumns(
  fields: Fields,
  first: Range,
  second: Range,
  analysis: Analysis,
): readonly Column[] {
  const explicit = names(fields['usingClause'])
  const both = first.columns.filter((column) =>
    second.columns.some((other) => other.name === column.name),
  )
  const shared =
    fields['isNatural'] === true ? [...new Set(both.map((column) => column.name))] : explicit
  const opened = [...first.items, ...second.items].some((item) => item.rest !== undefined)
  if (opened && fields['isNatural'] === true)
    throw new NotUnderstood('not supported yet: NATURAL JOIN of a function')
  const merged = shared.map((name) => {
    const left = only(first, name)
    const right = only(second, name)
    analysis.use(left, 'join')
    analysis.use(right, 'join')
    return { name, value: merge(left, right) }
  })
  const others = (range: Range): readonly Column[] =>
    range.columns.filter((column) => !shared.includes(column.name))
  return [...merged, ...others(first), ...others(second)]
}

function only(range: Range, name: string): Value {
  const found = range.columns.filter((column) => column.name === name)
  const column = found[0]
  if (column === undefined || found.length > 1)
    throw new NotUnderstood(`unknown column "${name}" in USING`)
  return column.value
}

function joinedRows(kind: string, first: Range, second: Range): Range['rows'] {
  const product = (a: number, b: number): number => (a === 0 || b === 0 ? 0 : a * b)
  return (bound) => {
    const a = first.rows(bound)
    const b = second.rows(bound)
    if (kind === 'JOIN_INNER') return product(a, b)
    if (kind === 'JOIN_LEFT') return product(a, Math.max(1, b))
    if (kind === 'JOIN_RIGHT') return product(Math.max(1, a), b)
    return product(a, b) + a + b
  }
}
