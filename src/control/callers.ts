// Owns who is calling: bearer token to principal, and what the configuration lets that principal see and do.

import { VgateError } from '../core/errors.js'
import type { Principal } from '../core/principal.js'
import type { VerifiedToken } from '../identity/tokens.js'
import type { ControlDeps } from './deps.js'

/** Checks a token and that its login and principal still stand. Throws VGATE_TOKEN_INVALID, VGATE_TOKEN_EXPIRED or VGATE_LOGIN_REQUIRED. */
export async function authenticateToken(
  deps: Pick<ControlDeps, 'tokens' | 'store'>,
  bearer: string,
): Promise<VerifiedToken> {
  const verified = await deps.tokens.verify(bearer)
  const stands =
    (await deps.store.isLoginActive(verified.jti)) &&
    (await deps.store.isPrincipalActive(verified.principal.id))
  if (!stands) {
    throw new VgateError('VGATE_LOGIN_REQUIRED', 'this login has ended', {
      hint: 'log in again with `vgate login`',
    })
  }
  return verified
}

/** The token of an Authorization header. Throws VGATE_LOGIN_REQUIRED. */
export function bearerOf(header: string | undefined): string {
  const bearer = /^Bearer ([\w.~+/=-]+)$/i.exec(header ?? '')?.[1]
  if (bearer !== undefined) return bearer
  throw new VgateError('VGATE_LOGIN_REQUIRED', 'this needs an access token', {
    hint: 'log in with `vgate login`',
  })
}

function isPersonIn(principal: Principal, groups: readonly string[]): boolean {
  // Workloads neither approve nor administer (product.md, "Policy").
  return principal.kind === 'person' && groups.some((group) => principal.groups.includes(group))
}

/** True for people in one of `gateway.administrators`. */
export function isAdministrator(deps: Pick<ControlDeps, 'config'>, principal: Principal): boolean {
  return isPersonIn(principal, deps.config.administrators)
}

/** True for people in one of `gateway.auditors`. */
export function isAuditor(deps: Pick<ControlDeps, 'config'>, principal: Principal): boolean {
  return isPersonIn(principal, deps.config.auditors)
}
