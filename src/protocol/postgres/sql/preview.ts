// Owns the question "how many rows would this touch": a count with the statement's own condition. It is built from
// the statement's text and believed only when it parses to the very condition that was judged. It must never be
// built where counting could do anything: functions, sub-selects, joins and views give a reason instead.

import type { PreviewQuery } from '../../../core/adapter.js'
import { type CatalogueSnapshot, type Relation, TEMPORARY_SCHEMA } from '../catalogue.js'
import type { Parameter } from '../statement.js'
import { parseTree } from './parser.js'
import { isFields, list, tagOf, text } from './tree.js'

/** Functions that neither change anything nor take long. Everything else is not counted. */
const HARMLESS = new Set(
  'lower upper length char_length octet_length btrim ltrim rtrim trim left right substr substring replace concat abs ceil floor round trunc mod power sqrt sign now date_trunc date_part extract age to_char to_date to_timestamp make_date position strpos starts_with md5 jsonb_typeof jsonb_array_length array_length cardinality l2_distance cosine_distance inner_product l1_distance vector_dims vector_norm'.split(
    ' ',
  ),
)
/** Nodes that a counted condition may hold. */
const COUNTABLE = new Set(
  'A_Expr BoolExpr NullTest BooleanTest ColumnRef String A_Const A_ArrayExpr TypeCast TypeName ParamRef List FuncCall CoalesceExpr MinMaxExpr CaseExpr CaseWhen SQLValueFunction Integer A_Indirection A_Indices RowExpr CollateClause'.split(
    ' ',
  ),
)
/** A longer statement is not looked at. Characters. */
const MAX_TEXT = 100_000

interface Given {
  readonly catalogue: CatalogueSnapshot
  readonly path: readonly string[]
  readonly parameters: readonly Parameter[] | undefined
}

/** The counts of a DELETE, UPDATE, TRUNCATE, DROP TABLE or COPY of a table. Empty for every other statement. */
export function previewsOf(tree: unknown, source: string, given: Given): readonly PreviewQuery[] {
  if (!isFields(tree)) return []
  const tag = tagOf(tree)
  const fields = tree[tag]
  if (!isFields(fields)) return []
  if (tag === 'DeleteStmt' || tag === 'UpdateStmt') {
    const joined = [...list(fields['usingClause']), ...list(fields['fromClause'])].length > 0
    const range = isFields(fields['relation']) ? fields['relation'] : {}
    const why = joined
      ? 'it joins another table'
      : fields['withClause']
        ? 'it uses WITH'
        : undefined
    return one(range, fields['whereClause'], source, given, why)
  }
  if (tag === 'MergeStmt') {
    const range = isFields(fields['relation']) ? fields['relation'] : {}
    return one(range, undefined, source, given, 'it joins another table')
  }
  if (tag === 'TruncateStmt') {
    return list(fields['relations']).flatMap((each) => {
      const range = isFields(each) ? each['RangeVar'] : undefined
      return isFields(range) ? one(range, undefined, source, given, undefined) : []
    })
  }
  // COPY leaves out what inherits from the table.
  if (tag === 'CopyStmt' && fields['is_from'] !== true && isFields(fields['relation']))
    return one({ ...fields['relation'], inh: false }, undefined, source, given, undefined)
  if (tag === 'DropStmt' && fields['removeType'] === 'OBJECT_TABLE') {
    return list(fields['objects']).flatMap((each) => {
      const items = isFields(each) && isFields(each['List']) ? list(each['List']['items']) : []
      const names = items.map((item) =>
        isFields(item) && isFields(item['String']) ? text(item['String']['sval']) : '',
      )
      const relname = names.at(-1)
      const schemaname = names.at(-2)
      const range = { relname, ...(schemaname === undefined ? {} : { schemaname }) }
      return one(range, undefined, source, given, undefined)
    })
  }
  return []
}

