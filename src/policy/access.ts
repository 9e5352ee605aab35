// Owns who may take which role on which target. It knows nothing of operations.

import type { ApprovalTerms } from '../core/approval.js'
import type { Principal } from '../core/principal.js'
import type { AccessRule, CompiledPolicy } from './compile.js'
import { covers } from './glob.js'

/** A role that a principal may take on a target. Durations are milliseconds. */
export interface RoleOffer {
  readonly role: string
  /** `access[0]`. */
  readonly rule: string
  readonly defaultMs: number
  readonly maxMs: number
  /** Absent: not asked for. */
  readonly reason?: 'required' | 'optional'
  readonly ticket?: 'required' | 'optional'
  /** Who must approve first. */
  readonly approval?: ApprovalTerms
}

/**
 * The roles that a principal may take on a target, one offer a role, in the order of the file. Where several access
 * rules offer one role, one without an approval wins, then the longest grant, then the first rule.
 */
export function rolesFor(
  policy: CompiledPolicy,
  principal: Principal,
  target: string,
): RoleOffer[] {
  const offers = new Map<string, RoleOffer>()
  for (const rule of policy.access) {
    if (!principal.groups.includes(rule.group) || !reaches(rule, target)) continue
    const known = offers.get(rule.role)
    if (known === undefined || isBetter(rule, known)) offers.set(rule.role, offerOf(rule))
  }
  return [...offers.values()]
}

/** The targets among `targets` on which the principal may take at least one role. */
export function visibleTargets(
  policy: CompiledPolicy,
  principal: Principal,
  targets: readonly string[],
): string[] {
  return targets.filter((target) => rolesFor(policy, principal, target).length > 0)
}

/** True while the policy lets the principal take this role on this target. */
export function mayTake(
  policy: CompiledPolicy,
  principal: Principal,
  role: string,
  target: string,
): boolean {
  return policy.access.some(
    (rule) => rule.role === role && principal.groups.includes(rule.group) && reaches(rule, target),
  )
}

/** The groups that may take a role on a target. */
export function groupsWith(policy: CompiledPolicy, role: string, target: string): string[] {
  const groups = policy.access
    .filter((rule) => rule.role === role && reaches(rule, target))
    .map((rule) => rule.group)
  return [...new Set(groups)]
}

function reaches(rule: AccessRule, target: string): boolean {
  return rule.targets.some((pattern) => covers(pattern, target))
}

function isBetter(rule: AccessRule, known: RoleOffer): boolean {
  const free = rule.approval === undefined
  if (free !== (known.approval === undefined)) return free
  return rule.maxMs > known.maxMs
}

function offerOf(rule: AccessRule): RoleOffer {
  return {
    role: rule.role,
    rule: rule.rule,
    defaultMs: rule.defaultMs,
    maxMs: rule.maxMs,
    ...(rule.reason === undefined ? {} : { reason: rule.reason }),
    ...(rule.ticket === undefined ? {} : { ticket: rule.ticket }),
    ...(rule.approval === undefined ? {} : { approval: rule.approval }),
  }
}
