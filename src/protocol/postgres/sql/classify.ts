// Owns the classification of one statement: from its tree to one operation, or to the reason why it is refused.

import type {
  Access,
  Operation,
  Output,
  ServerError,
  Unclassified,
} from '../../../core/operation.js'
import { channelUse } from '../channel.js'
import type { Classification, Existing } from '../statement.js'
import { Analysis, type Surroundings } from './analysis.js'
import { evaluateCall, isAllowedSetConfig } from './call.js'
import { judgeCopy } from './copy.js'
import { define, intoTable } from './ddl.js'
import { lockTables } from './lock.js'
import { nameOf } from './operation-name.js'
import { callProcedure } from './procedure.js'
import { evaluateQuery } from './query.js'
import { Scope } from './scope.js'
import { serverErrorOf } from './server-error.js'
import { judgeSession, judgeShow, plainName } from './session.js'
import { changesTemporary } from './temporary.js'
import {
  expectNode,
  type Fields,
  isFields,
  list,
  NotUnderstood,
  names,
  node,
  open,
  tagOf,
  text,
  ViewUnread,
} from './tree.js'
import { allSources, type Column, leaving, type Metric, type Value } from './value.js'
import { isWrite } from './write.js'

/** Lines of a plan, or of SHOW: few, and not the data's. */
const FEW_ROWS = 100

const DO_HINT =
  'let the schema’s owner make it a procedure, let a role name that (functions:), and CALL it'

interface Found {
  readonly name: string
  /** What was to be created is there. */
  readonly existing?: Omit<Existing, 'otherwise'>
  readonly outputs: readonly Output[]
  readonly rows: number
}

/** Classifies a statement. Never throws: what is not understood is Unclassified. */
export function classifyTree(
  tree: unknown,
  shown: string,
  surroundings: Surroundings,
): Classification {
  const analysis = new Analysis(surroundings)
  try {
    const found = judge(tree, analysis)
    if (analysis.unproved.size > 0)
      throw new NotUnderstood('pg_settings is read by name only', "add WHERE name = '…'")
    const keys = Object.fromEntries(analysis.keys)
    const { existing } = found
    const temporary = changesTemporary(analysis)
    const otherwise = (): Existing['otherwise'] =>
      classifyTree(tree, shown, { ...surroundings, unlessThere: false }).operation
    return {
      operation: operationOf(found, shown, analysis),
      // What is there is not run, and so needs no proof.
      ...(analysis.uses === undefined || existing !== undefined ? {} : { uses: analysis.uses }),
      ...(temporary ? { temporary: true } : {}),
      ...(analysis.movesPath || temporary ? { movesPath: true } : {}),
      ...(existing === undefined ? {} : { existing: { ...existing, otherwise: otherwise() } }),
      ...(analysis.keys.size > 0 ? { keys, keyedBy: keyedBy(analysis) } : {}),
      ...(analysis.copyIn === undefined ? {} : { copyIn: analysis.copyIn }),
      // What a WITH query returns does not leave by itself, and a plan names no key.
      ...(analysis.returnedKey === undefined || !isWrite(tagOf(tree))
        ? {}
        : { returnedKey: analysis.returnedKey }),
    }
  } catch (error) {
    if (error instanceof NotUnderstood) {
      const answer = placedError(error, tree, surroundings)
      const operation = refused(error.message, shown, error.hint, answer)
      return error instanceof ViewUnread ? { operation, unread: [error.view] } : { operation }
    }
    // Anything else is a fault of ours; the statement is refused all the same.
    return { operation: refused('the statement could not be analysed', shown) }
  }
}

/** What PostgreSQL would answer; of a schema change it does not say where in the text. */
function placedError(
  { message, at }: NotUnderstood,
  tree: unknown,
  { position }: Surroundings,
): ServerError | undefined {
  const error = serverErrorOf(message)
  const tag = isFields(tree) ? Object.keys(tree)[0] : undefined
  const says = tag === 'SelectStmt' || tag === 'ExplainStmt' || (tag !== undefined && isWrite(tag))
  if (error === undefined || at === undefined || !says) return error
  return position === undefined ? error : { ...error, position: position(at) }
}

/** A refused statement. */
export function refused(
  reason: string,
  shown: string,
  hint?: string,
  serverError?: ServerError,
): Unclassified {
  return {
    reason,
    text: shown,
    ...(hint === undefined ? {} : { hint }),
    ...(serverError === undefined ? {} : { serverError }),
  }
}

const ORDER: readonly Access[] = ['none', 'read', 'write', 'admin']

