// Owns what is temporary: which names it may take, so that it never stands in front of what is governed, and when a
// statement changes nothing else. Must never let a temporary name hide a relation or a type that is known.

import { isTemporary } from '../../../core/operation.js'
import { type CatalogueSnapshot, type Relation, TEMPORARY_SCHEMA } from '../catalogue.js'
import type { Analysis } from './analysis.js'
import { type Fields, NotUnderstood, names, open } from './tree.js'

/** Names up to this length are what they are in every encoding; the server cuts longer ones at its own place. Bytes. */
const PLAIN_BYTES = 55

/** Relations and columns that a session may have: all are read and looked through again behind each change. */
const MAX_PARTS = 10_000

/** What makes, changes or drops a relation. */
const CHANGES: ReadonlySet<string> = new Set([
  'create_collection',
  'alter_collection',
  'rename_collection',
  'drop_collection',
  'create_index',
  'alter_index',
  'drop_index',
])

/** True for what belongs to the session. */
export function isOwn({ schema }: Pick<Relation, 'schema'>): boolean {
  return schema === TEMPORARY_SCHEMA
}

/** True where what it makes, changes and drops is temporary, and something is. */
export function changesTemporary({ collections }: Analysis): boolean {
  const found = collections.filter(({ access }) => access === 'admin')
  return (
    found.some(({ action }) => CHANGES.has(action)) &&
    found.every(({ collection }) => isTemporary(collection))
  )
}

/**
 * Refuses a name that something else has, in whatever schema: PostgreSQL looks among temporary relations and types
 * first, in triggers and functions too.
 */
export function demandFree(name: string, { catalogue }: Analysis): void {
  if (Buffer.byteLength(name) > PLAIN_BYTES && Buffer.byteLength(name) !== name.length)
    throw new NotUnderstood('not supported yet: a long temporary name that is not ASCII')
  const hidden = relationsOf(catalogue).get(name)
  const what =
    hidden === undefined
      ? typesOf(catalogue).has(typeKey(name)) && `a type "${name}"`
      : `"${hidden.schema}.${hidden.name}"`
  if (what === false) return
  throw new NotUnderstood(
    `a temporary relation "${name}" would hide ${what}`,
    'give it a name that nothing in the database has',
  )
}

/** Refuses one more where there are too many. */
export function demandRoom({ catalogue }: Analysis): void {
  const parts = catalogue.temporary?.reduce((sum, { columns }) => sum + 1 + columns.length, 0) ?? 0
  if (parts >= MAX_PARTS)
    throw new NotUnderstood('this session has too many temporary tables', 'drop some')
}

/** The server makes a sequence for it, and names it so where that is free. */
export function demandFreeSequence(table: string, column: Fields, analysis: Analysis): void {
  const type = names(open(column['typeName'], 'TypeName')['names']).at(-1) ?? ''
  const identity = JSON.stringify(column['constraints'] ?? []).includes('CONSTR_IDENTITY')
  if (identity || /^(?:big|small)?serial[248]?$/.test(type))
    demandFree(`${table}_${String(column['colname'])}_seq`, analysis)
}

/** A type that is named without a schema: a temporary relation's row type would come first. */
export function demandNoOwnType(name: string, { catalogue }: Analysis): void {
  if (catalogue.temporary?.some((each) => typeKey(each.name) === typeKey(name)) !== true) return
  throw new NotUnderstood(`the type "${name}" may be that of a temporary table of this name`)
}

/** A relation's row type has its name, and their array has it behind underscores, cut where it gets too long. */
const typeKey = (name: string): string => name.replace(/^_+/, '').slice(0, PLAIN_BYTES)

const RELATIONS = new WeakMap<object, ReadonlyMap<string, Relation>>()
const TYPES = new WeakMap<object, ReadonlySet<string>>()

/** By name; what is temporary is not among them. */
function relationsOf({ parts }: CatalogueSnapshot): ReadonlyMap<string, Relation> {
  const known = RELATIONS.get(parts)
  if (known !== undefined) return known
  // Whoever looks there names the schema.
  const governed = parts.relations.filter(({ schema }) => schema !== 'information_schema')
  const found = new Map(governed.map((each) => [each.name, each]))
  RELATIONS.set(parts, found)
  return found
}

function typesOf({ parts }: CatalogueSnapshot): ReadonlySet<string> {
  const known = TYPES.get(parts)
  if (known !== undefined) return known
  const found = new Set(
    [...parts.builtInTypes, ...parts.types.map(({ name }) => name)].map(typeKey),
  )
  TYPES.set(parts, found)
  return found
}
