// Owns statements about the session: settings, transactions, prepared statements, cursors to close. Only what the
// allow-list names. What a prepared statement would do is judged apart.

import type { PostgresProduct } from '../../table.js'
import { GUARD_PREFIX } from '../guard-text.js'
import type { Analysis } from './analysis.js'
import { plain } from './named.js'
import { allowsReset, allowsSetting, allowsShow, judgeSearchPath } from './settings.js'
import {
  constantText,
  expectNode,
  type Fields,
  isFields,
  list,
  NotUnderstood,
  open,
  tagOf,
  text,
} from './tree.js'

/** Judges a session statement. True where it is one and allowed; false where it is none; throws where refused. */
export function judgeSession(tag: string, fields: () => Fields, analysis: Analysis): boolean {
  switch (tag) {
    case 'TransactionStmt':
      transaction(fields())
      return true
    case 'VariableSetStmt':
      setting(fields(), analysis)
      return true
    case 'PrepareStmt':
      for (const type of list(fields()['argtypes'])) expectNode(type, 'TypeName')
      plainName(fields()['name'])
      return true
    case 'DeallocateStmt':
      if (text(fields()['name']).startsWith(GUARD_PREFIX))
        throw new NotUnderstood(`names that begin with "${GUARD_PREFIX}" are the gateway's own`)
      return true
    case 'DiscardStmt':
      if (['DISCARD_ALL', 'DISCARD_TEMP'].includes(text(fields()['target'])))
        analysis.movesPath = true
      return true
    case 'ClosePortalStmt':
    case 'UnlistenStmt':
      fields()
      return true
    default:
      return false
  }
}

/** The name of a prepared statement, cursor or channel. */
export function plainName(value: unknown): string {
  const name = plain(value)
  if (text(value).startsWith(GUARD_PREFIX))
    throw new NotUnderstood(`names that begin with "${GUARD_PREFIX}" are the gateway's own`)
  if (name === undefined)
    throw new NotUnderstood(
      'not supported yet: a prepared statement, cursor or channel whose name is not ASCII',
      'name it in ASCII',
    )
  return name
}

/** Checks SHOW. */
export function judgeShow(fields: Fields, product: PostgresProduct): string {
  const name = text(fields['name'])
  if (!allowsShow(name, product)) throw new NotUnderstood(`setting "${name}" may not be shown`)
  return name
}

const TRANSACTION_KINDS: ReadonlySet<string> = new Set([
  'TRANS_STMT_BEGIN',
  'TRANS_STMT_START',
  'TRANS_STMT_COMMIT',
  'TRANS_STMT_ROLLBACK',
  'TRANS_STMT_SAVEPOINT',
  'TRANS_STMT_RELEASE',
  'TRANS_STMT_ROLLBACK_TO',
])

function transaction(fields: Fields): void {
  const kind = text(fields['kind'])
  if (!TRANSACTION_KINDS.has(kind))
    throw new NotUnderstood('two-phase transactions are not allowed')
  transactionModes(fields['options'])
}

function transactionModes(value: unknown): void {
  for (const each of list(value)) {
    const name = text(expectNode(each, 'DefElem')['defname'])
    if (!/^transaction_(?:isolation|read_only|deferrable)$/.test(name)) {
      throw new NotUnderstood(`not supported yet: ${name}`)
    }
  }
}

function setting(fields: Fields, analysis: Analysis): void {
  const kind = text(fields['kind'])
  const name = text(fields['name'])
  const { product } = analysis
  const isPath = name.toLowerCase() === 'search_path'
  if (isPath || kind === 'VAR_RESET_ALL') analysis.movesPath = true
  if (kind === 'VAR_RESET_ALL') return
  if (kind === 'VAR_SET_MULTI') {
    if (name !== 'TRANSACTION' && name !== 'SESSION CHARACTERISTICS')
      throw new NotUnderstood(`not supported yet: SET ${name}`)
    transactionModes(fields['args'])
    return
  }
  if (kind === 'VAR_RESET' || kind === 'VAR_SET_DEFAULT') {
    if (!allowsReset(name, product))
      throw new NotUnderstood(`setting "${name.toLowerCase()}" may not be reset`)
    return
  }
  if (kind !== 'VAR_SET_VALUE') throw new NotUnderstood('not supported yet: SET of this form')
  const values = list(fields['args']).map((each) => settingValue(each, name))
  if (isPath) return judgeSearchPath(values, analysis.catalogue)
  if (!allowsSetting(name, values.join(', '), product)) {
    throw new NotUnderstood(`setting "${name.toLowerCase()}" may not be set to this value`)
  }
}

function settingValue(value: unknown, name: string): string {
  if (isFields(value) && tagOf(value) === 'TypeCast' && name.toLowerCase() === 'timezone') {
    // SET TIME ZONE INTERVAL '…'
    const cast = expectNode(value, 'TypeCast')
    open(cast['typeName'], 'TypeName')
    return constantText(cast['arg'])?.value ?? ''
  }
  const constant = constantText(value)
  if (constant === undefined)
    throw new NotUnderstood(`not supported yet: a value of this form for "${name}"`)
  return constant.value ?? ''
}
