// Owns what a statement changes about the session, read from the tree alone.

import type { StatementEffects } from '../statement.js'
import { isAdvisoryLock } from './builtin.js'
import { isDefinition } from './ddl.js'
import { CURSOR_HOLD, plain } from './named.js'
import { isFields, list, tagOf, text } from './tree.js'

const TRANSACTIONS: Readonly<Record<string, NonNullable<StatementEffects['transaction']>>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release',
  TRANS_STMT_ROLLBACK_TO: 'rollback-to',
}

const NOT_DDL: ReadonlySet<string> = new Set([
  'CommentStmt',
  'TruncateStmt',
  'VacuumStmt',
  'ReindexStmt',
  'ClusterStmt',
  'RefreshMatViewStmt',
])

/** What speaks of the session alone, and names nothing that is looked up along the search path. */
const PATHLESS: ReadonlySet<string> = new Set([
  'TransactionStmt',
  'VariableSetStmt',
  'VariableShowStmt',
  'DiscardStmt',
  'DeallocateStmt',
  'ClosePortalStmt',
  'ListenStmt',
  'UnlistenStmt',
  'NotifyStmt',
])

/** What may be created if it is absent. */
const CREATES: ReadonlySet<string> = new Set([
  'CreateStmt',
  'CreateTableAsStmt',
  'CreateSeqStmt',
  'CreateSchemaStmt',
  'CreateExtensionStmt',
  'IndexStmt',
])

const WRITES: ReadonlySet<string> = new Set([
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'lockingClause',
  'intoClause',
])

/** In what EXPLAIN runs. */
const MAKES_TABLES: ReadonlySet<string> = new Set(['CreateTableAsStmt', 'intoClause'])

/** Functions of pg_catalog that change the session or a sequence. */
const CHANGING: ReadonlySet<string> = new Set(['set_config', 'nextval', 'setval', 'setseed'])

/** Reads the effects. Never throws. */
export function effectsOf(tree: unknown): StatementEffects {
  let tag: string
  try {
    tag = tagOf(tree)
  } catch {
    return { ddl: true, readOnly: false }
  }
  const body = isFields(tree) ? tree[tag] : undefined
  const effects = effectsOfTag(tag, isFields(body) ? body : {}, tree)
  return PATHLESS.has(tag) ? { ...effects, pathless: true } : effects
}

function effectsOfTag(
  tag: string,
  fields: Readonly<Record<string, unknown>>,
  tree: unknown,
): StatementEffects {
  switch (tag) {
    case 'TransactionStmt': {
      const savepoint = plain(fields['savepoint_name'])
      return {
        ddl: false,
        transaction: TRANSACTIONS[text(fields['kind'])] ?? 'other',
        ...(savepoint === undefined ? {} : { savepoint }),
        ...(fields['options'] === undefined ? {} : { modes: true }),
        readOnly: false,
      }
    }
    case 'DeallocateStmt':
      return {
        ddl: false,
        deallocates: typeof fields['name'] === 'string' ? fields['name'] : '*',
        readOnly: false,
      }
    case 'DiscardStmt':
      return {
        ddl: false,
        ...(fields['target'] === 'DISCARD_ALL' ? { deallocates: '*', closes: '*' } : {}),
        readOnly: false,
      }
    case 'ClosePortalStmt':
      return {
        ddl: false,
        closes: typeof fields['portalname'] === 'string' ? fields['portalname'] : '*',
        readOnly: false,
      }
    case 'DeclareCursorStmt': {
      const held = (Number(fields['options'] ?? 0) & CURSOR_HOLD) !== 0
      return { ddl: false, ...(held ? {} : { inside: true }), readOnly: false }
    }
    case 'LockStmt':
      return { ddl: false, inside: true, readOnly: false }
    case 'PrepareStmt':
    case 'ExecuteStmt':
    case 'ListenStmt':
    case 'NotifyStmt':
    case 'UnlistenStmt':
      return { ddl: false, readOnly: false }
    case 'FetchStmt':
      return { ddl: false, readOnly: true }
    case 'CopyStmt': {
      const into = fields['is_from'] === true
      return { ddl: false, copy: into ? 'in' : 'out', readOnly: !into && !holds(fields['query']) }
    }
    case 'VariableShowStmt':
      return { ddl: false, readOnly: true }
    case 'VariableSetStmt': {
      const modes =
        fields['kind'] === 'VAR_SET_MULTI' || /^transaction_/i.test(text(fields['name']))
      return { ddl: false, ...(modes ? { modes: true } : {}), readOnly: false }
    }
    case 'SelectStmt':
      return {
        ddl: fields['intoClause'] !== undefined,
        ...(fields['intoClause'] === undefined ? { planned: true } : {}),
        readOnly: !holds(tree),
      }
    case 'ExplainStmt':
      return {
        ddl: holdsTag(fields['query'], MAKES_TABLES),
        readOnly: !runs(fields) || !holds(fields['query']),
      }
    case 'CallStmt':
      return { ddl: false, calls: true, readOnly: false }
    case 'InsertStmt':
    case 'UpdateStmt':
    case 'DeleteStmt':
    case 'MergeStmt':
      return { ddl: false, planned: true, readOnly: false }
    default:
      return {
        ddl: isDefinition(tag) ? !NOT_DDL.has(tag) : true,
        ...(isAlone(tag, fields) ? { alone: true } : {}),
        ...(CREATES.has(tag) && fields['if_not_exists'] === true ? { ifAbsent: true } : {}),
        readOnly: false,
      }
  }
}

/** May start transactions of its own: PostgreSQL lets it run in none. */
function isAlone(tag: string, fields: Readonly<Record<string, unknown>>): boolean {
  if (tag === 'VacuumStmt' || tag === 'ReindexStmt' || tag === 'ClusterStmt') return true
  if (tag === 'AlterTableStmt') return holdsTag(fields['cmds'], new Set(['concurrent']))
  return fields['concurrent'] === true
}

function runs(fields: Readonly<Record<string, unknown>>): boolean {
  return list(fields['options']).some((each) => JSON.stringify(each).includes('analyze'))
}

/** A write, a lock, or a call that changes something stands somewhere in it. */
function holds(value: unknown): boolean {
  return holdsTag(value, WRITES) || callsChanging(value)
}

function holdsTag(value: unknown, tags: ReadonlySet<string>): boolean {
  return some(value, (key) => tags.has(key))
}

function callsChanging(value: unknown): boolean {
  return some(value, (key, inner) => {
    if (key !== 'FuncCall' || !isFields(inner)) return false
    const last = list(inner['funcname']).slice(-1)[0]
    const name = isFields(last) && isFields(last['String']) ? text(last['String']['sval']) : ''
    return CHANGING.has(name) || isAdvisoryLock(name)
  })
}

function some(root: unknown, test: (key: string, inner: unknown) => boolean): boolean {
  const waiting: unknown[] = [root]
  for (
    let value = waiting.pop();
    value !== undefined || waiting.length > 0;
    value = waiting.pop()
  ) {
    if (Array.isArray(value)) waiting.push(...value)
    else if (isFields(value)) {
      for (const [key, inner] of Object.entries(value)) {
        if (test(key, inner)) return true
        if (typeof inner === 'object' && inner !== null) waiting.push(inner)
      }
    }
  }
  return false
}
