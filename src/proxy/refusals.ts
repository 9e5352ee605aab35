// Owns how a request that may not run is answered: the judgement that is recorded, and the refusal that is given.

import type { Refusal } from '../core/adapter.js'
import { asVgateError, ERRORS, VgateError } from '../core/errors.js'
import type { Unclassified } from '../core/operation.js'
import type { Judgement } from './pep.js'

/** A denial, as it is recorded and as it is given. */
export interface Denial {
  readonly judgement: Judgement
  readonly refusal: Refusal
}

/** The denial that `rule` decided. */
export function denial(error: VgateError, rule: string): Denial {
  const refusal: Refusal = {
    sqlstate: ERRORS[error.code].sqlstate,
    http: ERRORS[error.code].http,
    grpc: ERRORS[error.code].grpc,
    rule,
    message: error.message.includes(rule) ? error.message : `${error.message} (rule: ${rule})`,
    hint: error.hint ?? '',
  }
  return { judgement: { verdict: 'deny', rule, reason: error.message, obligations: [] }, refusal }
}

/** The denial of what was not understood. */
export function unclassified(operation: Unclassified): Denial {
  const { serverError } = operation
  const outcome = denial(
    new VgateError('VGATE_OPERATION_UNKNOWN', `refused: ${operation.reason}`, {
      hint: operation.hint ?? 'what the gateway does not understand it does not pass on',
    }),
    'default deny',
  )
  if (serverError === undefined) return outcome
  return { ...outcome, refusal: { ...outcome.refusal, serverError } }
}

/** What was thrown while a request was judged. */
export function asRefusal(error: unknown): VgateError {
  return asVgateError(error, 'the gateway failed while judging this; nothing was run')
}
