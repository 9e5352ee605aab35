// Owns function calls: which function is meant, what its value depends on, settings changed by set_config, and the
// attribute notation `ssn(d)`, which reads a column.

import type { Routine } from '../catalogue.js'
import type { Analysis } from './analysis.js'
import { SCALAR_AGGREGATES } from './builtin.js'
import { evaluate, evaluateWindow, fieldOf, scoreOf } from './expression.js'
import { isExtensionCall, resolveFunction, resolveType, twoParts } from './names.js'
import type { Scope } from './scope.js'
import { allowsSetting, allowsShow, judgeSearchPath } from './settings.js'
import { totalCall } from './total.js'
import { expectNode, type Fields, list, NotUnderstood, names } from './tree.js'
import { derived, NOTHING, type Value } from './value.js'

export interface Call {
  readonly value: Value
  readonly routines: readonly Routine[]
  readonly arguments: readonly Value[]
  readonly name: string
}

/** A call as an expression. */
export function evaluateCall(fields: Fields, scope: Scope, analysis: Analysis): Value {
  return readCall(fields, scope, analysis).value
}

/** A call with what it may mean; FROM needs the routines too. */
export function readCall(fields: Fields, scope: Scope, analysis: Analysis): Call {
  const parts = names(fields['funcname'])
  const { schema, name } = twoParts(parts, 'function')
  const values = list(fields['args']).map((each) => evaluate(each, scope, analysis))
  if (isAllowedSetConfig(fields, scope, analysis, false))
    return {
      value: NOTHING,
      routines: analysis.catalogue.routines('pg_catalog', name, []),
      arguments: values,
      name,
    }
  const within = fields['agg_within_group'] === true
  // unnest of several arrays is a form of FROM's own: unnest of each.
  const count = name === 'unnest' && values.length > 1 ? 1 : values.length
  const routines = resolveFunction(parts, within ? 'any' : count, analysis)
  const field = attribute(schema, name, fields, values)
  if (routines.length === 0) {
    if (field !== undefined) return { value: field, routines, arguments: values, name }
    if (values.length === 1 && castLike(parts, analysis)) {
      return { value: derived(...values), routines, arguments: values, name }
    }
    throw new NotUnderstood(`unknown function "${parts.join('.')}" with ${values.length} arguments`)
  }
  if (name === 'current_setting' && routines.some((each) => each.schema === 'pg_catalog'))
    checkSettingRead(values[0], analysis)
  const value = callValue(fields, values, name, routines, scope, analysis)
  return { value, routines, arguments: values, name }
}

/** current_setting tells no more than SHOW does. */
function checkSettingRead(setting: Value | undefined, analysis: Analysis): void {
  if (setting?.pending === true || setting?.literal === null) return
  if (typeof setting?.literal !== 'string')
    throw new NotUnderstood('current_setting needs a constant name')
  if (!allowsShow(setting.literal, analysis.product))
    throw new NotUnderstood(`setting "${setting.literal.toLowerCase()}" may not be shown`)
}

function callValue(
  fields: Fields,
  values: readonly Value[],
  name: string,
  routines: readonly Routine[],
  scope: Scope,
  analysis: Analysis,
): Value {
  const orders = list(fields['agg_order']).map((each) =>
    evaluate(expectNode(each, 'SortBy')['node'], scope, analysis),
  )
  for (const each of orders) analysis.use(each, 'order')
  if (fields['agg_distinct'] === true) for (const each of values) analysis.use(each, 'group')
  const beside = [...orders]
  if (fields['agg_filter'] !== undefined) {
    const filter = evaluate(fields['agg_filter'], scope, analysis)
    analysis.use(filter, 'predicate')
    beside.push(filter)
  }
  const windowed = fields['over'] !== undefined
  if (windowed) beside.push(evaluateWindow(fields['over'], scope, analysis))
  const parts = [...values, ...beside]
  // Whatever its arguments are: which rows there are to gather is found by what is read.
  if (gathers(name, routines)) {
    // A window gathers again for each row.
    if (windowed) analysis.gather(Number.POSITIVE_INFINITY, true)
    else analysis.gathering += 1
  }
  return (
    distance(values, name, routines, analysis) ??
    reshaped(values, name, routines, analysis) ??
    totalCall(name, routines, values, { beside, items: scope.items }) ??
    derived(...parts)
  )
}

