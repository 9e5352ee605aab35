// Owns conditions: how WHERE, ON and HAVING use fields, which keys a WHERE names, and whether it is always true.

import type { Cutoff } from '../../../core/operation.js'
import type { Analysis } from './analysis.js'
import { evaluate } from './expression.js'
import { resolveOperator } from './names.js'
import type { Item, Scope } from './scope.js'
import { constantText, expectNode, list, names, open, tagOf, text } from './tree.js'
import { allSources, derived, type Value } from './value.js'

/** The parts of a condition that all must hold. */
export function conjuncts(value: unknown): readonly unknown[] {
  if (value === undefined) return []
  if (tagOf(value) !== 'BoolExpr') return [value]
  const fields = expectNode(value, 'BoolExpr')
  return fields['boolop'] === 'AND_EXPR' ? list(fields['args']).flatMap(conjuncts) : [value]
}

/** A column compared with constants for equality. */
export interface Binding {
  readonly base: NonNullable<Value['base']>
  /** How many values it may take. */
  readonly count: number | 'unknown'
  /** Their texts, where all are known. Looked at only where they matter. */
  readonly keys: () => readonly string[] | undefined
}

/**
 * Notes how one conjunct uses fields: one equality of a plain column with one constant is `equality`, all else
 * is `how`. Gives the binding where it names values of a column.
 */
export function noteCondition(
  value: unknown,
  scope: Scope,
  analysis: Analysis,
  how: 'predicate' | 'join',
): Binding | undefined {
  const parts = opened(value, scope, analysis)
  if ('distance' in parts) {
    const { distance, cutoff } = parts
    if (how === 'predicate') analysis.useSources(allSources(distance), 'cutoff', cutoff)
    else analysis.use(distance, how)
    return undefined
  }
  if (!('column' in parts)) {
    analysis.use(parts, how)
    return undefined
  }
  const { column, constant, single } = parts
  const plain =
    single && constant.kind === 'constant' && column.kind === 'column' && column.row === undefined
  const both: readonly Value[] = [column, constant]
  for (const each of both) analysis.use(each, plain ? 'equality' : how)
  return binding(column, constant, single)
}

/** `distance < constant`. */
interface Cut {
  readonly distance: Value
  readonly cutoff: Cutoff
}

/** One conjunct: an equality, a cut-off of distances, or the value of the whole. Each part is looked at once. */
function opened(value: unknown, scope: Scope, analysis: Analysis): Equality | Cut | Value {
  const fields = tagOf(value) === 'A_Expr' ? expectNode(value, 'A_Expr') : undefined
  if (
    fields?.['kind'] !== 'AEXPR_OP' ||
    fields['lexpr'] === undefined ||
    fields['rexpr'] === undefined ||
    !ORDERS.has(names(fields['name']).slice(-1)[0] ?? '')
  )
    return equality(value, scope, analysis)
  const left = evaluate(fields['lexpr'], scope, analysis)
  const right = evaluate(fields['rexpr'], scope, analysis)
  if (!resolveOperator(fields['name'], left, right, analysis).plain) return derived(left, right)
  const swapped = right.kind === 'score'
  const [distance, constant] = swapped ? [right, left] : [left, right]
  const plain = distance.kind === 'score' && distance.turned !== 'mixed'
  if (!plain || distance.mixed === true || constant.kind !== 'constant') return derived(left, right)
  const written = fields[swapped ? 'lexpr' : 'rexpr']
  return { distance, cutoff: cutoffOf(distance, isNumber(written) ? constant : undefined) }
}

const ORDERS: ReadonlySet<string> = new Set(['<', '<=', '>', '>='])

/** A constant that is compared as it is written: a cast to a whole number would round it. */
function isNumber(value: unknown): boolean {
  const tag = tagOf(value)
  if (tag === 'A_Const' || tag === 'ParamRef') return true
  if (tag !== 'TypeCast') return false
  const { arg, typeName } = expectNode(value, 'TypeCast')
  const type = open(typeName, 'TypeName')
  const parts = names(type['names'])
  const exact =
    ['float8', 'float4', 'numeric'].includes(parts.at(-1) ?? '') &&
    (parts.length === 1 || parts[0] === 'pg_catalog')
  return exact && list(type['typmods']).length === 0 && isNumber(arg)
}

/** On the scale of what is rounded; of what is not known, nothing. */
function cutoffOf(distance: Value, constant: Value | undefined): Cutoff {
  const complement = distance.turned === 'complement' ? { complement: true as const } : {}
  if (constant?.pending === true) return { at: 'pending' }
  if (distance.scoreOf === 'other') return {}
  const literal = constant?.literal
  const given = typeof literal === 'string' && literal.trim() !== '' ? Number(literal) : Number.NaN
  const unit = distance.scoreOf === 'inner' ? distance.norm?.() : 1
  if (unit === undefined || unit === 0 || !Number.isFinite(given)) return complement
  const plain = distance.turned === 'complement' ? 1 - given : given
  return { at: plain / unit, unit, ...complement }
}

