// Owns which expressions cannot fail, whatever the values in them are: only such may hold masked values, and then a
// constant stands in their place. What could fail would tell of the value by doing so: 1 / (salary - 5000), email::int, and
// what grows past the gigabyte that PostgreSQL gives a value, if it has a certain letter.

import type { Routine } from '../catalogue.js'
import { OID } from '../values.js'
import type { TypeMeaning } from './names.js'
import type { Item } from './scope.js'
import { constantText } from './tree.js'
import { allSources, derived, growthOf, isSound, NOTHING, unite, type Value } from './value.js'

const VARCHAR = 1043
/** Types whose values need no conversion beside others of the same type. */
const PLAIN_TYPES: ReadonlySet<number | undefined> = new Set([
  ...[OID.text, VARCHAR, OID.bool, OID.int2, OID.int4, OID.int8, OID.uuid],
])

const words = (list: string): ReadonlySet<string> => new Set(list.split(' '))

/** A step can make a text some times as long as its parts together (escapes of JSON, `upper`), seldom ever does. */
const STEP = 3
/** Steps, one in another, over one value: fewer than any long constant counts. */
const MOST_GROWTH = STEP ** 4
/** The same for rows of a table as they stand, which may have hundreds of columns. */
const MOST_OF_ROW = STEP ** 7

/** Functions of pg_catalog that give a text or a number for any text. */
const OF_TEXT = words(
  'lower upper initcap btrim ltrim rtrim reverse md5 left right translate length char_length character_length octet_length',
)
const NUMBERS = words('length char_length character_length octet_length')
/** Those that give JSON or a text for anything. */
const OF_ANYTHING = words('row_to_json to_json json_build_array concat concat_ws')
/** The same, as jsonb: a document of type json may hold what jsonb cannot (\u0000). */
const OF_ANYTHING_BUT_JSON = words('to_jsonb jsonb_build_array')
/** Every other argument is a name. */
const OBJECTS = words('json_build_object jsonb_build_object')
/** Aggregates that give one of several texts. */
const CHOOSES_TEXT = words('min max')
/** Aggregates that put values together: see `isOfItem`. */
const GATHERS = words('json_agg jsonb_agg array_agg string_agg')
/** Window functions that give a value of another row as it is. */
const MOVES = words('lag lead first_value last_value')

const isConstant = (value: Value): boolean => value.kind === 'constant'
const isUnread = (value: Value): boolean => allSources(value).length === 0
const isText = (value: Value): boolean =>
  value.row === undefined && (value.type === OID.text || value.type === VARCHAR)

/**
 * A value made by what cannot fail; derived where a part of it can. `beside`: what steers it, noted elsewhere.
 *
 * The caller chooses the other parts. A long one beside a masked value would fail, or not, by what the masked one turns it
 * into: `translate(long, translate(ssn, …), …)`. So there is one value beside short literals, or columns of one table's row
 * as they stand, of which only the lengths add up.
 */
export function whole(
  parts: readonly Value[],
  type?: number,
  beside: readonly Value[] = [],
): Value {
  const read = parts.filter((each) => !isConstant(each))
  const short = parts.every((each) => !isConstant(each) || growthOf(each) <= 1)
  const [first] = read
  const item = rowItem(read)
  const several = read.length > 1 || first?.row !== undefined || first?.standing !== undefined
  const growth = STEP * parts.reduce((sum, each) => sum + growthOf(each), 0)
  const most = item === undefined ? MOST_GROWTH : MOST_OF_ROW
  if (!parts.every(isSound) || !short || growth > most || (several && item === undefined))
    return derived(...parts, ...beside)
  const sources = unite([...parts, ...beside].map(allSources))
  if (sources.length === 0) return NOTHING
  return { kind: 'whole', sources, type, growth, ...(several ? { standing: item } : {}) }
}

/** The one item of FROM whose columns, or rows, these are as they stand; undefined where there is none. */
function rowItem(values: readonly Value[]): object | undefined {
  const items = new Set(values.map(itemOf))
  const [item] = items
  return items.size === 1 ? item : undefined
}

function itemOf(value: Value): object | undefined {
  if (value.row !== undefined)
    return value.sources.length === 0 ? rowItem(value.row.map((each) => each.value)) : undefined
  // A generated column that is stored is whole, and stands there like any other.
  const stands = value.kind === 'column' || (value.kind === 'whole' && value.growth === undefined)
  return value.standing ?? (stands ? value.base?.item : undefined)
}

/** One of several, as it is: no longer than the longest. */
function choice(
  parts: readonly Value[],
  type: number | undefined,
  beside: readonly Value[],
): Value {
  if (!parts.every(isSound)) return derived(...parts, ...beside)
  const sources = unite([...parts, ...beside].map(allSources))
  const growth = Math.max(...parts.map(growthOf))
  return sources.length === 0 ? NOTHING : { kind: 'whole', sources, type, growth }
}

/** A value cast to a type: to text anything can be. */
export function castValue(value: Value, type: TypeMeaning, modified: boolean): Value {
  if (!type.textual) return derived(value)
  if (value.kind === 'column' && isText(value) && !modified)
    return { kind: 'column', sources: value.sources, type: OID.text }
  const { standing } = value
  // As long as it was: what a row was made of does not matter any more.
  return standing === undefined ? whole([value], OID.text) : { ...value, type: OID.text }
}

/** `a || b` of texts. Of lists of several dimensions it can fail. */
export function joined(left: Value, right: Value): Value {
  return everyText([left, right]) ? whole([left, right], OID.text) : derived(left, right)
}

