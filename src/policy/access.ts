// Owns who may take which role on which target. It knows nothing of operations.

import type { ApprovalTerms } from '../core/approval.js'
import type { Principal } from '../core/principal.js'
import { claimsMatch } from './claims.js'
import type { AccessRule, CompiledPolicy } from './compile.js'
import { covers } from './glob.js'
import { stands } from './until.js'

/** A role that a principal may take on a target. Durations are milliseconds. */
export interface RoleOffer {
  readonly role: string
  /** `access[0]`. */
  readonly rule: string
  readonly defaultMs: number
  readonly maxMs: number
  /** The rule's own end; a grant never goes beyond it. Milliseconds since the epoch. */
  readonly until?: number
  /** Absent: not asked for. */
  readonly reason?: 'required' | 'optional'
  readonly ticket?: 'required' | 'optional'
  /** Who must approve first. */
  readonly approval?: ApprovalTerms
}

/**
 * The roles that a principal may take on a target, one offer a role, in the order of the file. Where several access
 * rules offer one role, one without an approval wins, then the longest grant, then the first rule. A rule that has
 * ended by `now` (milliseconds since the epoch) offers nothing; without `now` its end is not looked at.
 */
export function rolesFor(
  policy: CompiledPolicy,
  principal: Principal,
  target: string,
  now?: number,
): RoleOffer[] {
  const offers = new Map<string, RoleOffer>()
  for (const rule of policy.access) {
    if (!serves(rule, principal, now) || !reaches(rule, target)) continue
    const known = offers.get(rule.role)
    if (known === undefined || isBetter(rule, known, now)) offers.set(rule.role, offerOf(rule))
  }
  return [...offers.values()]
}

function longest(rule: { readonly maxMs: number; readonly until?: number | undefined }, now = 0) {
  return Math.min(rule.maxMs, (rule.until ?? Number.POSITIVE_INFINITY) - now)
}

/**
 * True while the policy lets the principal take this role on this target. Without `now` the end of a rule is not
 * looked at: the grant that it gave, and the lease, end with it.
 */
export function mayTake(
  policy: CompiledPolicy,
  principal: Principal,
  role: string,
  target: string,
  now?: number,
): boolean {
  return policy.access.some(
    (rule) => rule.role === role && serves(rule, principal, now) && reaches(rule, target),
  )
}

/** What the rules say of a workload as such: one stands, those that would match have ended, or none matches. */
export function workloadStanding(
  policy: CompiledPolicy,
  principal: Principal,
  now: number,
): { readonly found: true } | { readonly found: false; readonly ended?: AccessRule } {
  const matching = policy.access.filter((rule) => serves(rule, principal, undefined))
  if (matching.some((rule) => stands(rule, now))) return { found: true }
  const ended = matching[0]
  return { found: false, ...(ended === undefined ? {} : { ended }) }
}

/** The groups that may take a role on a target. */
export function groupsWith(policy: CompiledPolicy, role: string, target: string): string[] {
  const groups = policy.access.flatMap((rule) =>
    rule.role === role && rule.group !== undefined && reaches(rule, target) ? [rule.group] : [],
  )
  return [...new Set(groups)]
}

/** True when the rule speaks of this principal, and has not ended. */
function serves(rule: AccessRule, principal: Principal, now: number | undefined): boolean {
  if (rule.kind !== principal.kind) return false
  if (now !== undefined && !stands(rule, now)) return false
  if (rule.group !== undefined) return principal.groups.includes(rule.group)
  const { workload } = rule
  return (
    workload !== undefined &&
    workload.provider === principal.provider &&
    claimsMatch(workload.claims, principal)
  )
}

function reaches(rule: AccessRule, target: string): boolean {
  return rule.targets.some((pattern) => covers(pattern, target))
}

function isBetter(rule: AccessRule, known: RoleOffer, now: number | undefined): boolean {
  const free = rule.approval === undefined
  if (free !== (known.approval === undefined)) return free
  return longest(rule, now) > longest(known, now)
}

function offerOf(rule: AccessRule): RoleOffer {
  return {
    role: rule.role,
    rule: rule.rule,
    defaultMs: rule.defaultMs,
    maxMs: rule.maxMs,
    ...(rule.until === undefined ? {} : { until: rule.until }),
    ...(rule.reason === undefined ? {} : { reason: rule.reason }),
    ...(rule.ticket === undefined ? {} : { ticket: rule.ticket }),
    ...(rule.approval === undefined ? {} : { approval: rule.approval }),
  }
}
