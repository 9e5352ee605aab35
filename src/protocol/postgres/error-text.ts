// Owns what of the database's error and notice texts reaches the client. Values of masked fields leak
// through them ("invalid input syntax for type integer: …", "Failing row contains (…)").

import type { Run } from './run.js'
import type { ErrorReply } from './wire.js'

const CLASSES: Readonly<Record<string, string>> = {
  '08': 'connection failure',
  '21': 'cardinality violation',
  '22': 'data exception',
  '23': 'integrity constraint violation',
  '25': 'invalid transaction state',
  '40': 'transaction rollback',
  '42': 'syntax error or access rule violation',
  '44': 'check option violation',
  '53': 'insufficient resources',
  '54': 'program limit exceeded',
  '55': 'object not in the required state',
  '57': 'operator intervention',
  '58': 'system error',
  XX: 'internal error',
}

// Texts of these are about the statement or the server, never about a row.
const HARMLESS = new Set([
  '25P02',
  '40001',
  '40P01',
  '53300',
  '55P03',
  '57014',
  '57P01',
  '57P02',
  '57P03',
  '26000',
  '34000',
])
/** What of a unit's rows the caller may not see: nothing, some of what it writes, some of what it reads. */
export type Hidden = false | 'inside' | 'all'

const PASSED = ['S', 'V', 'C', 'M', 'P', 'n', 's', 't', 'c', 'd']

/**
 * Whether a message may quote what the caller may not see. With `inside` only where the database's own code (a trigger)
 * raised it: the context tells; that of COPY is the caller's own line.
 */
export function withholds(fields: ReadonlyMap<string, string>, masked: Hidden): boolean {
  if (masked !== 'inside') return masked === 'all'
  const context = fields.get('W')
  return context !== undefined && !/^COPY [^\n]*$/.test(context)
}

/**
 * Fields that the client may see. `masked`: what the unit that runs hides. With `all`, and with `inside` where the
 * database's own code raised it, message, detail, hint and context are replaced by a text of the SQLSTATE's class.
 * DETAIL of constraint violations quotes the row: it goes wherever anything is hidden.
 */
export function sanitised(
  fields: ReadonlyMap<string, string>,
  masked: Hidden,
): Map<string, string> {
  const shown = new Map(fields)
  const sqlstate = fields.get('C') ?? ''
  const group = sqlstate.slice(0, 2)
  const quotes = group === '23' || group === '44'
  // What the database runs by itself (a cascade) quotes rows of tables that the statement does not name.
  if (quotes && (masked !== false || withholds(fields, 'inside'))) shown.delete('D')
  if (!withholds(fields, masked) || HARMLESS.has(sqlstate)) return shown
  for (const letter of shown.keys()) if (!PASSED.includes(letter)) shown.delete(letter)
  if (group !== '42') {
    shown.set(
      'M',
      `${CLASSES[group] ?? 'message of the database'} (text withheld: the statement reads masked fields)`,
    )
    shown.delete('P')
  }
  return shown
}

/** The error of a read that went past its limit. `told`: which request was opened for it. */
export function limitReply(run: Run, told?: string): ErrorReply {
  const { byteLimit } = run
  if (run.exceeded === 'bytes' && byteLimit !== undefined) {
    return {
      severity: 'ERROR',
      sqlstate: '53400',
      message: `the result went past ${byteLimit.bytes} bytes (${byteLimit.rule})`,
      detail: `rule: ${byteLimit.rule}`,
      hint: 'ask for fewer rows (LIMIT n) or fewer columns',
    }
  }
  const none = { rows: 0, rule: 'limits.rows', because: 'limit', says: undefined } as const
  const { rows, rule, because, says } = run.limit ?? none
  const base = { severity: 'ERROR', sqlstate: '53400', detail: `rule: ${rule}` } as const
  if (says !== undefined) return { ...base, ...says }
  if (because === 'limit') {
    return {
      ...base,
      message: `the read went past ${rows} rows (${rule})`,
      hint: `add LIMIT ${rows}`,
    }
  }
  return {
    ...base,
    message: `the read went past ${rows} rows, where it needs an approval (${rule})${told === undefined ? ', and nobody could give it' : `: ${told}`}`,
    hint:
      told === undefined
        ? `add LIMIT ${rows}`
        : `add LIMIT ${rows}, or run the same again: it waits for the answer`,
  }
}