const everyText = (parts: readonly Value[]): boolean =>
  parts.every((each) => isConstant(each) || isText(each))

/** One of several values (COALESCE, the results of CASE): of one type, so that none is converted. `beside`: what chooses. */
export function oneOf(parts: readonly Value[], beside: readonly Value[] = []): Value {
  const read = parts.filter((each) => !isConstant(each))
  const [first] = read
  const alike =
    PLAIN_TYPES.has(first?.type) &&
    read.every((each) => each.type === first?.type || (isText(each) && first && isText(first)))
  const exact = parts.every((each) => !isConstant(each) || each.exact === true)
  return alike && exact && first !== undefined
    ? choice(parts, first.type, beside)
    : derived(...parts, ...beside)
}

/** A list of texts. */
export function listOf(parts: readonly Value[]): Value {
  return everyText(parts) ? whole(parts) : derived(...parts)
}

/** A list of what a query of few rows gives: nothing further is made of it. */
export function listOfRows(parts: readonly Value[]): Value {
  const list = listOf(parts)
  return list.kind === 'whole' ? { ...list, growth: MOST_OF_ROW } : list
}

/**
 * `document -> 'name'`, `document ->> 'name'`: a member of the document, under its path. Only a literal says which: a cast
 * (`'phone '::char(9)`) or the type of a parameter makes another name of it.
 */
export function memberOf(operator: string, left: Value, name: unknown): Value | undefined {
  if (operator !== '->' && operator !== '->>') return undefined
  if (left.kind !== 'column' || left.row !== undefined) return undefined
  if (left.type !== OID.json && left.type !== OID.jsonb) return undefined
  const constant = constantText(name)
  const literal = constant?.form === 'string' ? constant.value : undefined
  // A number may count the members of a list; a dot would look like a path.
  if (typeof literal !== 'string' || !/^[^.]+$/.test(literal) || /^\s*[-+]?\d/.test(literal))
    return undefined
  const sources = left.sources.map((each) => ({ ...each, field: `${each.field}.${literal}` }))
  return { kind: 'column', sources, type: operator === '->' ? left.type : OID.text }
}

/**
 * A call of a function that cannot fail on such arguments; undefined for any other. `beside`: its order, filter and window;
 * `items`: the FROM of its query.
 */
export function totalCall(
  name: string,
  routines: readonly Routine[],
  values: readonly Value[],
  { beside, items }: { readonly beside: readonly Value[]; readonly items: readonly Item[] },
): Value | undefined {
  const builtIn = routines.length > 0 && routines.every(({ schema }) => schema === 'pg_catalog')
  const total = GATHERS.has(name) ? gathers(name, values, items) : isTotal(name, values)
  if (!builtIn || !total) return undefined
  const [first] = values
  const text = OF_TEXT.has(name) || name.startsWith('concat') || name === 'string_agg'
  const known = text || name === 'min' || name === 'max' ? OID.text : undefined
  const type = NUMBERS.has(name) ? OID.int4 : MOVES.has(name) ? first?.type : known
  return whole(values, type, beside)
}

/** A list of values of one table's rows, each once: joined with others, they could be as many as the caller likes. */
function gathers(name: string, values: readonly Value[], items: readonly Item[]): boolean {
  const [item, ...others] = items
  if (item === undefined || others.length > 0 || !values.every((each) => isOfItem(each, item)))
    return false
  if (name === 'json_agg') return true
  return name === 'jsonb_agg' ? values.every(isSafeInJsonb) : everyText(values)
}

/** Columns of the item as they stand, or its rows: nothing that could make them longer. */
function isOfItem(value: Value, item: Item): boolean {
  if (value.row !== undefined)
    return value.sources.length === 0 && value.row.every((each) => isOfItem(each.value, item))
  // A long separator would bring the whole near its limit.
  if (isConstant(value)) return growthOf(value) <= 1
  return isSound(value) && item.mark !== undefined && value.base?.item === item.mark
}

function isTotal(name: string, values: readonly Value[]): boolean {
  if (OF_TEXT.has(name)) return everyText(values) && isOfOne(values)
  if (CHOOSES_TEXT.has(name)) return everyText(values)
  if (OF_ANYTHING.has(name)) return true
  if (OF_ANYTHING_BUT_JSON.has(name)) return values.every(isSafeInJsonb)
  if (OBJECTS.has(name)) {
    const safe = name.startsWith('jsonb') ? isSafeInJsonb : () => true
    return values.every((each, index) => (index % 2 === 0 ? isConstant(each) : safe(each)))
  }
  if (!MOVES.has(name)) return false
  const [first, distance, other] = values
  if (first === undefined || (distance !== undefined && !isUnread(distance))) return false
  return other === undefined || isConstant(other) || other.type === first.type
}

/** The value first, the rest constants; not of a row's columns together, whose letters the function would count. */
function isOfOne([first, ...others]: readonly Value[]): boolean {
  return first !== undefined && first.standing === undefined && others.every(isConstant)
}

// Types of pg_catalog have OIDs below this (FirstNormalObjectId).
const FIRST_NORMAL_OID = 16384

function isSafeInJsonb(value: Value): boolean {
  if (value.row !== undefined) return value.row.every((column) => isSafeInJsonb(column.value))
  if (isConstant(value) || isUnread(value) || value.embedding === true) return true
  const { type } = value
  return type !== undefined && type < FIRST_NORMAL_OID && type !== OID.json && type !== JSON_LIST
}

const JSON_LIST = 199
