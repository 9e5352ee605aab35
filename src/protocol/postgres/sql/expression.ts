// Owns expressions: what each value depends on. Every node type is a case here or is refused; what steers rows
// (predicates, sorts) is noted by whoever holds the expression.

import { textNorm } from '../vector-norm.js'
import type { Analysis } from './analysis.js'
import { evaluateCall } from './call.js'
import { evaluateConstantCast, evaluateParameter, literalConstant } from './constant.js'
import { resolveOperator, resolveType } from './names.js'
import { evaluateQuery } from './query.js'
import { Scope } from './scope.js'
import { castValue, joined, listOf, listOfRows, memberOf, oneOf, whole } from './total.js'
import {
  expectNode,
  type Fields,
  list,
  NotUnderstood,
  names,
  node,
  open,
  placed,
  tagOf,
  text,
} from './tree.js'
import { allSources, derived, NOTHING, type Value } from './value.js'

/** The value of an expression in a scope. */
export function evaluate(value: unknown, scope: Scope, analysis: Analysis): Value {
  return analysis.deeper(() => {
    const { tag, fields } = node(value)
    const handler = HANDLERS[tag]
    if (handler === undefined) throw new NotUnderstood(`not supported yet: ${tag} in an expression`)
    return handler(fields, scope, analysis, value)
  })
}

/** Evaluates a list and unites the parts. */
export function evaluateAll(values: unknown, scope: Scope, analysis: Analysis): Value {
  return derived(...list(values).map((each) => evaluate(each, scope, analysis)))
}

const optional = (value: unknown, scope: Scope, analysis: Analysis): Value =>
  value === undefined ? NOTHING : evaluate(value, scope, analysis)

type Handler = (fields: Fields, scope: Scope, analysis: Analysis, whole: unknown) => Value

const HANDLERS: Readonly<Record<string, Handler>> = {
  A_Const: (_fields, _scope, _analysis, whole) => literalConstant(whole),
  ParamRef: (fields, _scope, analysis) => evaluateParameter(fields, analysis),
  ColumnRef: columnReference,
  A_Expr: operation,
  A_Indirection: indirection,
  A_ArrayExpr: arrayConstructor,
  TypeCast: cast,
  CollateClause: (fields, scope, analysis) => {
    names(fields['collname'])
    const value = evaluate(fields['arg'], scope, analysis)
    return value.kind === 'constant' ? derived(value) : whole([value], value.type)
  },
  BoolExpr: (fields, scope, analysis) => evaluateAll(fields['args'], scope, analysis),
  NullTest: (fields, scope, analysis) => derived(evaluate(fields['arg'], scope, analysis)),
  BooleanTest: (fields, scope, analysis) => derived(evaluate(fields['arg'], scope, analysis)),
  CaseExpr: choice,
  CoalesceExpr: (fields, scope, analysis) =>
    oneOf(list(fields['args']).map((each) => evaluate(each, scope, analysis))),
  MinMaxExpr: (fields, scope, analysis) => evaluateAll(fields['args'], scope, analysis),
  SQLValueFunction: () => NOTHING,
  CurrentOfExpr: () => NOTHING,
  XmlExpr: (fields, scope, analysis) => {
    const named = list(fields['named_args']).map((each) =>
      evaluate(expectNode(each, 'ResTarget')['val'], scope, analysis),
    )
    return derived(evaluateAll(fields['args'], scope, analysis), ...named)
  },
  XmlSerialize: (fields, scope, analysis) => {
    resolveType(fields['typeName'], analysis)
    return derived(evaluate(fields['expr'], scope, analysis))
  },
  RowExpr: (fields, scope, analysis) =>
    whole(list(fields['args']).map((each) => evaluate(each, scope, analysis))),
  GroupingFunc: (fields, scope, analysis) => evaluateAll(fields['args'], scope, analysis),
  SetToDefault: () => NOTHING,
  NamedArgExpr: (fields, scope, analysis) => evaluate(fields['arg'], scope, analysis),
  SubLink: subLink,
  FuncCall: (fields, scope, analysis) => evaluateCall(fields, scope, analysis),
  MergeSupportFunc: mergeAction,
}

