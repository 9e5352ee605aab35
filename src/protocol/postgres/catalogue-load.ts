// Owns the way from rows of side queries to a catalogue snapshot. A row of an unexpected form stops the load:
// without a catalogue nothing is judged, so everything is refused.

import type { SideQuery } from '../../core/adapter.js'
import { VgateError } from '../../core/errors.js'
import type { PostgresProduct } from '../table.js'
import {
  type CatalogueParts,
  collectionName,
  type Relation,
  type RelationColumn,
  type Routine,
  TEMPORARY_SCHEMA,
  type TriggerEvent,
  type UserOperator,
  type UserType,
  type ViewDefinition,
} from './catalogue.js'
import {
  FUNCTION_QUERY,
  OPERATOR_QUERY,
  PART_QUERY,
  RELATION_QUERY,
  SESSION_QUERY,
  TYPE_QUERY,
  VERSION_QUERY,
} from './catalogue-queries.js'
import type { Row } from './statement.js'

/** The answers, as text. Also what tests keep as fixtures. */
export interface CatalogueRows {
  readonly session: readonly Row[]
  readonly relations: readonly Row[]
  readonly functions: readonly Row[]
  readonly types: readonly Row[]
  readonly operators: readonly Row[]
  /** Absent in fixtures that have none. */
  readonly parts?: readonly Row[]
}

/** Runs the side queries one after the other. Errors of `query` pass up. */
export async function readCatalogueRows(query: SideQuery): Promise<CatalogueRows> {
  const session = await query(SESSION_QUERY)
  const relations = await query(RELATION_QUERY)
  const functions = await query(FUNCTION_QUERY)
  const types = await query(TYPE_QUERY)
  const operators = await query(OPERATOR_QUERY)
  const parts = await query(PART_QUERY)
  return { session, relations, functions, types, operators, parts }
}

/**
 * One text that is another one as soon as anything that `readCatalogueRows` reads has changed and been committed.
 * Throws VGATE_UPSTREAM_FAILED for an answer of an unexpected form.
 */
export async function readCatalogueVersion(query: SideQuery): Promise<string> {
  const [row] = await query(VERSION_QUERY)
  if (row === undefined) throw malformed('version')
  return row.map((_, index) => cell(row, index)).join('\n')
}

/** Rows → parts of a snapshot. Throws VGATE_UPSTREAM_FAILED for rows of an unexpected form. */
export function catalogueParts(rows: CatalogueRows, product: PostgresProduct): CatalogueParts {
  const session = rows.session[0]
  if (session === undefined) throw malformed('session')
  const types = rows.types.map(userType)
  const vectorTypeOids = vectorTypes(types, product)
  const vectors = holders(vectorTypeOids, rows.parts ?? [])
  return {
    defaultSearchPath: strings(session[0]),
    user: cell(session, 1),
    schemas: strings(session[2]),
    extensions: strings(session[3]),
    builtInTypes: strings(session[4]),
    relations: rows.relations.map((row) => relation(row, vectors)),
    routines: rows.functions.map(routine),
    types,
    operators: rows.operators.map(operator),
    vectorTypeOids,
  }
}

/**
 * Answers to OWN_QUERIES → parts of a snapshot: those and what the shared one knows of the database's own schemas.
 * Undefined where the server may look at another catalogue than it tells: in a transaction that goes on seeing what was
 * at its beginning, and behind a path in which another schema's operators come before its own (`pg_get_viewdef` uses
 * such). Throws VGATE_UPSTREAM_FAILED for rows of an unexpected form.
 */
export function ownParts(
  answers: readonly (readonly Row[])[],
  shared: CatalogueParts,
  product: PostgresProduct,
): CatalogueParts | undefined {
  const [[session] = [], relations = [], functions = [], types = [], operators = [], parts = []] =
    answers
  if (session === undefined) throw malformed('session')
  const own = catalogueParts(
    { session: [[...session.slice(0, 4), '[]']], relations, functions, types, operators, parts },
    product,
  )
  const { builtInTypes } = shared
  const seesOthers = /^read (?:un)?committed$/.test(cell(session, 4))
  if (!seesOthers || own.defaultSearchPath.indexOf('pg_catalog') > 0) return undefined
  return {
    ...own,
    builtInTypes,
    relations: [...shared.relations.filter(({ system }) => system), ...own.relations],
    routines: [...shared.routines.filter(({ schema }) => isSystem(schema)), ...own.routines],
  }
}

