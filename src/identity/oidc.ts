// Owns the proof that an ID token comes from a configured provider, was made for vgate, and is fresh (OpenID
// Connect Core 1.0 §3.1.3.7, RFC 8725). It must never let the token choose its algorithm, its key or its issuer.

import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose'
import { parseDocument } from 'yaml'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import type { Principal } from '../core/principal.js'
import { personFromClaims } from './claims.js'
import type { HttpFetch } from './fetch.js'
import { createProviderKeys, type ProviderKeys } from './provider-keys.js'

/** Asymmetric only: with HS256 the public key would be the secret (RFC 8725 §2.1). */
export const ALGORITHMS: readonly string[] = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]

/** Longest token that is looked at. Characters. */
export const MAX_ID_TOKEN = 64 * 1024
/** Older ones are refused: a fresh one comes with every refresh. */
export const MAX_AGE_S = 3600
export const LEEWAY_S = 60
/** From here on it is the clocks that must be named, not the token. */
const CLOCK_TROUBLE_MS = 5 * 60_000

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

function invalid(provider: OidcProvider, what: string, cause?: unknown): VgateError {
  return new VgateError(
    'VGATE_TOKEN_INVALID',
    `the identity token for provider ${provider.name} is refused: ${what}`,
    { hint: 'log in again with `vgate login`', ...(cause === undefined ? {} : { cause }) },
  )
}

function kidOf(token: string, provider: OidcProvider): string | undefined {
  let header: ReturnType<typeof decodeProtectedHeader>
  try {
    header = decodeProtectedHeader(token)
  } catch (cause) {
    throw invalid(provider, 'it is not a signed token', cause)
  }
  if (typeof header.alg !== 'string' || !ALGORITHMS.includes(header.alg)) {
    throw invalid(provider, 'its algorithm is not an asymmetric signature')
  }
  // RFC 8725 §3.11: another kind of token by the same issuer must not pass for an ID token.
  if (header.typ !== undefined && (typeof header.typ !== 'string' || !/^jwt$/i.test(header.typ))) {
    throw invalid(provider, 'its type is not JWT')
  }
  if (header.kid !== undefined && (typeof header.kid !== 'string' || header.kid.length > 256)) {
    throw invalid(provider, 'its key id is not a short text')
  }
  return header.kid
}

/** JSON.parse keeps the last of two equal names, others the first: such a token has two meanings. */
function refuseDuplicates(token: string, provider: OidcProvider): void {
  for (const part of token.split('.').slice(0, 2)) {
    const text = Buffer.from(part, 'base64url').toString('utf8')
    const document = parseDocument(text, { schema: 'json', uniqueKeys: true, prettyErrors: false })
    if (document.errors.some((error) => error.code === 'DUPLICATE_KEY')) {
      throw invalid(provider, 'it holds the same claim twice')
    }
  }
}

/** §3.1.3.7 rules 3 to 5: ours is among the audiences; with several, or with `azp` at all, `azp` must be ours. */
function checkParties(claims: JWTPayload, provider: OidcProvider): void {
  const azp = claims['azp']
  if (azp !== undefined && azp !== provider.clientId) {
    throw invalid(provider, 'it was issued to another client ("azp")')
  }
  if (Array.isArray(claims.aud) && claims.aud.length > 1 && azp === undefined) {
    throw invalid(provider, 'it names several audiences and no "azp"')
  }
}

function translate(error: unknown, provider: OidcProvider, keys: ProviderKeys): VgateError {
  if (error instanceof VgateError) return error
  const skew = keys.skewMs()
  const apart = skew === undefined ? 0 : Math.round(Math.abs(skew) / 60_000)
  const clocks =
    skew !== undefined && Math.abs(skew) > CLOCK_TROUBLE_MS
      ? `; the clocks of gateway and provider are ${apart} minutes apart`
      : ''
  if (error instanceof errors.JWTExpired) {
    const what = error.claim === 'iat' ? 'is older than an hour' : 'has expired'
    return new VgateError(
      'VGATE_TOKEN_EXPIRED',
      `the identity token for provider ${provider.name} ${what}${clocks}`,
      { hint: 'log in again with `vgate login`', cause: error },
    )
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    return invalid(provider, `its "${error.claim}" claim does not fit${clocks}`, error)
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return invalid(provider, 'the provider does not know its key', error)
  }
  if (error instanceof errors.JWKSMultipleMatchingKeys) {
    return invalid(provider, 'it does not say which key of the provider signed it', error)
  }
  return invalid(provider, 'its signature or form is wrong', error)
}

/** Issued in the future: either forged, or the clocks disagree; far enough apart the clocks are named. */
function checkIssuedAt(claims: JWTPayload, now: number, provider: OidcProvider): void {
  const ahead = (claims.iat ?? Number.NaN) * 1000 - now
  if (!(ahead > LEEWAY_S * 1000)) return
  const clocks =
    ahead > CLOCK_TROUBLE_MS
      ? `the clocks of gateway and provider are ${Math.round(ahead / 60_000)} minutes apart`
      : 'it was issued in the future'
  throw invalid(provider, clocks)
}

/** A verifier for one OIDC provider. Keys are fetched at the first token, through `fetch`. */
export function createOidcVerifier(options: {
  readonly provider: OidcProvider
  readonly fetch: HttpFetch
  readonly clock: Clock
}): IdentityVerifier {
  const { provider, fetch, clock } = options
  const keys = createProviderKeys({ name: provider.name, issuer: provider.issuer, fetch, clock })
  return {
    name: provider.name,
    async verify(idToken) {
      if (idToken.length > MAX_ID_TOKEN) throw invalid(provider, 'it is too long')
      const kid = kidOf(idToken, provider)
      const resolve = await keys.forKid(kid)
      const now = clock.now()
      try {
        // `exp`, `nbf` and the age are checked by jose; only this one key set can answer, so that `jku`, `x5u`,
        // `jwk` and `x5c` of the header mean nothing.
        const { payload } = await jwtVerify(idToken, resolve, {
          algorithms: [...ALGORITHMS],
          issuer: provider.issuer,
          audience: provider.clientId,
          clockTolerance: LEEWAY_S,
          currentDate: new Date(now),
          requiredClaims: ['sub', 'exp', 'iat'],
        })
        checkIssuedAt(payload, now, provider)
        if (now - (payload.iat ?? 0) * 1000 > (MAX_AGE_S + LEEWAY_S) * 1000) {
          throw new errors.JWTExpired('too old', payload, 'iat', 'check_failed')
        }
        checkParties(payload, provider)
        refuseDuplicates(idToken, provider)
        return personFromClaims(payload, { ...provider, provider: provider.name })
      } catch (error) {
        throw translate(error, provider, keys)
      }
    },
  }
}
