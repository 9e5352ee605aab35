// Owns the login of workloads: which provider proves a platform's token, whether any rule speaks of that workload, and
// what the audit log learns of it. The caller learns which check failed, and nothing else.

import type { ClaimedIdentity } from '../audit/records.js'
import { VgateError } from '../core/errors.js'
import type { Principal } from '../core/principal.js'
import { claimedParty, type VerifiedWorkload, type WorkloadVerifier } from '../identity/workload.js'
import { workloadStanding } from '../policy/access.js'
import type { ControlDeps } from './deps.js'

type Deps = Pick<ControlDeps, 'workloads' | 'policy' | 'store' | 'audit' | 'clock'>

/** How the audit log names a provider that could not be found. */
const NO_PROVIDER = '(none)'

/** The provider that is named, else the one of the token's issuer and audience. Throws VGATE_TOKEN_INVALID. */
function verifierFor(deps: Deps, provider: string | undefined, token: string): WorkloadVerifier {
  const named = provider === undefined ? undefined : deps.workloads.get(provider)
  if (named !== undefined) return named
  if (provider !== undefined) {
    throw new VgateError('VGATE_USAGE', 'there is no provider of workloads of that name')
  }
  const { issuer, audiences } = claimedParty(token)
  if (issuer === undefined) {
    throw new VgateError(
      'VGATE_TOKEN_INVALID',
      'the identity token is refused: it is not a token',
      {
        hint: 'VGATE_TOKEN and its like hold the token of the platform, three parts with dots between',
      },
    )
  }
  // Exactly as written: a trailing slash or another case is another issuer.
  const issued = [...deps.workloads.values()].filter((one) => one.issuer === issuer)
  const found = issued.find((one) => audiences.includes(one.audience)) ?? issued[0]
  if (found !== undefined) return found
  throw new VgateError(
    'VGATE_TOKEN_INVALID',
    'the identity token is refused: its issuer is not configured at this gateway',
    { hint: 'an administrator adds it under identity.providers, with type: workload' },
  )
}

/** A workload that no rule speaks of gets no token: with a public issuer that is everybody's. */
function demandRule(deps: Deps, principal: Principal): void {
  const standing = workloadStanding(deps.policy().compiled, principal, deps.clock.now())
  if (standing.found) return
  if (standing.ended !== undefined) {
    throw new VgateError('VGATE_DENIED', 'the access rule for this workload has ended', {
      hint: 'its owner renews it: `until` in the policy',
    })
  }
  throw new VgateError('VGATE_DENIED', 'no rule matches the claims of this token', {
    hint: 'compare repository, ref and environment of this job with the policy; the audit log has the claims',
  })
}

function claimedBy(deps: Deps, token: string, proved: Principal | undefined): ClaimedIdentity {
  const { issuer, subject, audiences } = claimedParty(token)
  if (proved === undefined) {
    return {
      verified: false,
      ...(issuer === undefined ? {} : { issuer }),
      ...(subject === undefined ? {} : { subject }),
      audiences,
    }
  }
  const standing = workloadStanding(deps.policy().compiled, proved, deps.clock.now())
  const ended = standing.found ? undefined : standing.ended
  return {
    verified: true,
    issuer: proved.issuer,
    subject: proved.subject,
    claims: proved.claims,
    ...(ended === undefined ? {} : { rule: ended.rule }),
    ...(ended?.owner === undefined ? {} : { owner: ended.owner }),
  }
}

/**
 * The workload that a platform's token proves, written into the store. Every refusal is in the audit log. Throws
 * VGATE_TOKEN_INVALID, VGATE_TOKEN_EXPIRED, VGATE_DENIED, VGATE_UPSTREAM_FAILED or VGATE_USAGE.
 */
export async function verifyWorkload(
  deps: Deps,
  provider: string | undefined,
  token: string,
): Promise<VerifiedWorkload> {
  let verifier: WorkloadVerifier | undefined
  let proved: Principal | undefined
  try {
    verifier = verifierFor(deps, provider, token)
    const verified = await verifier.verify(token)
    proved = verified.principal
    demandRule(deps, proved)
    // A person and a workload of one id would be two callers in one row.
    const known = await deps.store.findPrincipal(proved.id)
    const written =
      (known === undefined || known.kind === 'workload') &&
      (await deps.store.upsertPrincipal(proved))
    if (!written) {
      throw new VgateError('VGATE_DENIED', 'this identity is disabled', {
        hint: 'ask an administrator',
      })
    }
    return verified
  } catch (error) {
    if (error instanceof VgateError) {
      await deps.audit.append({
        type: 'login.failed',
        provider: verifier?.name ?? NO_PROVIDER,
        code: error.code,
        message: error.message,
        claimed: claimedBy(deps, token, proved),
      })
    }
    throw error
  }
}