/** Answers to TEMPORARY_QUERY → relations. Throws VGATE_UPSTREAM_FAILED for rows of an unexpected form. */
export function temporaryRelations(
  rows: readonly Row[],
  { vectorTypeOids }: CatalogueParts,
): readonly Relation[] {
  const vectors = new Set(vectorTypeOids)
  return rows.map(([oid = null, , ...rest]) => ({
    ...relation([oid, TEMPORARY_SCHEMA, ...rest], vectors),
    // A view that a function has made: nobody reads what it is.
    unread: false,
  }))
}

/** Rows of `viewQuery` by their view; undefined where they are written for another search path. */
export function viewDefinitions(
  rows: readonly Row[],
  path: readonly string[],
): ReadonlyMap<number, ViewDefinition> | undefined {
  const along = rows.every((row) => JSON.stringify(strings(cell(row, 3))) === JSON.stringify(path))
  if (!along) return undefined
  return new Map(
    rows.map((row) => [Number(cell(row, 0)), { text: cell(row, 1), version: cell(row, 2) }]),
  )
}

const isSystem = (schema: string): boolean =>
  schema === 'pg_catalog' || schema === 'information_schema'

/** Types of embeddings: the product's, built in or of its own extensions, and domains over them. A type of that name made by anyone else is not one. */
function vectorTypes(types: readonly UserType[], product: PostgresProduct): number[] {
  const own = types.filter(
    (type) =>
      type.extension !== undefined &&
      product.extensions.includes(type.extension) &&
      product.vectorTypes.includes(type.name),
  )
  const builtIn = Object.values(product.builtInVectorTypes)
  const oids = new Set([...builtIn, ...own.map((type) => type.oid)])
  for (let size = -1; size !== oids.size; ) {
    size = oids.size
    for (const type of types) if (type.base !== undefined && oids.has(type.base)) oids.add(type.oid)
  }
  return [...oids]
}

/** Those types, and all in whose values theirs can stand: arrays, rows, ranges. */
function holders(vectors: readonly number[], parts: readonly Row[]): ReadonlySet<number> {
  const found = new Set(vectors)
  const pairs = parts.map((row) => [Number(cell(row, 0)), Number(cell(row, 1))] as const)
  for (let size = -1; size !== found.size; ) {
    size = found.size
    for (const [whole, part] of pairs) if (found.has(part)) found.add(whole)
  }
  return found
}

/** One bit is a flag, and no embedding. */
const BIT_TYPES: ReadonlySet<number> = new Set([1560, 1562])

function relation(row: Row, vectors: ReadonlySet<number>): Relation {
  const schema = cell(row, 1)
  const name = cell(row, 2)
  const kind = cell(row, 3)
  const system = isSystem(schema)
  const all = json(row[4])
  const columns = all.map((entry) => {
    const [attribute, columnName, typeOid, notNull, modifier, madeOf, generated] = Array.isArray(
      entry,
    )
      ? entry
      : []
    if (
      typeof attribute !== 'number' ||
      typeof columnName !== 'string' ||
      typeof typeOid !== 'number'
    ) {
      throw malformed('relation')
    }
    return {
      attribute,
      name: columnName,
      typeOid,
      notNull: notNull === true,
      vector: vectors.has(typeOid) && !(modifier === 1 && BIT_TYPES.has(typeOid)),
      ...(Array.isArray(madeOf) ? { madeOf: namesOf(madeOf, all), stored: generated === 's' } : {}),
    }
  })
  const keys = json(row[5]).flatMap((entry) => {
    const [list, size] = Array.isArray(entry) ? entry : []
    if (typeof list !== 'string' || typeof size !== 'number') throw malformed('relation')
    const parts = list.split(' ').slice(0, size).map(Number)
    const found = parts.map((attribute) => columns.find((each) => each.attribute === attribute))
    return found.every((each) => each?.notNull === true)
      ? [found.map((each) => each?.name ?? '')]
      : []
  })
  return {
    oid: Number(cell(row, 0)),
    schema,
    name,
    kind,
    collection: collectionName(schema, name),
    system,
    columns,
    keys,
    parents: json(row[6]).map(Number),
    definition: row[7] ?? undefined,
    unread: !system && (kind === 'v' || kind === 'm') && typeof row[7] !== 'string',
    hasRules: row[8] === 'rules',
    insteadOf: triggerEvents(Number(row[12] ?? 0)),
    indexOf: row[9] === null || row[9] === undefined ? undefined : Number(row[9]),
    version: row[10] ?? '',
    leaf: row[11] === 'leaf',
    unique: json(row[13]).map((entry) => withMadeOf(namesOf(numbers(entry), all), columns)),
    references: json(row[14]).map((entry) => {
      const [own, target, others] = Array.isArray(entry) ? entry : []
      // One by one: in the order of the key.
      const named = numbers(own).flatMap((each) => namesOf([each], all))
      return { columns: named, relation: Number(target), attributes: numbers(others) }
    }),
    checks: json(row[15]).map((entry) => {
      const found = numbers(entry)
      const wanted = found.includes(0)
        ? columns.map(({ name }) => name)
        : namesOf(
            found.filter((each) => each > 0),
            all,
          )
      return withMadeOf(wanted, columns)
    }),
  }
}