/** Before PostgreSQL 17 the word is the name of a function, if there is one. */
function mergeAction(_fields: Fields, _scope: Scope, { catalogue, path }: Analysis): Value {
  if (catalogue.routines(undefined, 'merge_action', path).length > 0)
    throw new NotUnderstood('a function has the name of merge_action()', 'rename it')
  return NOTHING
}

function columnReference(fields: Fields, scope: Scope, analysis: Analysis): Value {
  return placed(fields, () => referred(fields, scope, analysis))
}

function referred(fields: Fields, scope: Scope, analysis: Analysis): Value {
  const parts = list(fields['fields'])
  const last = parts[parts.length - 1]
  const star = last !== undefined && tagOf(last) === 'A_Star'
  const path = names(star ? parts.slice(0, -1) : parts)
  const [first, second, third] = path
  analysis.scan(scope.breadth)
  if (first === undefined) throw new NotUnderstood('not supported yet: * in an expression')
  if (star) {
    const whole = path.length === 1 ? scope.wholeRow(first) : scope.wholeRow(second ?? '', first)
    if (whole === undefined || path.length > 2)
      throw new NotUnderstood(`unknown relation "${path.join('.')}"`)
    return whole
  }
  if (second === undefined) {
    const found = scope.name(first)
    if (found === undefined) throw new NotUnderstood(`unknown column "${first}"`)
    return found
  }
  if (third === undefined) {
    const item = scope.item(first)
    if (item !== undefined) return Scope.column(item, second)
    throw new NotUnderstood(`unknown relation "${first}" is not in FROM`)
  }
  const item = path.length === 3 ? scope.item(second, first) : undefined
  if (item === undefined)
    throw new NotUnderstood(`unknown relation "${path.slice(0, -1).join('.')}"`)
  return Scope.column(item, third)
}

/** A field of a composite value. */
export function fieldOf(value: Value, name: string): Value {
  if (value.row === undefined) return derived(value)
  const found = value.row.filter((column) => column.name === name)
  const column = found[0]
  if (column !== undefined && found.length === 1) return column.value
  if (value.sources.length > 0) return derived(value)
  throw new NotUnderstood(`unknown column "${name}"`)
}

function indirection(fields: Fields, scope: Scope, analysis: Analysis): Value {
  let value = evaluate(fields['arg'], scope, analysis)
  for (const step of list(fields['indirection'])) {
    const { tag, fields: inner } = node(step)
    if (tag === 'String') value = fieldOf(value, text(inner['sval']))
    else if (tag === 'A_Indices') {
      value = derived(
        value,
        optional(inner['lidx'], scope, analysis),
        optional(inner['uidx'], scope, analysis),
      )
    } else if (tag !== 'A_Star') throw new NotUnderstood(`not supported yet: ${tag} after a value`)
  }
  return value
}

const BARE: ReadonlySet<string> = new Set(['A_Const'])

function arrayConstructor(fields: Fields, scope: Scope, analysis: Analysis): Value {
  const parts = list(fields['elements']).map((each) => evaluate(each, scope, analysis))
  if (parts.every((part) => part.kind === 'constant' && part.elements === undefined)) {
    const exact = parts.every((part) => part.exact === true)
    const elements = parts.map((part) => part.literal)
    // A cast, or a type of a parameter, may have made a number another one: '1'::bit(32)::int.
    const bare = list(fields['elements']).every((each) => BARE.has(tagOf(each)))
    const norm = (): number | undefined => textNorm(`{${elements.join()}}`)
    return { kind: 'constant', sources: [], exact, elements, ...(bare ? { norm } : {}) }
  }
  return listOf(parts)
}

