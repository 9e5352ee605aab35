// Owns what a name of a function, operator or type means: built in, of a listed extension, or the database's own.
// It must never let a user's function pass as a built-in one.

import type { Routine } from '../catalogue.js'
import type { Analysis } from './analysis.js'
import { allowsBuiltIn, EXACT_TYPES, isAdvisoryLock } from './builtin.js'
import { demandNoOwnType } from './temporary.js'
import { constantText, expectNode, list, NotUnderstood, names, open } from './tree.js'
import type { Value } from './value.js'

/** Splits a qualified name of at most two parts. */
export function twoParts(
  parts: readonly string[],
  what: string,
): { schema: string | undefined; name: string } {
  const last = parts[parts.length - 1]
  if (last === undefined || parts.length > 2)
    throw new NotUnderstood(`not supported yet: ${what} name of this form`)
  return { schema: parts.length === 2 ? parts[0] : undefined, name: last }
}

/** How many rows of the routine's argument count fit a call. */
function fits(routine: Routine, count: number): boolean {
  return count >= routine.minimumArguments && count <= routine.maximumArguments
}

/**
 * The routines that a call may mean. User routines are added to the operation's functions, for policy to decide.
 * Throws NotUnderstood for denied and unknown functions.
 */
export function resolveFunction(
  parts: readonly string[],
  count: number | 'any',
  analysis: Analysis,
): readonly Routine[] {
  const { schema, name } = twoParts(parts, 'function')
  const all = analysis.catalogue.routines(schema, name, analysis.path)
  const found = count === 'any' ? all : all.filter((each) => fits(each, count))
  for (const routine of found) {
    if (routine.kind === 'p')
      throw new NotUnderstood(`"${routine.name}" is a procedure`, 'use CALL')
    judgeRoutine(routine, analysis)
  }
  return found
}

/** Notes a routine for policy to decide. Throws NotUnderstood for one that nobody may call. */
export function judgeRoutine(routine: Routine, analysis: Analysis): void {
  if (routine.schema === 'pg_catalog') {
    if (isAdvisoryLock(routine.name)) {
      analysis.locks.add(routine.signature)
      return
    }
    if (!allowsBuiltIn(routine.name, routine.volatility)) {
      throw new NotUnderstood(
        `function "${routine.name}" is not allowed`,
        'it can run text, read files, or reach others',
      )
    }
    return
  }
  // The catalogue holds one of them: it takes an array apart, for drivers that read which columns a key has.
  if (routine.schema === 'information_schema') return
  if (isListed(routine.extension, analysis)) return
  analysis.calls(routine.signature)
}

function isListed(extension: string | undefined, analysis: Analysis): boolean {
  return extension !== undefined && analysis.product.extensions.includes(extension)
}

/** True when a call can mean nothing but listed extensions' routines. */
export function isExtensionCall(routines: readonly Routine[], analysis: Analysis): boolean {
  return routines.length > 0 && routines.every((each) => isListed(each.extension, analysis))
}

export interface OperatorMeaning {
  readonly name: string
  /** Only built-in or listed extensions' operators can be meant. */
  readonly plain: boolean
}

/** Resolves an operator; functions of user-defined ones are added for policy to decide. */
export function resolveOperator(
  nameNodes: unknown,
  left: Value | undefined,
  right: Value | undefined,
  analysis: Analysis,
): OperatorMeaning {
  const { schema, name } = twoParts(names(nameNodes), 'operator')
  if (schema === 'pg_catalog') return { name, plain: true }
  const candidates = analysis.catalogue.operators(schema, name, analysis.path)
  let plain = true
  for (const candidate of candidates) {
    if (isListed(candidate.extension, analysis)) continue
    // An embedding has no implicit cast to another type: an operator over others cannot be meant.
    if (left?.embedding === true && !analysis.catalogue.isVectorType(candidate.left)) continue
    if (right?.embedding === true && !analysis.catalogue.isVectorType(candidate.right)) continue
    analysis.calls(candidate.function)
    plain = false
  }
  if (schema !== undefined && candidates.length === 0) {
    throw new NotUnderstood(`unknown operator "${schema}.${name}"`)
  }
  return { name, plain }
}

export interface TypeMeaning {
  readonly name: string
  /** Holds embeddings. */
  readonly vector: boolean
  readonly array: boolean
  /** A constant of it compares exactly with a key. */
  readonly exact: boolean
  /** Built in, and a text. */
  readonly textual?: boolean
  /** Numbers, or an array of them, or embeddings made of some: a cast to it at most doubles one. */
  readonly number: boolean
}

const NUMBERS: ReadonlySet<string> = new Set('int2 int4 int8 float4 float8 numeric'.split(' '))

const SERIAL = new Set(['serial', 'bigserial', 'smallserial', 'serial4', 'serial8', 'serial2'])

/** Resolves a type name. Types with functions of the database's own are refused. */
export function resolveType(
  typeName: unknown,
  analysis: Analysis,
  definition = false,
): TypeMeaning {
  const fields = open(typeName, 'TypeName')
  for (const modifier of list(fields['typmods'])) {
    if (constantText(modifier) === undefined) {
      // `geometry(Point)` and the like come as column references; only plain words may stand there.
      names(expectNode(modifier, 'ColumnRef')['fields'])
    }
  }
  const { schema, name } = twoParts(names(fields['names']), 'type')
  const array = list(fields['arrayBounds']).length > 0
  const places = schema === undefined ? analysis.path : [schema]
  if (schema === undefined) demandNoOwnType(name, analysis)
  const builtInFirst = schema === undefined && !analysis.path.includes('pg_catalog')
  const builtIn: TypeMeaning = {
    name,
    vector: !array && Object.hasOwn(analysis.product.builtInVectorTypes, name),
    array,
    exact: !array && EXACT_TYPES.has(name),
    textual: !array && (name === 'text' || name === 'varchar'),
    number: NUMBERS.has(name),
  }
  if (builtInFirst && analysis.catalogue.isBuiltInType(name)) return builtIn
  for (const place of places) {
    if (place === 'pg_catalog' && analysis.catalogue.isBuiltInType(name)) return builtIn
    const type = analysis.catalogue.userType(place, name)
    if (type === undefined) continue
    const vector = analysis.catalogue.isVectorType(type.oid)
    if (vector || isListed(type.extension, analysis) || type.kind === 'e') {
      return { name, vector: vector && !array, array, exact: false, number: vector }
    }
    if (type.kind === 'd' && type.baseIsBuiltIn)
      return { name, vector: false, array, exact: false, number: false }
    throw new NotUnderstood(`not supported yet: type "${place}.${name}"`)
  }
  if (definition && SERIAL.has(name) && schema === undefined) return builtIn
  throw new NotUnderstood(`unknown type "${schema === undefined ? name : `${schema}.${name}`}"`)
}