/** Names of columns by their numbers. */
function namesOf(numbers: readonly unknown[], columns: readonly unknown[]): readonly string[] {
  const found = columns.filter((each) => Array.isArray(each) && numbers.includes(each[0]))
  if (found.length !== numbers.length) throw malformed('relation')
  return found.map((each) => String(Array.isArray(each) ? each[1] : ''))
}

/** Columns, and those that generated ones of them are computed from: to write these is to write those. */
function withMadeOf(
  names: readonly string[],
  columns: readonly RelationColumn[],
): readonly string[] {
  const behind = columns.flatMap(({ name, madeOf }) => (names.includes(name) ? (madeOf ?? []) : []))
  return [...new Set([...names, ...behind])]
}

function numbers(value: unknown): readonly number[] {
  if (!Array.isArray(value)) throw malformed('relation')
  return value.map(Number)
}

/** The bits of pg_trigger.tgtype (catalog/pg_trigger.h). */
function triggerEvents(bits: number): readonly TriggerEvent[] {
  const found = [
    ['insert', 4],
    ['delete', 8],
    ['update', 16],
  ] as const
  return found.flatMap(([event, bit]) => ((bits & bit) === 0 ? [] : [event]))
}

function routine(row: Row): Routine {
  const schema = cell(row, 0)
  const name = cell(row, 1)
  const count = Number(cell(row, 4))
  const result = row[9] ?? undefined
  const isRow = result !== undefined && /^\d+$/.test(result)
  return {
    schema,
    name,
    volatility: cell(row, 2),
    kind: cell(row, 3),
    minimumArguments: count - Number(cell(row, 5)) - (cell(row, 6) === 'true' ? 1 : 0),
    maximumArguments: cell(row, 6) === 'true' ? Number.POSITIVE_INFINITY : count,
    returnsSet: cell(row, 7) === 'true',
    outputs: typeof row[8] === 'string' ? strings(row[8]) : undefined,
    rowOf: isRow ? Number(result) : undefined,
    pseudo: isRow ? undefined : result,
    signature: `${schema}.${name}(${(row[10] ?? '').replaceAll(', ', ',')})`,
    extension: row[11] ?? undefined,
  }
}

function userType(row: Row): UserType {
  return {
    oid: Number(cell(row, 0)),
    schema: cell(row, 1),
    name: cell(row, 2),
    kind: cell(row, 3),
    base: typeof row[4] === 'string' ? Number(row[4]) : undefined,
    extension: row[5] ?? undefined,
    baseIsBuiltIn: row[6] === 'true',
  }
}

function operator(row: Row): UserOperator {
  return {
    schema: cell(row, 0),
    name: cell(row, 1),
    left: Number(cell(row, 2)),
    right: Number(cell(row, 3)),
    function: cell(row, 4).replaceAll(', ', ','),
    extension: row[5] ?? undefined,
  }
}

function cell(row: Row, index: number): string {
  const value = row[index]
  if (typeof value !== 'string') throw malformed(`column ${index}`)
  return value
}

function json(value: string | null | undefined): readonly unknown[] {
  if (value === null || value === undefined) return []
  const parsed: unknown = JSON.parse(value)
  if (!Array.isArray(parsed)) throw malformed('list')
  return parsed
}

function strings(value: string | null | undefined): string[] {
  return json(value).map((entry) => {
    if (typeof entry !== 'string') throw malformed('name')
    return entry
  })
}

function malformed(what: string): VgateError {
  return new VgateError(
    'VGATE_UPSTREAM_FAILED',
    `the database's catalogue was not understood (${what})`,
    {
      hint: 'check that the target is PostgreSQL 13 or newer',
    },
  )
}
