// Owns the way from a verified token's claims to a principal: every claim is hostile until it has its form.
// It must never turn a part of a claim into a group or a name of someone else.

import { z } from 'zod'
import { VgateError } from '../core/errors.js'
import { canonicalJson, type JsonValue } from '../core/json.js'
import { type Principal, principalId, UNMATCHED_CLAIMS } from '../core/principal.js'

/** Limits of what one principal may carry; they travel inside every access token. */
export const MAX_GROUPS = 200
export const MAX_GROUP_LENGTH = 256
const MAX_NAME_LENGTH = 200
const MAX_CLAIMS = 32
const MAX_CLAIM_LENGTH = 256
const MAX_CLAIM_ITEMS = 16
/** Platforms say more of a job than providers of a person; what policy cannot compare is left out. */
const MAX_WORKLOAD_CLAIMS = 64
const MAX_WORKLOAD_CLAIM_LENGTH = 1024

// Control, format (bidirectional, zero width), surrogate, private use and unassigned characters, line separators.
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u

export interface ClaimRules {
  /** Name of the configured provider; holds no colon. */
  readonly provider: string
  readonly issuer: string
  readonly groupsClaim: string
  readonly nameClaim: string
}

function refuse(message: string, hint: string): VgateError {
  return new VgateError('VGATE_TOKEN_INVALID', message, { hint })
}

function subjectOf(claims: Readonly<Record<string, unknown>>): string {
  const subject = claims['sub']
  // OpenID Connect Core 1.0 §2: at most 255 ASCII characters.
  if (typeof subject !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(subject)) {
    throw refuse(
      'the identity token has no usable "sub" claim',
      'it must be text of 1 to 255 printable ASCII characters',
    )
  }
  return subject
}

/** A name for display: unprintable characters out, cut; never decides anything. */
function nameOf(claims: Readonly<Record<string, unknown>>, rules: ClaimRules, subject: string) {
  for (const claim of [rules.nameClaim, 'email', 'preferred_username', 'name']) {
    const value = Object.hasOwn(claims, claim) ? claims[claim] : undefined
    if (typeof value !== 'string') continue
    const clean = [...value.slice(0, 10 * MAX_NAME_LENGTH)]
      .filter((character) => !UNPRINTABLE.test(character))
      .slice(0, MAX_NAME_LENGTH)
      .join('')
      .trim()
    if (clean !== '') return clean
  }
  return subject
}

function groupsOf(claims: Readonly<Record<string, unknown>>, rules: ClaimRules): string[] {
  const overage = claims['_claim_names']
  if (
    typeof overage === 'object' &&
    overage !== null &&
    Object.hasOwn(overage, rules.groupsClaim)
  ) {
    throw refuse(
      `the identity token of ${rules.provider} refers to its groups instead of holding them`,
      'let the provider send only the groups that vgate needs',
    )
  }
  const claim = Object.hasOwn(claims, rules.groupsClaim) ? claims[rules.groupsClaim] : undefined
  const listed: unknown[] =
    typeof claim === 'string' ? claim.split(/[\s,]+/) : Array.isArray(claim) ? claim : []
  const groups = new Set<string>()
  for (const group of listed) {
    // Left out, never repaired: a cut or cleaned name could be the name of another group.
    if (typeof group !== 'string' || group === '' || group.length > MAX_GROUP_LENGTH) continue
    if (UNPRINTABLE.test(group)) continue
    groups.add(`${rules.provider}:${group}`)
    if (groups.size > MAX_GROUPS) {
      throw refuse(
        `the identity token of ${rules.provider} lists more than ${MAX_GROUPS} groups`,
        'let the provider send only the groups that vgate needs',
      )
    }
  }
  return [...groups].sort()
}

function isPlain(value: unknown): value is string | number | boolean {
  if (typeof value === 'string') return value.length <= MAX_CLAIM_LENGTH && !UNPRINTABLE.test(value)
  return typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))
}

/** Claims that policy can match: short scalars and short lists of them. The rest is left out. */
function plainClaims(
  claims: Readonly<Record<string, unknown>>,
  rules: ClaimRules,
): Record<string, JsonValue> {
  const kept: [string, JsonValue][] = []
  for (const [name, value] of Object.entries(claims)) {
    if (kept.length === MAX_CLAIMS) break
    if (UNMATCHED_CLAIMS.has(name) || name === 'sub') continue
    if (name === rules.groupsClaim || name === '__proto__') continue
    if (name.length > 100 || UNPRINTABLE.test(name)) continue
    if (isPlain(value)) kept.push([name, value])
    else if (Array.isArray(value) && value.length <= MAX_CLAIM_ITEMS && value.every(isPlain)) {
      kept.push([name, value])
    }
  }
  return Object.fromEntries(kept)
}

/** The principal that a verified ID token speaks of. Throws VGATE_TOKEN_INVALID when a claim that decides is unusable. */
export function personFromClaims(
  claims: Readonly<Record<string, unknown>>,
  rules: ClaimRules,
): Principal {
  const subject = subjectOf(claims)
  return {
    id: principalId(rules.issuer, subject),
    kind: 'person',
    provider: rules.provider,
    issuer: rules.issuer,
    subject,
    name: nameOf(claims, rules, subject),
    groups: groupsOf(claims, rules),
    claims: plainClaims(claims, rules),
  }
}

/** Text without what would speak to terminals, and what is made of it; null for the rest. */
function printable(value: unknown): JsonValue | undefined {
  const parsed = z.json().safeParse(value)
  if (!parsed.success || parsed.data === null) return undefined
  const text = canonicalJson(parsed.data)
  return text.length > MAX_WORKLOAD_CLAIM_LENGTH || UNPRINTABLE.test(text) ? undefined : parsed.data
}

/** Claims that policy can match exactly: scalars, lists and maps of limited length. */
function workloadClaims(claims: Readonly<Record<string, unknown>>): Record<string, JsonValue> {
  const kept: [string, JsonValue][] = []
  for (const [name, value] of Object.entries(claims)) {
    if (kept.length === MAX_WORKLOAD_CLAIMS) break
    if (UNMATCHED_CLAIMS.has(name) || name === 'sub' || name === '__proto__') continue
    if (name.length > 100 || UNPRINTABLE.test(name)) continue
    const plain = printable(value)
    if (plain !== undefined) kept.push([name, plain])
  }
  return Object.fromEntries(kept)
}

/** The workload that a verified platform token speaks of. Throws VGATE_TOKEN_INVALID when its subject is unusable. */
export function workloadFromClaims(
  claims: Readonly<Record<string, unknown>>,
  rules: ClaimRules,
): Principal {
  const subject = subjectOf(claims)
  const named = Object.hasOwn(claims, rules.nameClaim) ? claims[rules.nameClaim] : undefined
  return {
    id: principalId(rules.issuer, subject),
    kind: 'workload',
    provider: rules.provider,
    issuer: rules.issuer,
    subject,
    name:
      typeof named === 'string' && named !== '' && isPlain(named)
        ? named.slice(0, MAX_NAME_LENGTH)
        : subject.slice(0, MAX_NAME_LENGTH),
    groups: groupsOf(claims, rules),
    claims: workloadClaims(claims),
  }
}
