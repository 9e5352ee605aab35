// Owns why a grant no longer, or never, carries a session.

import { VgateError } from '../core/errors.js'

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
