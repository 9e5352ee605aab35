// Owns vgate's own access token: an EdDSA-signed JWT of at most 15 minutes with the principal inside. It must
// never accept a token of another gateway, another kind or another algorithm.

import type { KeyObject } from 'node:crypto'
import { randomBytes } from 'node:crypto'
import { decodeProtectedHeader, errors, jwtVerify, SignJWT } from 'jose'
import { z } from 'zod'
import type { Clock } from '../core/clock.js'
import { VgateError } from '../core/errors.js'
import type { JsonValue } from '../core/json.js'
import { type Principal, principalId } from '../core/principal.js'

export const TOKEN_TYPE = 'vgate-at+jwt'
export const TOKEN_AUDIENCE = 'vgate'
export const TOKEN_LIFE_MS = 15 * 60_000
/** It travels in a header, and Node's servers take 16 KiB of those. Characters. */
export const MAX_TOKEN = 12 * 1024

const principalClaim = z.strictObject({
  id: z.string(),
  kind: z.enum(['person', 'workload']),
  provider: z.string(),
  issuer: z.string(),
  subject: z.string(),
  name: z.string(),
  groups: z.array(z.string()),
  claims: z.record(z.string(), z.json()),
})
const payloadShape = z.strictObject({
  iss: z.string(),
  aud: z.literal(TOKEN_AUDIENCE),
  sub: z.string(),
  jti: z.string().regex(/^[0-9a-f]{32}$/),
  iat: z.number().int(),
  exp: z.number().int(),
  principal: principalClaim,
  /** End of the identity token that this was given for; workloads only. Seconds since the epoch. */
  identity_exp: z.number().int().optional(),
})

export interface SigningPair {
  readonly id: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export interface IssuedToken {
  readonly token: string
  readonly jti: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

export interface VerifiedToken {
  readonly principal: Principal
  readonly jti: string
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
  /** Of workloads: when the platform's own token ends. Milliseconds since the epoch. */
  readonly identityUntil?: number
}

export interface Tokens {
  /**
   * A new access token, which never outlives `identityUntil` (milliseconds since the epoch).
   * Throws VGATE_TOKEN_INVALID when the principal does not fit into one.
   */
  issue(principal: Principal, identityUntil?: number): Promise<IssuedToken>
  /** Who holds this token. Throws VGATE_TOKEN_EXPIRED or VGATE_TOKEN_INVALID. */
  verify(token: string): Promise<VerifiedToken>
}

function invalid(cause?: unknown): VgateError {
  return new VgateError('VGATE_TOKEN_INVALID', 'the access token is not one of this gateway', {
    hint: 'log in again with `vgate login`',
    ...(cause === undefined ? {} : { cause }),
  })
}

/** The gateway's tokens. `issuer` is its public URL, so that one gateway's token is worth nothing at another. */
export function createTokens(options: {
  readonly issuer: string
  readonly key: SigningPair
  readonly clock: Clock
}): Tokens {
  const { issuer, key, clock } = options
  return {
    async issue(principal, identityUntil) {
      const issuedAt = Math.floor(clock.now() / 1000)
      const identityExp = identityUntil === undefined ? undefined : Math.floor(identityUntil / 1000)
      const longest = issuedAt + TOKEN_LIFE_MS / 1000
      const expires = Math.min(longest, identityExp ?? longest)
      const jti = randomBytes(16).toString('hex')
      const token = await new SignJWT({
        principal: { ...principal },
        ...(identityExp === undefined ? {} : { identity_exp: identityExp }),
      })
        .setProtectedHeader({ alg: 'EdDSA', typ: TOKEN_TYPE, kid: key.id })
        .setIssuer(issuer)
        .setAudience(TOKEN_AUDIENCE)
        .setSubject(principal.id)
        .setJti(jti)
        .setIssuedAt(issuedAt)
        .setExpirationTime(expires)
        .sign(key.privateKey)
      if (token.length > MAX_TOKEN) {
        throw new VgateError('VGATE_TOKEN_INVALID', 'the identity has too many groups and claims', {
          hint: 'let the provider send only the groups that vgate needs',
        })
      }
      return { token, jti, expiresAt: expires * 1000 }
    },

    async verify(token) {
      if (token.length > MAX_TOKEN) throw invalid()
      try {
        if (decodeProtectedHeader(token).kid !== key.id) throw invalid()
        const { payload } = await jwtVerify(token, key.publicKey, {
          algorithms: ['EdDSA'],
          typ: TOKEN_TYPE,
          issuer,
          audience: TOKEN_AUDIENCE,
          currentDate: new Date(clock.now()),
          clockTolerance: 0,
        })
        const { principal, jti, sub, exp, iat, identity_exp } = payloadShape.parse(payload)
        const own = principalId(principal.issuer, principal.subject)
        const life = (exp - iat) * 1000
        if (sub !== own || principal.id !== own || life > TOKEN_LIFE_MS) throw invalid()
        const claims: Readonly<Record<string, JsonValue>> = principal.claims
        return {
          principal: { ...principal, claims },
          jti,
          expiresAt: exp * 1000,
          ...(identity_exp === undefined ? {} : { identityUntil: identity_exp * 1000 }),
        }
      } catch (error) {
        if (error instanceof VgateError) throw error
        if (error instanceof errors.JWTExpired) {
          throw new VgateError('VGATE_TOKEN_EXPIRED', 'the access token has expired', {
            hint: 'log in again with `vgate login`',
          })
        }
        throw invalid(error)
      }
    },
  }
}
