// Owns what definitions share: names to be made or changed, columns, constraints and storage options.

import { CATALOG, type Effect, isTemporary, type Risk } from '../../../core/operation.js'
import { collectionName, effectivePath, type Relation, TEMPORARY_SCHEMA } from '../catalogue.js'
import type { Existing } from '../statement.js'
import type { Analysis } from './analysis.js'
import { evaluate } from './expression.js'
import { resolveRelation } from './from.js'
import { resolveType } from './names.js'
import type { Scope } from './scope.js'
import { noteReferred } from './telling.js'
import { demandFree, demandFreeSequence, demandRoom, isOwn } from './temporary.js'
import { expectNode, type Fields, list, NotUnderstood, names, open, tagOf, text } from './tree.js'
import { NOTHING } from './value.js'

/** What a definition is called, beyond what it notes in the analysis. */
export interface Definition {
  readonly name: string
  /** It is there, so that nothing is made. */
  readonly existing?: Omit<Existing, 'otherwise'>
}

/** A relation that is to be made. */
export interface NewName {
  readonly schema: string
  readonly name: string
  readonly collection: string
}

/** Definitions touch no rows. */
export const NONE = { kind: 'none' } as const

/** Notes that a name is made, changed or dropped. What nobody else sees is no risk. */
export function admin(
  collection: string,
  action: string,
  risks: readonly Risk[],
  analysis: Analysis,
  effect: Effect = NONE,
): Definition {
  if (!isTemporary(collection)) for (const risk of risks) analysis.risks.add(risk)
  analysis.collection({ collection, access: 'admin', action, effect })
  return { name: action }
}

/** Notes that a relation is changed or dropped. */
export function change(
  relation: Relation,
  action: string,
  risks: readonly Risk[],
  analysis: Analysis,
): Definition {
  if (relation.system)
    throw new NotUnderstood(`the catalogue cannot be written: "${relation.name}"`)
  if (!analysis.family(relation).every(isOwn)) for (const risk of risks) analysis.risks.add(risk)
  analysis.reach(relation, 'admin', action, NONE)
  return { name: action }
}

/** A relation that is named. */
export function table(value: unknown, analysis: Analysis): Relation {
  return resolveRelation(value, analysis).relation
}

/** The table of an index that is named. */
export function indexed(value: unknown, analysis: Analysis): Relation {
  const fields = open(value, 'RangeVar')
  const schema = fields['schemaname'] === undefined ? undefined : text(fields['schemaname'])
  const index = analysis.named(schema, text(fields['relname']))
  const relation =
    index?.indexOf === undefined ? undefined : analysis.catalogue.relationByOid(index.indexOf)
  if (relation === undefined) throw new NotUnderstood(`unknown index "${text(fields['relname'])}"`)
  return relation
}

/** Where a new relation would be made: the schema named, or the first of the path that is there. */
export function newName(value: unknown, analysis: Analysis): NewName {
  const fields = open(value, 'RangeVar')
  const name = text(fields['relname'])
  const schema = placeOf(fields, analysis)
  if (schema === TEMPORARY_SCHEMA) return { schema, name, collection: collectionName(schema, name) }
  if (schema === undefined || schema.startsWith('pg_') || schema === 'information_schema') {
    throw new NotUnderstood('no schema to create in')
  }
  return { schema, name, collection: collectionName(schema, name) }
}

function placeOf(fields: Fields, { path }: Analysis): string | undefined {
  const schema = fields['schemaname'] === undefined ? undefined : text(fields['schemaname'])
  if (fields['relpersistence'] === 'p') return schema ?? path[0]
  if (fields['relpersistence'] !== 't')
    throw new NotUnderstood('not supported yet: unlogged tables')
  if (schema !== undefined && schema !== TEMPORARY_SCHEMA)
    throw new NotUnderstood('cannot create temporary relation in non-temporary schema')
  return TEMPORARY_SCHEMA
}

/** A new relation. `effect`: what is copied into it. */
export function create(value: unknown, analysis: Analysis, effect: Effect = NONE): Definition {
  const { schema, name, collection } = newName(value, analysis)
  if (schema === TEMPORARY_SCHEMA) {
    // What is there the server itself refuses.
    analysis.named(schema, name)
    demandFree(name, analysis)
    demandRoom(analysis)
  }
  return admin(collection, 'create_collection', ['schema'], analysis, effect)
}

/** What becomes of the rows when the transaction ends is for temporary tables to say. */
export function demandTemporaryFor(onCommit: unknown, { schema }: NewName): void {
  if (onCommit !== 'ONCOMMIT_NOOP' && schema !== TEMPORARY_SCHEMA)
    throw new NotUnderstood('ON COMMIT can only be used on temporary tables')
}

