// Owns how long a workload's grant stands: to the end of its platform's token, or, where the platform makes fresh ones,
// to the grant's own end as long as each is shown in time.

import { VgateError } from '../core/errors.js'
import type { Grant } from '../core/grant.js'
import type { Principal } from '../core/principal.js'
import type { VerifiedToken } from '../identity/tokens.js'
import { mayTake } from '../policy/access.js'
import type { Store } from '../store/store.js'
import type { ControlDeps } from './deps.js'

/** The end of a new grant: a workload whose platform makes no fresh tokens has it to its token's end at most. */
export function workloadEnd(
  caller: VerifiedToken,
  endsAt: number,
  freshTokens: boolean,
  now: number,
): number {
  const until = proofOf(caller)
  if (until === undefined) return endsAt
  if (until <= now) throw proofEnded()
  return freshTokens ? endsAt : Math.min(endsAt, until)
}

/** Until when the caller's own platform proves it; undefined for people. */
export function proofOf(caller: VerifiedToken): number | undefined {
  // A workload's token always carries it; without one nothing is proved.
  return caller.principal.kind === 'workload' ? (caller.identityUntil ?? 0) : undefined
}

export function proofEnded(): VgateError {
  return new VgateError('VGATE_GRANT_ENDED', 'the identity token of this job has ended', {
    hint: 'a longer job needs fresh tokens of its platform: see docs/ci.md',
  })
}

/** The workload as its grant knows it. Throws VGATE_GRANT_ENDED when nothing proves it any more. */
export async function provedPrincipal(
  store: Pick<Store, 'findProof'>,
  principal: Principal,
  grant: string,
  now: number,
): Promise<{ readonly principal: Principal; readonly until: number }> {
  const proof = await store.findProof(grant)
  if (proof === undefined || proof.until <= now) throw proofEnded()
  const { until, ...then } = proof
  return { principal: { ...principal, ...then }, until }
}

/**
 * Proves a grant anew with the caller's token. Answers until when it counts now. Throws VGATE_NOT_FOUND for another's
 * grant, VGATE_REVOKED, VGATE_GRANT_ENDED, or VGATE_DENIED when the fresh token no longer matches the rule.
 */
export async function renewGrant(
  deps: Pick<ControlDeps, 'store' | 'policy' | 'clock'>,
  caller: VerifiedToken,
  id: string,
): Promise<number> {
  const { store, clock } = deps
  const grant = await store.findGrant(id)
  const until = proofOf(caller)
  const known = until === undefined ? undefined : await store.findProof(id)
  if (grant?.principal !== caller.principal.id || until === undefined || known === undefined) {
    throw new VgateError('VGATE_NOT_FOUND', 'there is no grant of that id that you could renew')
  }
  const now = clock.now()
  if (grant.revoked !== undefined) throw new VgateError('VGATE_REVOKED', 'the grant was revoked')
  if (grant.endsAt <= now) throw new VgateError('VGATE_GRANT_ENDED', 'the grant has ended')
  // A proof that has ended stays ended: its session is over, and a new grant is one call away.
  if (known.until <= now || until <= now) throw proofEnded()
  demandRoles(deps, caller.principal, grant, now)
  await store.renewProof(id, caller.principal, until)
  return Math.max(until, known.until)
}

function demandRoles(
  deps: Pick<ControlDeps, 'policy'>,
  principal: Principal,
  grant: Grant,
  now: number,
): void {
  const { compiled } = deps.policy()
  if (grant.roles.every((role) => mayTake(compiled, principal, role, grant.target, now))) return
  throw new VgateError('VGATE_DENIED', 'no rule gives this access to the claims of this token')
}