function gathers(name: string, routines: readonly Routine[]): boolean {
  return routines.some((each) => each.kind === 'a') && !SCALAR_AGGREGATES.has(name)
}

function distance(
  values: readonly Value[],
  name: string,
  routines: readonly Routine[],
  analysis: Analysis,
): Value | undefined {
  const metrics = analysis.product.distanceFunctions
  const metric = Object.hasOwn(metrics, name) ? metrics[name] : undefined
  const [left, right] = values
  if (metric === undefined || left === undefined || right === undefined || values.length !== 2)
    return undefined
  return isExtensionCall(routines, analysis) ? scoreOf(left, right, metric, analysis) : undefined
}

/** `subvector(embedding, 1, 64)`, `binary_quantize($1)`: an embedding of an embedding, a constant of constants. */
function reshaped(
  values: readonly Value[],
  name: string,
  routines: readonly Routine[],
  analysis: Analysis,
): Value | undefined {
  if (!analysis.product.embeddingFunctions.includes(name) || !isExtensionCall(routines, analysis))
    return undefined
  const [first, ...others] = values
  if (first === undefined || others.some((each) => each.kind !== 'constant')) return undefined
  if (first.kind === 'constant') {
    const identities = values.map((each) => each.identity)
    const known = identities.every((each) => each !== undefined)
    const identity = known ? { identity: JSON.stringify([name, ...identities]) } : {}
    return { kind: 'constant', sources: [], exact: false, ...identity }
  }
  if (first.embedding !== true) return undefined
  const { mixed = false } = first
  return { ...derived(first), embedding: true, reshaped: true, mixed }
}

/** `ssn(d)`: PostgreSQL reads the column where no function of that name fits (ParseFuncOrColumn). */
function attribute(
  schema: string | undefined,
  name: string,
  fields: Fields,
  values: readonly Value[],
): Value | undefined {
  const only = values[0]
  if (
    schema !== undefined ||
    values.length !== 1 ||
    only?.row === undefined ||
    fields['agg_star'] === true
  )
    return undefined
  return only.row.some((column) => column.name === name) ? fieldOf(only, name) : undefined
}

/** `text(x)`, `vector(x)`: a type's name used as a function is a cast. */
function castLike(parts: readonly string[], analysis: Analysis): boolean {
  try {
    resolveType({ names: parts.map((sval) => ({ String: { sval } })) }, analysis)
    return true
  } catch (error) {
    if (error instanceof NotUnderstood) return false
    throw error
  }
}

/**
 * True where the node is a call of set_config with constants that the settings' allow-list permits. Where it does not
 * stand `alone`, it may set nothing that names hang on: it might run later, or not at all.
 */
export function isAllowedSetConfig(
  fields: Fields,
  scope: Scope,
  analysis: Analysis,
  alone: boolean,
): boolean {
  const { schema, name } = twoParts(names(fields['funcname']), 'function')
  if (name !== 'set_config' || (schema !== undefined && schema !== 'pg_catalog')) return false
  const routines = analysis.catalogue.routines(schema, name, analysis.path)
  if (routines.some((each) => each.schema !== 'pg_catalog')) return false
  const values = list(fields['args']).map((each) => evaluate(each, scope, analysis))
  const [setting, value] = values
  if (values.length !== 3 || values.some((each) => each.kind !== 'constant')) {
    throw new NotUnderstood('set_config needs constants')
  }
  if (setting?.pending === true || value?.pending === true) return true
  if (typeof setting?.literal === 'string' && setting.literal.toLowerCase() === 'search_path') {
    if (!alone) throw new NotUnderstood('search_path is set by the only call of a plain SELECT')
    if (typeof value?.literal !== 'string')
      throw new NotUnderstood('set_config needs a known setting and value')
    judgeSearchPath(value.literal, analysis.catalogue)
    analysis.movesPath = true
    return true
  }
  if (typeof setting?.literal !== 'string' || typeof value?.literal !== 'string') {
    throw new NotUnderstood('set_config needs a known setting and value')
  }
  if (!allowsSetting(setting.literal, value.literal, analysis.product)) {
    throw new NotUnderstood(
      `setting "${setting.literal.toLowerCase()}" may not be set to this value`,
    )
  }
  return true
}
