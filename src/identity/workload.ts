// Owns the proof that a token was made by a platform (CI, cluster) for one of its workloads and for vgate alone, and
// until when it counts. Strict as for people (jwt.ts); a token may be exchanged again until its end.

import { decodeJwt, type JWTPayload } from 'jose'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import type { Principal } from '../core/principal.js'
import { workloadFromClaims } from './claims.js'
import type { HttpFetch } from './fetch.js'
import { createTokenProof, invalidToken, MAX_ID_TOKEN, type TokenParty } from './jwt.js'

/** A token made for longer is no short-lived one, whatever its platform calls it. */
export const MAX_LIFE_S = 24 * 3600

export interface WorkloadIssuer {
  readonly name: string
  readonly issuer: string
  readonly audience: string
  readonly groupsClaim: string
  readonly nameClaim: string
}

export interface VerifiedWorkload {
  readonly principal: Principal
  /** End of the identity token. Milliseconds since the epoch. */
  readonly until: number
}

export interface WorkloadVerifier {
  readonly name: string
  readonly issuer: string
  readonly audience: string
  /** The workload that a token proves. Throws VGATE_TOKEN_INVALID, VGATE_TOKEN_EXPIRED or VGATE_UPSTREAM_FAILED. */
  verify(token: string): Promise<VerifiedWorkload>
}

/** What a token says of itself before anything is proved: to find who could prove it, and for the audit log. */
export interface ClaimedParty {
  readonly issuer: string | undefined
  readonly subject: string | undefined
  readonly audiences: readonly string[]
}

/** Reads without proving. Everything undefined or empty for what is no token. */
export function claimedParty(token: string): ClaimedParty {
  try {
    if (token.length > MAX_ID_TOKEN) throw new Error('too long')
    const { iss, sub, aud } = decodeJwt(token)
    const text = (value: unknown): string | undefined =>
      typeof value === 'string' ? value.slice(0, 500) : undefined
    const audiences = (Array.isArray(aud) ? aud : [aud])
      .slice(0, 10)
      .flatMap((one) => text(one) ?? [])
    return { issuer: text(iss), subject: text(sub), audiences }
  } catch {
    return { issuer: undefined, subject: undefined, audiences: [] }
  }
}

function checkLife(claims: JWTPayload, now: number, party: TokenParty): void {
  // One that others may receive too could be shown here by them.
  if (Array.isArray(claims.aud) && claims.aud.length > 1) {
    throw invalidToken(party, 'it names several audiences')
  }
  const { exp = 0, iat = 0 } = claims
  if (exp - iat > MAX_LIFE_S) throw invalidToken(party, 'it is made for longer than 24 hours')
  // No leeway here: what is given ends with the token.
  if (exp * 1000 <= now) {
    throw new VgateError(
      'VGATE_TOKEN_EXPIRED',
      `the identity token for provider ${party.name} has expired`,
      { hint: party.hint },
    )
  }
}

/** A verifier for one platform. Keys are fetched at the first token, through `fetch`. */
export function createWorkloadVerifier(options: {
  readonly provider: WorkloadIssuer
  readonly fetch: HttpFetch
  readonly clock: Clock
}): WorkloadVerifier {
  const { provider, fetch, clock } = options
  const { name, issuer, audience } = provider
  const hint = `let the platform make a fresh token for the audience that the gateway names`
  const party = { name, issuer, audience, hint }
  const proof = createTokenProof({ party, fetch, clock })
  return {
    name,
    issuer,
    audience,
    async verify(token) {
      const claims = await proof.verify(token, (payload, now) => checkLife(payload, now, party))
      return {
        principal: workloadFromClaims(claims, { ...provider, provider: name }),
        until: (claims.exp ?? 0) * 1000,
      }
    },
  }
}