/** CASE: what decides which result comes is computed with; the results are given. */
function choice(fields: Fields, scope: Scope, analysis: Analysis): Value {
  const chosen = [optional(fields['arg'], scope, analysis)]
  const results = list(fields['args']).map((each) => {
    const when = expectNode(each, 'CaseWhen')
    chosen.push(evaluate(when['expr'], scope, analysis))
    return evaluate(when['result'], scope, analysis)
  })
  if (fields['defresult'] !== undefined)
    results.push(evaluate(fields['defresult'], scope, analysis))
  for (const each of chosen) analysis.use(each, 'derived')
  return oneOf(results, chosen)
}

function cast(fields: Fields, scope: Scope, analysis: Analysis): Value {
  const value = evaluate(fields['arg'], scope, analysis)
  const type = resolveType(fields['typeName'], analysis)
  const modified = list(open(fields['typeName'], 'TypeName')['typmods']).length > 0
  if (value.kind === 'constant') {
    // The length of an embedding is only looked at; that of a bit string makes another one.
    const checked = type.vector && !Object.hasOwn(analysis.product.builtInVectorTypes, type.name)
    return evaluateConstantCast(value, type, modified && !checked)
  }
  const result = castValue(value, type, modified)
  if (value.embedding !== true || !type.vector) return result
  return {
    ...result,
    embedding: true,
    reshaped: value.reshaped === true,
    mixed: value.mixed === true,
  }
}

const LIST_KINDS = new Set([
  'AEXPR_IN',
  'AEXPR_BETWEEN',
  'AEXPR_NOT_BETWEEN',
  'AEXPR_BETWEEN_SYM',
  'AEXPR_NOT_BETWEEN_SYM',
])

const PLAIN_KINDS = new Set([
  'AEXPR_OP_ANY',
  'AEXPR_OP_ALL',
  'AEXPR_DISTINCT',
  'AEXPR_NOT_DISTINCT',
  'AEXPR_NULLIF',
  'AEXPR_LIKE',
  'AEXPR_ILIKE',
  'AEXPR_SIMILAR',
])

function operation(fields: Fields, scope: Scope, analysis: Analysis): Value {
  const kind = text(fields['kind'])
  const left = fields['lexpr'] === undefined ? undefined : side(fields['lexpr'], scope, analysis)
  const right = fields['rexpr'] === undefined ? undefined : side(fields['rexpr'], scope, analysis)
  if (LIST_KINDS.has(kind)) {
    const operators = kind === 'AEXPR_IN' ? names(fields['name']) : ['<', '<=', '>', '>=']
    for (const each of operators)
      resolveOperator([{ String: { sval: each } }], left, right, analysis)
    return derived(left ?? NOTHING, right ?? NOTHING)
  }
  const meaning = resolveOperator(fields['name'], left, right, analysis)
  if (kind === 'AEXPR_OP') {
    return (
      score(meaning.name, meaning.plain, left, right, analysis) ??
      negated(meaning.name, left, right, fields['lexpr']) ??
      (meaning.plain && left !== undefined && right !== undefined
        ? sound(meaning.name, left, right, fields['rexpr'])
        : derived(left ?? NOTHING, right ?? NOTHING))
    )
  }
  if (!PLAIN_KINDS.has(kind)) throw new NotUnderstood(`not supported yet: ${kind}`)
  return derived(left ?? NOTHING, right ?? NOTHING)
}

/** What a built-in operator of two values gives. */
function sound(name: string, left: Value, right: Value, rightNode: unknown): Value {
  if (name === '||') return joined(left, right)
  return memberOf(name, left, rightNode) ?? derived(left, right)
}

/** One side of an operator: an expression, or the list of IN and BETWEEN. */
function side(value: unknown, scope: Scope, analysis: Analysis): Value {
  if (tagOf(value) !== 'List') return evaluate(value, scope, analysis)
  return evaluateAll(expectNode(value, 'List')['items'], scope, analysis)
}

/** `col <=> constant`: a bare distance. */
export function score(
  name: string,
  plain: boolean,
  left: Value | undefined,
  right: Value | undefined,
  analysis: Analysis,
): Value | undefined {
  const metric = Object.hasOwn(analysis.product.distanceOperators, name)
    ? analysis.product.distanceOperators[name]
    : undefined
  if (metric === undefined || !plain || left === undefined || right === undefined) return undefined
  return scoreOf(left, right, metric, analysis)
}