function operationOf(found: Found, shown: string, analysis: Analysis): Operation {
  const locks = [...analysis.locks]
  const access = analysis.collections.reduce<Access>(
    (most, use) => (ORDER.indexOf(use.access) > ORDER.indexOf(most) ? use.access : most),
    'none',
  )
  return {
    name: found.name,
    access,
    collections: analysis.collections,
    fields: analysis.fields,
    returns: {
      rows: Number.isFinite(found.rows) ? found.rows : 'unbounded',
      ...gathersOf(found.rows, analysis),
      outputs: found.outputs,
    },
    risks: [...analysis.risks],
    functions: [...analysis.functions],
    ...(analysis.probes.length > 0
      ? { probes: analysis.probes.map(({ collection, field }) => ({ collection, field })) }
      : {}),
    ...(locks.length > 0 ? { access: 'admin', name: 'alter_collection', locks } : {}),
    text: shown,
  }
}

/** Rows that single values hold; absent where none do. */
function gathersOf(rows: number, analysis: Analysis): Pick<Operation['returns'], 'gathers'> {
  const { total, each } = analysis.gathered
  const most = Math.max(total, each === 0 ? 0 : each * Math.max(1, rows))
  if (most === 0) return {}
  return { gathers: Number.isFinite(most) ? most : 'unbounded' }
}

function judge(tree: unknown, analysis: Analysis): Found {
  const tag = tagOf(tree)
  const fields = (): Fields => node(tree).fields
  if (tag === 'SelectStmt' || isWrite(tag)) return query(tree, analysis)
  if (tag === 'ExplainStmt') return explain(fields(), analysis)
  if (tag === 'LockStmt') return { name: lockTables(fields(), analysis), outputs: [], rows: 0 }
  if (tag === 'DeclareCursorStmt') return cursor(fields(), analysis)
  if (tag === 'CallStmt') {
    const columns = callProcedure(fields(), analysis)
    return { name: 'get', outputs: outputsOf(columns), rows: columns.length > 0 ? 1 : 0 }
  }
  if (tag === 'DoStmt')
    throw new NotUnderstood('what the code of DO does cannot be judged', DO_HINT)
  if (tag === 'ListenStmt' || tag === 'NotifyStmt') {
    const act = tag === 'ListenStmt' ? 'listen' : 'notify'
    analysis.functions.add(channelUse(act, plainName(fields()['conditionname'])))
    return { name: 'connect', outputs: [], rows: 0 }
  }
  if (tag === 'CopyStmt') {
    if (isFields(tree)) refuseServerCopy(tree[tag])
    const copy = judgeCopy(fields(), analysis)
    return {
      name: copy.name,
      outputs: outputsOf(copy.columns),
      rows: copy.name === 'export' ? Number.POSITIVE_INFINITY : 0,
    }
  }
  if (tag === 'VariableShowStmt') {
    const name = judgeShow(fields(), analysis.product)
    return { name: 'connect', outputs: [{ name, kind: 'derived', sources: [] }], rows: 1 }
  }
  if (judgeSession(tag, fields, analysis)) return { name: 'connect', outputs: [], rows: 0 }
  const definition = define(tag, fields, analysis)
  if (definition !== undefined) return { ...definition, outputs: [], rows: 0 }
  throw new NotUnderstood(`not supported yet: ${statementName(tag)}`)
}

/** What a cursor opens, with nothing of it given yet. */
function cursor(fields: Fields, analysis: Analysis): Found {
  plainName(fields['portalname'])
  if (expectNode(fields['query'], 'SelectStmt')['intoClause'] !== undefined)
    throw new NotUnderstood('a cursor cannot make a table')
  const opened = query(fields['query'], analysis)
  // It would be set by the FETCH.
  if (opened.name === 'connect')
    throw new NotUnderstood('not supported yet: a cursor of set_config')
  return { ...opened, rows: 0 }
}

function refuseServerCopy(value: unknown): void {
  if (isFields(value) && (value['filename'] !== undefined || value['is_program'] === true)) {
    throw new NotUnderstood(
      'COPY with a file or program of the server is not allowed',
      'use COPY … TO STDOUT or FROM STDIN',
    )
  }
}

/** `CreateRoleStmt` → `CREATE ROLE`. */
function statementName(tag: string): string {
  return tag
    .replace(/Stmt$/, '')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toUpperCase()
}

function query(tree: unknown, analysis: Analysis): Found {
  const select = tagOf(tree) === 'SelectStmt' ? expectNode(tree, 'SelectStmt') : undefined
  if (select?.['intoClause'] !== undefined) {
    const made = intoTable(open(select['intoClause'], 'IntoClause'), tree, analysis)
    return { name: made.name, outputs: [], rows: 0 }
  }
  const settings = select === undefined ? undefined : settingOutputs(select, analysis)
  if (settings !== undefined) return { name: 'connect', outputs: settings, rows: 1 }
  const result = evaluateQuery(tree, new Scope(), analysis)
  for (const column of result.columns) analysis.use(column.value, leaving(column.value))
  const name = nameOf(select, result, analysis)
  return { name, outputs: outputsOf(result.columns), rows: result.rows }
}

