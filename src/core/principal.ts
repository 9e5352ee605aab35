// Owns the words for who is calling.

import { createHash } from 'node:crypto'
import type { JsonValue } from './json.js'

export interface Principal {
  /** Stable: derived from issuer and subject alone (see `principalId`). */
  readonly id: string
  readonly kind: 'person' | 'workload'
  /** Name of the configured provider, e.g. `corp`. */
  readonly provider: string
  readonly issuer: string
  readonly subject: string
  /** For display only; never decides anything. */
  readonly name: string
  /** `provider:name`. */
  readonly groups: readonly string[]
  readonly claims: Readonly<Record<string, JsonValue>>
}

/** Issuer and subject as one id, length-prefixed so that no two pairs collide: `usr_` and 80 bits in hex. */
export function principalId(issuer: string, subject: string): string {
  const hash = createHash('sha256').update(`${issuer.length}:${issuer}${subject}`).digest('hex')
  return `usr_${hash.slice(0, 20)}`
}

/** Claims of a token's own mechanics. They are checked where the token is, and never kept: no rule can match them. */
export const UNMATCHED_CLAIMS: ReadonlySet<string> = new Set(
  'iss aud exp nbf iat jti nonce azp at_hash c_hash s_hash sid sub_jwk cnf _claim_names _claim_sources'.split(
    ' ',
  ),
)
