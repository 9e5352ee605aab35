// Owns why a grant no longer, or never, carries a session.

import { VgateError } from '../core/errors.js'
import type { OpenResult } from '../store/store.js'

/** Its absolute end has come. */
export function grantEnded(): VgateError {
  return new VgateError('VGATE_GRANT_ENDED', 'the grant has ended', { hint: 'connect again' })
}

/** Taken away: by a person, or by a new policy. */
export function revoked(message: string): VgateError {
  return new VgateError('VGATE_REVOKED', message, { hint: 'ask for access again' })
}

/** One answer for what does not exist and for what is another's. */
export function unknownGrant(): VgateError {
  return new VgateError('VGATE_NOT_FOUND', 'there is no grant of that id for you')
}

/** Why the store opened no session. `limit`: how many a principal may have. */
export function notOpened(result: Exclude<OpenResult, 'opened'>, limit: number): VgateError {
  if (result === 'revoked') return revoked('the grant was revoked')
  if (result === 'ended') return grantEnded()
  if (result === 'unknown') return unknownGrant()
  return new VgateError(
    'VGATE_LIMIT_EXCEEDED',
    `you have ${limit} open sessions, the most there may be`,
    { hint: 'end one, or raise limits.sessionsPerPrincipal' },
  )
}