interface Equality {
  readonly column: Value
  readonly constant: Value
  /** One constant, not a list. */
  readonly single: boolean
}

/** `a = b`, `a IN (…)`, `a = ANY (…)` with the built-in operator, opened; else the value of the whole. Each part is looked at once. */
function equality(value: unknown, scope: Scope, analysis: Analysis): Equality | Value {
  const fields = tagOf(value) === 'A_Expr' ? expectNode(value, 'A_Expr') : undefined
  const kind = text(fields?.['kind'])
  const compares = kind === 'AEXPR_OP' || kind === 'AEXPR_IN' || kind === 'AEXPR_OP_ANY'
  if (
    fields === undefined ||
    !compares ||
    fields['lexpr'] === undefined ||
    fields['rexpr'] === undefined ||
    names(fields['name']).slice(-1)[0] !== '='
  ) {
    return evaluate(value, scope, analysis)
  }
  const left = evaluate(fields['lexpr'], scope, analysis)
  const right =
    kind === 'AEXPR_IN'
      ? listValue(fields['rexpr'], scope, analysis)
      : evaluate(fields['rexpr'], scope, analysis)
  if (!resolveOperator(fields['name'], left, right, analysis).plain) return derived(left, right)
  if (kind !== 'AEXPR_OP') return { column: left, constant: right, single: false }
  const swapped = left.kind === 'constant' && right.kind !== 'constant'
  return { column: swapped ? right : left, constant: swapped ? left : right, single: true }
}

function listValue(value: unknown, scope: Scope, analysis: Analysis): Value {
  const parts = list(expectNode(value, 'List')['items']).map((each) =>
    evaluate(each, scope, analysis),
  )
  if (!parts.every((part) => part.kind === 'constant')) return derived(...parts)
  return {
    kind: 'constant',
    sources: [],
    exact: parts.every((part) => part.exact === true),
    elements: parts.map((part) => part.literal),
  }
}

function binding(column: Value, constant: Value, single: boolean): Binding | undefined {
  const base = column.base
  if (base === undefined || constant.kind !== 'constant' || constant.exact !== true)
    return undefined
  if (single) return { base, count: 1, keys: () => allTexts([constant.literal]) }
  const elements = constant.elements
  if (elements === undefined) return { base, count: 'unknown', keys: () => undefined }
  return { base, count: elements.length, keys: () => allTexts(elements) }
}

function allTexts(values: readonly (string | null | undefined)[]): readonly string[] | undefined {
  const texts = values.filter((each) => typeof each === 'string')
  return texts.length === values.length ? texts : undefined
}

/** Keys of an item; `column` is meant where `keys` answers. */
export interface NamedKeys extends Pick<Binding, 'count' | 'keys'> {
  readonly column: string | undefined
}

/** The keys that bindings name of an item: how many rows at most, and their texts for a single-column key. */
export function namedKeys(item: Item, bindings: readonly Binding[]): NamedKeys | undefined {
  const relation = item.relation
  if (relation === undefined || item.mark === undefined) return undefined
  let best: NamedKeys | undefined
  for (const key of relation.keys) {
    const parts = key.map((column) => tightest(bindings, item, column))
    const found = parts.filter((part): part is Binding => part !== undefined)
    if (found.length < key.length) continue
    const count = found.reduce<number | 'unknown'>(
      (product, part) =>
        product === 'unknown' || part.count === 'unknown' ? 'unknown' : product * part.count,
      1,
    )
    if (
      best !== undefined &&
      (count === 'unknown' || (best.count !== 'unknown' && best.count <= count))
    )
      continue
    const [only, second] = found
    const keys = (): readonly string[] | undefined =>
      second === undefined ? only?.keys() : undefined
    best = { count, keys, column: key[0] }
  }
  return best
}

function tightest(bindings: readonly Binding[], item: Item, column: string): Binding | undefined {
  let best: Binding | undefined
  for (const each of bindings) {
    if (each.base.item !== item.mark || each.base.column !== column) continue
    if (
      best === undefined ||
      best.count === 'unknown' ||
      (each.count !== 'unknown' && each.count < best.count)
    )
      best = each
  }
  return best
}

/** True for a missing condition and for the constant TRUE. */
export function isAlwaysTrue(value: unknown): boolean {
  if (value === undefined) return true
  // The grammar writes TRUE as a cast of a constant.
  const bare = tagOf(value) === 'TypeCast' ? expectNode(value, 'TypeCast')['arg'] : value
  const constant = constantText(bare)
  return constant?.form === 'boolean' && constant.value === 't'
}
