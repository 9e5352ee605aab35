// Owns what is refused although policy permits it: obligations that this form of a request cannot carry out, and
// statements that no guard could vouch for.

import type { Obligations } from '../../core/decision.js'
import type { Run } from './run.js'
import { takesBack } from './search-path.js'
import type { Classification, ParsedStatement } from './statement.js'
import type { Step } from './step.js'
import type { ErrorReply } from './wire.js'

/** The refusal of what is understood and not carried out yet. */
export const notSupported = (text: string, hint: string): ErrorReply => ({
  severity: 'ERROR',
  sqlstate: '0A000',
  message: `not supported yet: ${text}`,
  hint,
})

/** A statement of a message that no guard in front of the message can vouch for. */
export function unguardable(
  statements: readonly ParsedStatement[],
  found: readonly Classification[],
): ErrorReply | undefined {
  const last = found.findLastIndex(
    ({ uses }, index) => uses !== undefined || statements[index]?.named?.kind === 'prepare',
  )
  const before = statements.slice(0, Math.max(0, last))
  const ends = before.find(
    ({ effects: { transaction, modes } }) => transaction === undefined && modes,
  )
  return ends === undefined
    ? undefined
    : notSupported(
        `a statement behind ${ends.text} in one message`,
        'send what stands behind it as a message of its own',
      )
}

/**
 * A statement of a message behind one that may change where its names are looked up: it is judged before that has run.
 * `touched`: the open transaction has changed it, so that its end takes it back.
 */
export function behindPath(
  statements: readonly ParsedStatement[],
  found: readonly Classification[],
  touched: boolean,
): ErrorReply | undefined {
  const moves = statements.findIndex(
    ({ effects }, index) => found[index]?.movesPath === true || (touched && takesBack(effects)),
  )
  if (moves < 0 || statements.slice(moves + 1).every(({ effects }) => effects.pathless === true))
    return undefined
  return notSupported(
    'a statement behind one that may change what names mean, in one message',
    'send what stands behind it as a message of its own',
  )
}

/**
 * Whether a message can be failed behind its last statement, as it would have been at the first that goes past a limit:
 * nothing of it lasts, or the transaction around it takes it back.
 */
function canFail(steps: readonly Step[], runs: readonly Run[], enclosed: boolean): boolean {
  return steps.every(({ statement: { effects, named } }, index) => {
    const { transaction, readOnly, copy } = effects
    if (enclosed) return transaction === undefined && copy === undefined
    return readOnly && named === undefined && runs[index]?.operation.functions.length === 0
  })
}

/** What cannot be carried out although it was permitted. `enclosed`: a transaction is open around it. */
export function unenforceable(
  steps: readonly Step[],
  obligations: readonly Obligations[],
  {
    simple,
    runs,
    enclosed,
  }: { readonly simple: boolean; readonly runs: readonly Run[]; readonly enclosed: boolean },
): ErrorReply | undefined {
  for (const [index, { statement }] of steps.entries()) {
    const { masks, rowLimit, byteLimit } = obligations[index] ?? { masks: [] }
    const limited = rowLimit !== undefined || byteLimit !== undefined
    if (statement.effects.copy === 'out' && (masks.length > 0 || limited)) {
      return notSupported('COPY of masked or limited collections', 'use SELECT with a LIMIT')
    }
    if (!simple) continue
    if (byteLimit !== undefined && steps.length > 1 && !canFail(steps, runs, enclosed)) {
      return notSupported(
        `a read that may end at ${byteLimit.rule} among statements that do more than read`,
        'send it as a statement of its own, or BEGIN first',
      )
    }
    if (byteLimit !== undefined && steps.length === 1 && !statement.portalReady)
      return notSupported(`this statement under ${byteLimit.rule}`, 'use a plain SELECT')
    if (rowLimit === undefined) continue
    if (steps.length > 1) {
      return notSupported(
        'a read without a bound among other statements',
        `send it as a statement of its own, or add LIMIT ${rowLimit.rows}`,
      )
    }
    if (!statement.portalReady)
      return notSupported(
        'this read without a bound',
        `add LIMIT ${rowLimit.rows}, or use a plain SELECT`,
      )
  }
  return undefined
}
