// Owns what is said of a session when it opens and when it ends.

import type { SessionOpened } from '../audit/records.js'
import type { OpenSessionRequest, SessionLease } from '../core/authority.js'
import { VgateError } from '../core/errors.js'
import type { CloseReason } from '../core/grant.js'

/** The first record of a session. */
export function opened(lease: SessionLease, client: OpenSessionRequest['client']): SessionOpened {
  const { principal, grant, target } = lease
  return {
    type: 'session.opened',
    session: lease.session,
    principal: {
      id: principal.id,
      name: principal.name,
      provider: principal.provider,
      kind: principal.kind,
    },
    grant: {
      id: grant.id,
      roles: grant.roles,
      startsAt: new Date(grant.startsAt).toISOString(),
      endsAt: new Date(grant.endsAt).toISOString(),
      ...(grant.reason === undefined ? {} : { reason: grant.reason }),
      ...(grant.ticket === undefined ? {} : { ticket: grant.ticket }),
    },
    target: target.name,
    database: target.database,
    databaseName: target.databaseName,
    policyHash: lease.policy.hash,
    client,
  }
}

/** What a session's end is to its client. */
export function endError(reason: CloseReason, message: string): VgateError {
  switch (reason) {
    case 'expired':
      return new VgateError('VGATE_GRANT_ENDED', message, { hint: 'run `vgate connect` again' })
    case 'revoked':
      return new VgateError('VGATE_REVOKED', message)
    case 'upstream_lost':
      return new VgateError('VGATE_UPSTREAM_FAILED', message)
    default:
      return new VgateError('VGATE_GATEWAY_UNREACHABLE', message)
  }
}