function one(
  range: Readonly<Record<string, unknown>>,
  where: unknown,
  source: string,
  given: Given,
  obstacle: string | undefined,
): readonly PreviewQuery[] {
  const relation = find(range, given)
  if (relation === undefined) return []
  const { collection } = relation
  const unknown = (why: string): readonly PreviewQuery[] => [{ collection, unknown: why }]
  if (relation.schema === TEMPORARY_SCHEMA) return unknown('it is a temporary table')
  if (obstacle !== undefined) return unknown(obstacle)
  if (relation.kind !== 'r' && relation.kind !== 'p') return unknown('it is not a table')
  const only = range['inh'] === false ? 'ONLY ' : ''
  const table = `${only}${quoted(relation.schema)}.${quoted(relation.name)}`
  const total = `SELECT count(*) FROM ${table}`
  const base = { collection, total, searchPath: given.path }
  if (where === undefined) return [{ ...base, count: total, parameters: [] }]
  const why = uncountable(where)
  if (why !== undefined) return unknown(why)
  const parameters: (string | null)[] = []
  for (const parameter of given.parameters ?? []) {
    if (!parameter.known) return unknown('a parameter cannot be read')
    parameters.push(parameter.value)
  }
  const alias = isFields(range['alias']) ? text(range['alias']['aliasname']) : relation.name
  const condition = conditionText(source, where)
  if (condition === undefined) return unknown('its condition cannot be told apart')
  const used = parameters.slice(0, highest(where))
  const count = `SELECT count(*) FROM ${table} AS ${quoted(alias)} WHERE ${condition}`
  return [{ ...base, count, parameters: used }]
}

function find(
  range: Readonly<Record<string, unknown>>,
  { catalogue, path }: Given,
): Relation | undefined {
  const schema = text(range['schemaname'])
  const name = text(range['relname'])
  if (schema !== '') return catalogue.relation(schema, name, path)
  return catalogue.relation(TEMPORARY_SCHEMA, name, []) ?? catalogue.relation(undefined, name, path)
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** The words behind the WHERE whose tree is the one that was judged. */
function conditionText(source: string, where: unknown): string | undefined {
  if (source.length > MAX_TEXT) return undefined
  const wanted = shape(where)
  for (const match of source.matchAll(/\bwhere\b/gi)) {
    const rest = source.slice(match.index + match[0].length)
    const ends = [...rest.matchAll(/\breturning\b/gi)].map((end) => end.index)
    for (const end of [rest.length, ...ends]) {
      const candidate = rest.slice(0, end).replace(/;\s*$/, '')
      if (shape(parsedWhere(candidate)) === wanted) return `(${candidate}\n)`
    }
  }
  return undefined
}

function parsedWhere(condition: string): unknown {
  const outcome = parseTree(`SELECT 1 WHERE (${condition}\n)`)
  if (!outcome.ok) return undefined
  const [first, second] = list(outcome.tree['stmts'])
  if (second !== undefined || !isFields(first) || !isFields(first['stmt'])) return undefined
  const select = first['stmt']['SelectStmt']
  if (!isFields(select)) return undefined
  // Nothing but the condition may have come in: no FROM, no ORDER BY, no lock.
  const known = ['targetList', 'whereClause', 'limitOption', 'op']
  return Object.keys(select).every((key) => known.includes(key)) ? select['whereClause'] : undefined
}

/** A tree without its positions. */
function shape(tree: unknown): string | undefined {
  if (tree === undefined) return undefined
  return JSON.stringify(tree, (key, value: unknown) =>
    key === 'location' ||
    key === 'rexpr_list_start' ||
    key === 'rexpr_list_end' ||
    key === 'list_start' ||
    key === 'list_end'
      ? undefined
      : value,
  )
}

/** Why a condition is not counted, or undefined. */
function uncountable(root: unknown): string | undefined {
  const waiting: unknown[] = [root]
  while (waiting.length > 0) {
    const value = waiting.pop()
    if (Array.isArray(value)) waiting.push(...value)
    if (!isFields(value)) continue
    for (const [tag, inner] of Object.entries(value)) {
      if (!/^[A-Z]/.test(tag)) {
        if (typeof inner === 'object' && inner !== null) waiting.push(inner)
        continue
      }
      if (tag === 'SubLink') return 'it has a sub-select'
      if (!COUNTABLE.has(tag)) return 'its condition is not simple'
      if (tag === 'FuncCall') {
        const name = isFields(inner) ? functionName(inner['funcname']) : ''
        if (!HARMLESS.has(name)) return `it calls ${name === '' ? 'a function' : name}`
      }
      if (tag === 'A_Expr' && isFields(inner) && list(inner['name']).length > 1)
        return 'it names an operator of a schema'
      waiting.push(inner)
    }
  }
  return undefined
}

function functionName(value: unknown): string {
  const names = list(value).map((each) =>
    isFields(each) && isFields(each['String']) ? text(each['String']['sval']) : '',
  )
  const [first = '', second] = names
  if (second === undefined) return first
  return first === 'pg_catalog' ? second : names.join('.')
}

function highest(root: unknown): number {
  let found = 0
  JSON.stringify(root, (key, value: unknown) => {
    if (key === 'ParamRef' && isFields(value) && typeof value['number'] === 'number')
      found = Math.max(found, value['number'])
    return value
  })
  return found
}
