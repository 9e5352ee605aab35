// Owns the proof that one token comes from one issuer, was made for one audience, and is in time (RFC 7519, RFC 8725).
// It must never let the token choose its algorithm, its key or its issuer. What the token is about is not its business.

import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose'
import { parseDocument } from 'yaml'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
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
export const LEEWAY_S = 60
/** From here on it is the clocks that must be named, not the token. */
const CLOCK_TROUBLE_MS = 5 * 60_000

/** Whose tokens, for whom. */
export interface TokenParty {
  /** Name of the configured provider. */
  readonly name: string
  readonly issuer: string
  readonly audience: string
  /** What whoever sent a refused token should do. */
  readonly hint: string
}

export interface TokenProof {
  /**
   * The claims of a token that is proved. `check` refuses what its caller will not have; it runs before the claims
   * are searched for names that stand twice. Throws VGATE_TOKEN_INVALID, VGATE_TOKEN_EXPIRED or VGATE_UPSTREAM_FAILED.
   */
  verify(token: string, check: (claims: JWTPayload, now: number) => void): Promise<JWTPayload>
}

/** The refusal of a token, saying which check failed and nothing of its content. */
export function invalidToken(party: TokenParty, what: string, cause?: unknown): VgateError {
  return new VgateError(
    'VGATE_TOKEN_INVALID',
    `the identity token for provider ${party.name} is refused: ${what}`,
    { hint: party.hint, ...(cause === undefined ? {} : { cause }) },
  )
}

function kidOf(token: string, party: TokenParty): string | undefined {
  let header: ReturnType<typeof decodeProtectedHeader>
  try {
    header = decodeProtectedHeader(token)
  } catch (cause) {
    throw invalidToken(party, 'it is not a signed token', cause)
  }
  if (typeof header.alg !== 'string' || !ALGORITHMS.includes(header.alg)) {
    throw invalidToken(party, 'its algorithm is not an asymmetric signature')
  }
  // RFC 8725 §3.11: another kind of token by the same issuer must not pass for an ID token.
  if (header.typ !== undefined && (typeof header.typ !== 'string' || !/^jwt$/i.test(header.typ))) {
    throw invalidToken(party, 'its type is not JWT')
  }
  if (header.kid !== undefined && (typeof header.kid !== 'string' || header.kid.length > 256)) {
    throw invalidToken(party, 'its key id is not a short text')
  }
  return header.kid
}

/** JSON.parse keeps the last of two equal names, others the first: such a token has two meanings. */
function refuseDuplicates(token: string, party: TokenParty): void {
  for (const part of token.split('.').slice(0, 2)) {
    const text = Buffer.from(part, 'base64url').toString('utf8')
    const document = parseDocument(text, { schema: 'json', uniqueKeys: true, prettyErrors: false })
    if (document.errors.some((error) => error.code === 'DUPLICATE_KEY')) {
      throw invalidToken(party, 'it holds the same claim twice')
    }
  }
}

function translate(error: unknown, party: TokenParty, keys: ProviderKeys, now: number): VgateError {
  if (error instanceof VgateError) return error
  const told = [keys.skewMs(), aheadOf(error, now)].filter((one) => one !== undefined)
  const skew = told.toSorted((a, b) => Math.abs(b) - Math.abs(a))[0]
  const apart = skew === undefined ? 0 : Math.round(Math.abs(skew) / 60_000)
  const clocks =
    skew !== undefined && Math.abs(skew) > CLOCK_TROUBLE_MS
      ? `; the clocks of gateway and provider are ${apart} minutes apart`
      : ''
  if (error instanceof errors.JWTExpired) {
    const what = error.claim === 'iat' ? 'is older than an hour' : 'has expired'
    return new VgateError(
      'VGATE_TOKEN_EXPIRED',
      `the identity token for provider ${party.name} ${what}${clocks}`,
      { hint: party.hint, cause: error },
    )
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    return invalidToken(party, `its "${error.claim}" claim does not fit${clocks}`, error)
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return invalidToken(party, 'the provider does not know its key', error)
  }
  if (error instanceof errors.JWKSMultipleMatchingKeys) {
    return invalidToken(party, 'it does not say which key of the provider signed it', error)
  }
  return invalidToken(party, 'its signature or form is wrong', error)
}

/** A token that begins later than now says how far ahead its issuer's clock is, in milliseconds. */
function aheadOf(error: unknown, now: number): number | undefined {
  if (!(error instanceof errors.JWTClaimValidationFailed) || error.claim !== 'nbf') return undefined
  const from = error.payload.nbf
  return typeof from === 'number' ? from * 1000 - now : undefined
}

/** Issued in the future: either forged, or the clocks disagree; far enough apart the clocks are named. */
function checkIssuedAt(claims: JWTPayload, now: number, party: TokenParty): void {
  const ahead = (claims.iat ?? Number.NaN) * 1000 - now
  if (!(ahead > LEEWAY_S * 1000)) return
  const clocks =
    ahead > CLOCK_TROUBLE_MS
      ? `the clocks of gateway and provider are ${Math.round(ahead / 60_000)} minutes apart`
      : 'it was issued in the future'
  throw invalidToken(party, clocks)
}

/** The proof for one issuer and audience. Keys are fetched at the first token, through `fetch`. */
export function createTokenProof(options: {
  readonly party: TokenParty
  readonly fetch: HttpFetch
  readonly clock: Clock
}): TokenProof {
  const { party, fetch, clock } = options
  const keys = createProviderKeys({ name: party.name, issuer: party.issuer, fetch, clock })
  return {
    async verify(token, check) {
      if (token.length > MAX_ID_TOKEN) throw invalidToken(party, 'it is too long')
      const kid = kidOf(token, party)
      const resolve = await keys.forKid(kid)
      const now = clock.now()
      try {
        // `exp` and `nbf` are checked by jose; only this one key set can answer, so that `jku`, `x5u`, `jwk` and
        // `x5c` of the header mean nothing.
        const { payload } = await jwtVerify(token, resolve, {
          algorithms: [...ALGORITHMS],
          issuer: party.issuer,
          audience: party.audience,
          clockTolerance: LEEWAY_S,
          currentDate: new Date(now),
          requiredClaims: ['sub', 'exp', 'iat'],
        })
        checkIssuedAt(payload, now, party)
        check(payload, now)
        refuseDuplicates(token, party)
        return payload
      } catch (error) {
        throw translate(error, party, keys, now)
      }
    },
  }
}