/** `SELECT set_config('…', '…', …)`, also beside current_setting: asyncpg asks for `jit` and sets it at once. */
function settingOutputs(select: Fields, analysis: Analysis): readonly Output[] | undefined {
  const plain = [
    'fromClause',
    'whereClause',
    'withClause',
    'larg',
    'sortClause',
    'limitCount',
    'limitOffset',
    'groupClause',
    'havingClause',
    'windowClause',
  ]
  if (plain.some((key) => select[key] !== undefined)) return undefined
  const calls = list(select['targetList']).map((each) => {
    const { name, val } = expectNode(each, 'ResTarget')
    const call = isFields(val) && tagOf(val) === 'FuncCall' ? expectNode(val, 'FuncCall') : {}
    const called = call['funcname'] === undefined ? '' : (names(call['funcname']).at(-1) ?? '')
    return { name: name === undefined ? called : text(name), call, called }
  })
  if (!calls.some(({ called }) => called === 'set_config')) return undefined
  for (const { call, called } of calls) {
    const known =
      called === 'current_setting'
        ? evaluateCall(call, new Scope(), analysis)
        : called === 'set_config' && isAllowedSetConfig(call, new Scope(), analysis, true)
    if (known === false) return undefined
  }
  return calls.map(({ name }) => ({ name, kind: 'derived', sources: [] }))
}

function keyedBy({ keyedBy: found }: Analysis): Readonly<Record<string, string>> {
  return Object.fromEntries([...found].flatMap(([name, key]) => (key ? [[name, key]] : [])))
}

function outputsOf(columns: readonly Column[]): readonly Output[] {
  return columns.map(({ name, value }) => {
    const sources = allSources(value)
    const how = leaving(value)
    if (how === 'output') return { name, kind: 'column', sources }
    if (how === 'score' && value.scoreOf !== undefined) {
      return { name, kind: 'score', ...scoreOutput(value, value.scoreOf), sources }
    }
    return { name, kind: how === 'whole' ? how : 'derived', sources }
  })
}

/** Of inner products what they are divided by; parameters are not looked at for others. */
function scoreOutput(
  value: Value,
  scoreOf: Metric,
): Pick<Output, 'scoreOf' | 'norm' | 'complement'> {
  const norm = scoreOf === 'inner' ? value.norm?.() : undefined
  return {
    scoreOf,
    ...(norm === undefined ? {} : { norm }),
    ...(value.turned === 'complement' ? { complement: true } : {}),
  }
}

const EXPLAIN_OPTIONS: ReadonlySet<string> = new Set(
  'analyze verbose costs settings generic_plan buffers serialize wal timing summary memory format'.split(
    ' ',
  ),
)

function explain(fields: Fields, analysis: Analysis): Found {
  let runs = false
  for (const each of list(fields['options'])) {
    const option = expectNode(each, 'DefElem')
    const name = text(option['defname']).toLowerCase()
    if (!EXPLAIN_OPTIONS.has(name))
      throw new NotUnderstood(`not supported yet: EXPLAIN option "${name}"`)
    // Any ANALYZE counts, whatever its value says: the last one wins on the server.
    if (name === 'analyze' && !isOff(option['arg'])) runs = true
  }
  const tag = tagOf(fields['query'])
  const known = ['SelectStmt', 'CreateTableAsStmt', 'DeclareCursorStmt']
  if (!known.includes(tag) && !isWrite(tag)) {
    throw new NotUnderstood(`not supported yet: EXPLAIN of ${statementName(tag)}`)
  }
  const inner = judge(fields['query'], analysis)
  if (inner.name === 'connect') throw new NotUnderstood('not supported yet: EXPLAIN of set_config')
  const outputs: readonly Output[] = [{ name: 'QUERY PLAN', kind: 'derived', sources: [] }]
  keepUses(analysis, (how) => !['output', 'score', 'whole'].includes(how))
  if (runs) return { name: inner.name, outputs, rows: FEW_ROWS }
  for (const [index, use] of analysis.collections.entries()) {
    analysis.collections[index] = {
      ...use,
      access: 'read',
      action: 'describe_collection',
      effect: { kind: 'none' },
    }
  }
  analysis.keys.clear()
  analysis.risks.clear()
  analysis.gathered.total = 0
  analysis.gathered.each = 0
  return { name: 'describe_collection', outputs, rows: FEW_ROWS }
}

function isOff(value: unknown): boolean {
  if (value === undefined) return false
  const tag = tagOf(value)
  if (tag === 'String') return /^(?:off|false|0)$/i.test(text(expectNode(value, 'String')['sval']))
  if (tag === 'Boolean') return expectNode(value, 'Boolean')['boolval'] !== true
  return tag === 'Integer' && (expectNode(value, 'Integer')['ival'] ?? 0) === 0
}

/** A plan shows no values: plain outputs do not leave. */
function keepUses(analysis: Analysis, keep: (how: string) => boolean): void {
  const kept = analysis.fields.filter((field) => keep(field.how))
  analysis.fields.splice(0, analysis.fields.length, ...kept)
}
