// Owns how an access rule matches the claims of a workload: exactly, or by `*` for one whole segment between `/` or
// `:`. A claim that the token does not hold never matches. No regular expression is built from the policy.

import type { JsonValue } from '../core/json.js'
import { canonicalJson } from '../core/json.js'
import type { Principal } from '../core/principal.js'

export interface ClaimRule {
  readonly claim: string
  /** Segments and the separators between them; undefined when the value must be equal as a whole. */
  readonly segments: readonly string[] | undefined
  /** Canonical JSON of the wanted value. */
  readonly exact: string
}

const SEPARATORS = /([/:])/

/** `a/*:b` → a, /, *, :, b. */
function split(text: string): string[] {
  return text.split(SEPARATORS)
}

/** What is wrong with the text that a claim must match, or undefined. */
export function claimProblem(text: string): string | undefined {
  if (text === '') return 'expected a value'
  if (/[\p{Cc}\p{Cf}]/u.test(text)) return 'expected a value without control characters'
  const mixed = split(text).find((segment) => segment !== '*' && segment.includes('*'))
  return mixed === undefined
    ? undefined
    : 'a `*` beside other characters is refused: it stands for one whole segment between / or :'
}

/** Compiles one claim. Texts inside lists and maps are literal: `*` means nothing there. */
export function compileClaim(claim: string, wanted: JsonValue): ClaimRule {
  const segments = typeof wanted === 'string' && wanted.includes('*') ? split(wanted) : undefined
  return { claim, segments, exact: canonicalJson(wanted) }
}

/** True when the verified claims of this workload meet every rule. `sub` is the subject itself. */
export function claimsMatch(rules: readonly ClaimRule[], principal: Principal): boolean {
  return rules.length > 0 && rules.every((rule) => claimMatches(rule, principal))
}

function claimMatches(rule: ClaimRule, principal: Principal): boolean {
  const value = claimOf(principal, rule.claim)
  if (value === undefined) return false
  if (rule.segments === undefined) return canonicalJson(value) === rule.exact
  if (typeof value !== 'string') return false
  const parts = split(value)
  return (
    parts.length === rule.segments.length &&
    rule.segments.every((segment, index) =>
      // Odd places hold the separators, which never are a `*`.
      segment === '*' && index % 2 === 0 ? parts[index] !== '' : parts[index] === segment,
    )
  )
}

function claimOf(principal: Principal, claim: string): JsonValue | undefined {
  if (claim === 'sub') return principal.subject
  return Object.hasOwn(principal.claims, claim) ? principal.claims[claim] : undefined
}