/** The distance between an embedding column and a constant, in either order. */
export function scoreOf(
  left: Value,
  right: Value,
  metric: NonNullable<Value['scoreOf']>,
  analysis: Analysis,
): Value | undefined {
  const column = left.embedding === true ? left : right
  const other = column === left ? right : left
  if (column.embedding !== true || other.kind !== 'constant') return undefined
  analysis.searches = true
  const sources = allSources(column)
  analysis.probe(sources, `${metric} ${other.identity ?? ''}`, other.identity !== undefined)
  return {
    kind: 'score',
    sources,
    // Parts of an embedding, by themselves, are told more exactly than the whole.
    scoreOf: column.reshaped === true ? 'other' : metric,
    mixed: column.mixed === true,
    norm: () => other.norm?.(),
  }
}

/** `-(score)` and `1 - (score)`; a second turn would let a caller scale it. */
function negated(
  name: string,
  left: Value | undefined,
  right: Value | undefined,
  leftNode: unknown,
): Value | undefined {
  if (name !== '-' || right?.kind !== 'score' || right.turned !== undefined) return undefined
  if (left === undefined) return { ...right, turned: 'negated' }
  const constant =
    leftNode !== undefined && tagOf(leftNode) === 'A_Const' ? literalConstant(leftNode) : undefined
  return constant?.literal !== undefined && /^1(?:\.0*)?$/.test(constant.literal ?? '')
    ? { ...right, turned: 'complement' }
    : undefined
}

/** A list of more rows than these could be as long as the caller likes. */
const LISTED_ROWS = 1000

function subLink(fields: Fields, scope: Scope, analysis: Analysis): Value {
  analysis.repeated += 1
  const { met } = analysis
  const query = evaluateQuery(fields['subselect'], scope, analysis)
  analysis.repeated -= 1
  const kind = text(fields['subLinkType'])
  const test = optional(fields['testexpr'], scope, analysis)
  if (fields['operName'] !== undefined)
    resolveOperator(fields['operName'], undefined, undefined, analysis)
  if (kind === 'EXISTS_SUBLINK') return NOTHING
  const outputs = query.columns.map((column) => column.value)
  if (kind === 'EXPR_SUBLINK') {
    const only = outputs[0]
    if (outputs.length === 1 && only?.row !== undefined)
      return { kind: 'derived', sources: only.sources, row: only.row }
    // It fails where there are several rows, whatever they hold.
    if (outputs.length === 1 && only?.kind === 'column')
      return { kind: 'column', sources: only.sources, type: only.type, growth: only.growth }
    return outputs.length === 1 && only?.kind === 'whole' ? only : derived(...outputs)
  }
  if (kind === 'ARRAY_SUBLINK') {
    // What it holds may come of no column: its rows can be found by comparing with those of a table.
    if (analysis.met > met || outputs.some((each) => allSources(each).length > 0))
      analysis.gather(query.rows, true)
    return query.rows <= LISTED_ROWS ? listOfRows(outputs) : derived(...outputs)
  }
  if (kind === 'ANY_SUBLINK' || kind === 'ALL_SUBLINK') return derived(test, ...outputs)
  throw new NotUnderstood(`not supported yet: ${kind}`)
}

/** Opens a window definition and notes what it sorts and groups by. */
export function evaluateWindow(value: unknown, scope: Scope, analysis: Analysis): Value {
  const fields = open(value, 'WindowDef')
  const parts = list(fields['partitionClause']).map((each) => evaluate(each, scope, analysis))
  for (const part of parts) analysis.use(part, 'group')
  const orders = list(fields['orderClause']).map((each) =>
    evaluate(expectNode(each, 'SortBy')['node'], scope, analysis),
  )
  for (const each of orders) analysis.use(each, 'order')
  for (const offset of [fields['startOffset'], fields['endOffset']]) {
    if (offset !== undefined) analysis.use(evaluate(offset, scope, analysis), 'predicate')
  }
  return derived(...parts, ...orders)
}