/** Creating a relation that is there, if absent, is a read of it; undefined where it is not there. */
export function existingRelation(
  fields: Fields,
  value: unknown,
  tag: string,
  analysis: Analysis,
): Definition | undefined {
  if (fields['if_not_exists'] !== true || !analysis.unlessThere) return undefined
  const { schema, name } = newName(value, analysis)
  const existing = analysis.named(schema, name)
  return existing === undefined ? undefined : alreadyThere(existing, name, tag, analysis)
}

/** A read of a relation that was to be created under this name. */
export function alreadyThere(
  existing: Relation,
  name: string,
  tag: string,
  analysis: Analysis,
): Definition {
  const table =
    existing.indexOf === undefined ? undefined : analysis.catalogue.relationByOid(existing.indexOf)
  analysis.reach(table ?? existing, 'read', 'describe_collection', NONE)
  return skipped('42P07', `relation "${name}"`, tag)
}

/** A read of the catalogue alone: what was to be created is no collection. */
export function alreadyKnown(
  sqlstate: string,
  what: string,
  tag: string,
  analysis: Analysis,
): Definition {
  const action = 'describe_collection'
  analysis.collection({ collection: CATALOG, access: 'read', action, effect: NONE })
  return skipped(sqlstate, what, tag)
}

function skipped(sqlstate: string, what: string, tag: string): Definition {
  const message = `${what} already exists, skipping`
  return { name: 'describe_collection', existing: { tag, sqlstate, message } }
}

/** Names of options; one that is not on the list is refused. */
export function options(value: unknown, allowed: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>()
  for (const each of list(value)) {
    const name = text(expectNode(each, 'DefElem')['defname']).toLowerCase()
    if (!allowed.includes(name)) throw new NotUnderstood(`not supported yet: option "${name}"`)
    found.add(name)
  }
  return found
}

/** Storage parameters: constants only. */
export function storage(value: unknown): void {
  for (const each of list(value)) {
    const argument = expectNode(each, 'DefElem')['arg']
    if (
      argument !== undefined &&
      !['Integer', 'Float', 'String', 'TypeName'].includes(tagOf(argument))
    ) {
      throw new NotUnderstood('not supported yet: a storage option of this form')
    }
  }
}

/** A column as it is defined: its type, default and checks. */
export function columnDefinition(
  fields: Fields,
  scope: Scope,
  analysis: Analysis,
  made?: NewName,
): void {
  resolveType(fields['typeName'], analysis, true)
  if (made?.schema === TEMPORARY_SCHEMA) demandFreeSequence(made.name, fields, analysis)
  if (fields['collClause'] !== undefined)
    names(open(fields['collClause'], 'CollateClause')['collname'])
  for (const each of list(fields['constraints']))
    constraint(expectNode(each, 'Constraint'), scope, analysis, made)
}

/** A constraint: its expression, and the table that it refers to. `made`: the table that is being made with it. */
export function constraint(fields: Fields, scope: Scope, analysis: Analysis, made?: NewName): void {
  storage(fields['options'])
  // It may be an index of that name.
  if (made?.schema === TEMPORARY_SCHEMA && fields['conname'] !== undefined)
    demandFree(text(fields['conname']), analysis)
  if (fields['raw_expr'] !== undefined)
    analysis.use(evaluate(fields['raw_expr'], scope, analysis), 'derived')
  // A unique key tells which values are there twice, and from then on which are there.
  for (const name of names(fields['keys'])) analysis.use(scope.name(name) ?? NOTHING, 'group')
  if (fields['pktable'] !== undefined && !refersTo(made, fields['pktable'], analysis)) {
    const { relation } = resolveRelation(fields['pktable'], analysis)
    // A foreign key tells which keys exist.
    analysis.reach(relation, 'read', 'get', NONE)
    noteReferred(relation, names(fields['pk_attrs']), analysis)
  }
}

/** The server looks for the table when the new one is there: at its place in the path it is found like any other. */
function refersTo(made: NewName | undefined, value: unknown, analysis: Analysis): boolean {
  const fields = open(value, 'RangeVar')
  if (made === undefined || text(fields['relname']) !== made.name) return false
  if (fields['schemaname'] !== undefined) return text(fields['schemaname']) === made.schema
  // Noted, so that it is proved to be what the name means without the new one.
  const found = analysis.named(undefined, made.name)
  if (made.schema === TEMPORARY_SCHEMA) return true
  if (found !== undefined && isOwn(found)) return false
  const first = effectivePath(analysis.path).find(
    (schema) =>
      schema === made.schema || analysis.catalogue.relation(schema, made.name, []) !== undefined,
  )
  return first === made.schema
}
