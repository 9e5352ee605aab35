// Owns the proof that an ID token comes from a configured provider, was made for vgate, and is fresh (OpenID
// Connect Core 1.0 §3.1.3.7). What holds for every kind of token is in jwt.ts.

import { errors, type JWTPayload } from 'jose'
import type { Clock } from '../core/clock.js'
import type { Principal } from '../core/principal.js'
import { personFromClaims } from './claims.js'
import type { HttpFetch } from './fetch.js'
import { createTokenProof, invalidToken, LEEWAY_S, type TokenParty } from './jwt.js'

/** Older ones are refused: a fresh one comes with every refresh. */
export const MAX_AGE_S = 3600

export interface OidcProvider {
  readonly name: string
  readonly issuer: string
  readonly clientId: string
  readonly groupsClaim: string
  readonly nameClaim: string
}

export interface IdentityVerifier {
  readonly name: string
  /** The principal that an ID token proves. Throws VGATE_TOKEN_INVALID, VGATE_TOKEN_EXPIRED or VGATE_UPSTREAM_FAILED. */
  verify(idToken: string): Promise<Principal>
}

/** §3.1.3.7 rules 3 to 5: ours is among the audiences; with several, or with `azp` at all, `azp` must be ours. */
function checkParties(claims: JWTPayload, party: TokenParty): void {
  const azp = claims['azp']
  if (azp !== undefined && azp !== party.audience) {
    throw invalidToken(party, 'it was issued to another client ("azp")')
  }
  if (Array.isArray(claims.aud) && claims.aud.length > 1 && azp === undefined) {
    throw invalidToken(party, 'it names several audiences and no "azp"')
  }
}

/** A verifier for one OIDC provider. Keys are fetched at the first token, through `fetch`. */
export function createOidcVerifier(options: {
  readonly provider: OidcProvider
  readonly fetch: HttpFetch
  readonly clock: Clock
}): IdentityVerifier {
  const { provider, fetch, clock } = options
  const { name, issuer, clientId } = provider
  const party = { name, issuer, audience: clientId, hint: 'log in again with `vgate login`' }
  const proof = createTokenProof({ party, fetch, clock })
  return {
    name,
    async verify(idToken) {
      const claims = await proof.verify(idToken, (payload, now) => {
        if (now - (payload.iat ?? 0) * 1000 > (MAX_AGE_S + LEEWAY_S) * 1000) {
          throw new errors.JWTExpired('too old', payload, 'iat', 'check_failed')
        }
        checkParties(payload, party)
      })
      return personFromClaims(claims, { ...provider, provider: name })
    },
  }
}
