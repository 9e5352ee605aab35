// Owns the decision on one operation: deny beats hold beats allow, and what no rule permits is denied. Pure and
// total. It must never enforce: `proxy/pep.ts` does.

import type { ApprovalTerms } from '../core/approval.js'
import type { ByteLimit, Decision, Deny, Hold, Obligations, RowLimit } from '../core/decision.js'
import type { ErrorCode } from '../core/errors.js'
import type { Operation } from '../core/operation.js'
import type { Principal } from '../core/principal.js'
import { mayTake } from './access.js'
import type { CompiledPolicy, CompiledRole, Condition, DenyRule, HoldRule } from './compile.js'
import type { Thresholds } from './defaults.js'
import { functionKey } from './function-key.js'
import { compilePattern, covers, permits } from './glob.js'
import { writesHidden } from './hiding.js'
import { hintFor } from './hint.js'
import { applyMasks, type MaskRefusal } from './masks.js'
import { catalogueUse, conditionMet, neededUses, permittingRule, type Risks } from './match.js'
import { strictestRecord, strictestThresholds } from './obligations.js'
import { describeHold, describeOperation, describeRecent, describeUse } from './reasons.js'
import { allRisks, copiesMore, gathersMore, type RecentUses, readsData, risksOf } from './risks.js'

export const DEFAULT_DENY = 'default deny'
/** The rule of what needs no rule: session control, reading nothing, reading the catalogue. */
export const BUILT_IN = 'built-in'

export interface DecideRequest {
  readonly principal: Principal
  /** Names of the roles held under the grant. */
  readonly roles: readonly string[]
  readonly target: string
  /** Whom a refusal names; else the groups whose roles would allow it. */
  readonly contact?: string
  readonly operation: Operation
  /**
   * `prepare` runs nothing. Effects that only parameters will tell do not count against a deny yet; a hold is
   * answered as a hold, which the enforcement point lets be prepared.
   */
  readonly phase: 'prepare' | 'execute'
  /** Patterns that the grant was narrowed to; absent: what its roles allow. */
  readonly collections?: readonly string[]
  /** What its writes come to with those before them, where that may make them bulk. */
  readonly recent?: RecentUses
}

/** Decides one operation under the roles of a grant. */
export function decide(policy: CompiledPolicy, request: DecideRequest): Decision {
  const held = heldRoles(policy, request)
  if (!Array.isArray(held)) return deny(policy, request, held)
  const outcome = outsideGrant(request) ?? judge(policy, held, request)
  return 'verdict' in outcome ? outcome : deny(policy, request, outcome)
}

/** Why an operation is refused, before anybody is named who could help. */
interface Refusal {
  readonly rule: string
  readonly code?: ErrorCode
  readonly reason: string
  /** Instead of the roles that would allow it. */
  readonly advice?: string
}

/** The roles of the grant as the policy stands now. One that is gone or no longer offered ends the permit: its masks are unknown. */
function heldRoles(policy: CompiledPolicy, request: DecideRequest): CompiledRole[] | Refusal {
  const held: CompiledRole[] = []
  for (const name of request.roles) {
    const role = policy.roles.get(name)
    if (role === undefined || !mayTake(policy, request.principal, name, request.target)) {
      return {
        rule: DEFAULT_DENY,
        reason: `${DEFAULT_DENY}: the policy no longer gives you the role "${name}" on ${request.target}`,
        advice: 'end this session and connect again',
      }
    }
    held.push(role)
  }
  return held
}

/** Whoever approved the access may have narrowed it to some collections. */
function outsideGrant(request: DecideRequest): Refusal | undefined {
  const { collections, operation } = request
  if (collections === undefined) return undefined
  const patterns = collections.map(compilePattern)
  const outside = neededUses(operation).find(
    (use) =>
      catalogueUse(use) !== 'permitted' &&
      !patterns.some((pattern) => permits(pattern, use.collection)),
  )
  if (outside === undefined) return undefined
  return {
    rule: 'grant',
    reason: `${describeUse(outside)} is outside what was approved for this access: ${collections.join(', ')}`,
    advice: 'ask for access to it in a request of its own',
  }
}

function deny(policy: CompiledPolicy, request: DecideRequest, refusal: Refusal): Deny {
  const helped = (role: CompiledRole): boolean => 'verdict' in judge(policy, [role], request)
  return {
    verdict: 'deny',
    rule: refusal.rule,
    code: refusal.code ?? 'VGATE_DENIED',
    reason: refusal.reason,
    hint: refusal.advice ?? hintFor(policy, request, helped),
  }
}

/** Role and group names that would get this operation through on the target, for messages. */
export function whom(
  policy: CompiledPolicy,
  target: string,
  operation: Operation,
): { readonly roles: readonly string[]; readonly groups: readonly string[] } {
  const roles = new Set<string>()
  const groups = new Set<string>()
  for (const rule of policy.access) {
    const role = policy.roles.get(rule.role)
    if (role === undefined || !rule.targets.some((pattern) => covers(pattern, target))) continue
    const outcome = judge(policy, [role], { target, operation, phase: 'execute' })
    if (!('verdict' in outcome)) continue
    roles.add(rule.role)
    if (rule.group !== undefined) groups.add(rule.group)
  }
  return { roles: [...roles], groups: [...groups] }
}

type Question = Pick<DecideRequest, 'target' | 'operation' | 'phase' | 'recent'>

/** The decision itself, on roles that are really held. */
function judge(
  policy: CompiledPolicy,
  roles: readonly CompiledRole[],
  request: Question,
): Exclude<Decision, Deny> | Refusal {
  const { operation } = request
  const strange = unknownAction(policy, operation)
  if (strange !== undefined) return strange
  const limits = strictestThresholds(roles)
  const risks = risksOf(operation, limits, 'bulk', request.recent)
  const denials = [
    ...policy.deny.filter((rule) => onTarget(rule, request.target)),
    ...roles.flatMap((role) => role.deny),
  ]
  const denied = deniedBy(denials, request, limits)
  if (denied !== undefined) return denied
  const permitted = permittedBy(roles, operation)
  if ('reason' in permitted) return permitted
  const masked = applyMasks(roles, operation)
  if (masked.refused !== undefined) return maskRefusal(operation, masked.refused)
  const gathered = gatheredPast(roles, request)
  if (gathered !== undefined) return gathered
  const holds = policy.holds.filter((hold) => !excepted(hold, roles, operation))
  const rowLimit = rowLimitOf(roles, operation, { denials, holds }, risks, limits)
  const approved = rowLimitOf([], operation, { denials, holds: [] }, risks, limits)
  const byteLimit = byteLimitOf(roles, operation)
  const obligations: Obligations = {
    masks: masked.masks,
    ...(rowLimit === undefined ? {} : { rowLimit }),
    ...(approved === undefined ? {} : { rowLimitApproved: approved }),
    ...(byteLimit === undefined ? {} : { byteLimit }),
    record: strictestRecord(roles),
    ...(writesHidden(roles, denials, operation) ? { hides: true } : {}),
  }
  const matching = holds.filter((rule) => conditionMet(rule, operation, risks))
  if (matching.length > 0) {
    const recent = describeRecent(operation, limits, request.recent)
    return held(matching, operation, risks, obligations, permitted.rule, recent)
  }
  return {
    verdict: 'permit',
    rule: permitted.rule,
    roles: roles.map((role) => role.name),
    obligations,
  }
}

/** An action that the tables do not have cannot have been meant by any rule. */
function unknownAction(policy: CompiledPolicy, operation: Operation): Refusal | undefined {
  const names = [operation.name, ...operation.collections.map((use) => use.action)]
  const unknown = names.find((name) => !policy.actions.has(name))
  if (unknown === undefined) return undefined
  return {
    rule: DEFAULT_DENY,
    code: 'VGATE_OPERATION_UNKNOWN',
    reason: `${DEFAULT_DENY}: "${unknown}" is not an operation that the gateway knows`,
    advice: 'what the gateway does not understand it does not pass on',
  }
}

function deniedBy(
  rules: readonly Condition[],
  request: Question,
  limits: Thresholds,
): Refusal | undefined {
  const { operation } = request
  const presume = request.phase === 'prepare' ? 'nothing' : 'bulk'
  const risks = risksOf(operation, limits, presume, request.recent)
  const rule = rules.find((candidate) => conditionMet(candidate, operation, risks))
  if (rule === undefined) return undefined
  const alone = risksOf(operation, limits, presume)
  const recent = conditionMet(rule, operation, alone)
    ? ''
    : describeRecent(operation, limits, request.recent)
  const reason = `${describeOperation(operation)} is denied by ${rule.rule}${recent}`
  return { rule: rule.rule, reason }
}

function onTarget(rule: DenyRule, target: string): boolean {
  return rule.targets === undefined || rule.targets.some((pattern) => covers(pattern, target))
}

/** The rules that permit every part of the operation, or the first part that none permits. */
function permittedBy(
  roles: readonly CompiledRole[],
  operation: Operation,
): { readonly rule: string } | Refusal {
  if (roles.length === 0) {
    return { rule: DEFAULT_DENY, reason: `${DEFAULT_DENY}: this grant holds no role` }
  }
  const rules = new Set<string>()
  for (const use of neededUses(withoutNamedLocks(roles, operation))) {
    const catalogue = catalogueUse(use)
    if (catalogue === 'permitted') continue
    if (catalogue === 'refused') {
      return {
        rule: DEFAULT_DENY,
        reason: `${DEFAULT_DENY}: ${describeUse(use)} would change the database's own catalogue`,
        advice: 'no role can allow this; the database’s administrator does it directly',
      }
    }
    const rule = permittingRule(roles, operation, use)
    if (rule === undefined) {
      return {
        rule: DEFAULT_DENY,
        reason: `${DEFAULT_DENY}: no role of yours allows ${describeUse(use)}`,
      }
    }
    rules.add(rule.rule)
  }
  const stranger = operation.functions.find((name) => !isNamed(roles, name))
  if (stranger !== undefined) {
    return {
      rule: DEFAULT_DENY,
      reason: `${DEFAULT_DENY}: no role of yours names the function ${stranger}`,
    }
  }
  return { rule: [...rules].join(', ') || BUILT_IN }
}

function isNamed(roles: readonly CompiledRole[], signature: string): boolean {
  return roles.some((role) => role.functions.has(functionKey(signature)))
}

/** Advisory locks that a role names need no more than what else the operation does. */
function withoutNamedLocks(roles: readonly CompiledRole[], operation: Operation): Operation {
  const { locks = [] } = operation
  const named = locks.length > 0 && locks.every((name) => isNamed(roles, name))
  return named ? { ...operation, access: 'none' } : operation
}

/**
 * A value that holds more rows than a role may read would leave past its limit, and so would a copy of them. Bounds may
 * still be parameters at prepare.
 */
function gatheredPast(roles: readonly CompiledRole[], request: Question): Refusal | undefined {
  if (request.phase === 'prepare') return undefined
  const { operation } = request
  const past = (more: typeof gathersMore): CompiledRole | undefined =>
    roles.find(({ rows }) => rows !== undefined && more(operation, rows))
  const gathers = past(gathersMore)
  const role = gathers ?? past(copiesMore)
  if (role === undefined) return undefined
  const [what, how] =
    gathers === undefined
      ? ([`copy more than ${role.rows} rows into a temporary table`, 'copy'] as const)
      : ([`gather more than ${role.rows} rows into one value`, 'gather from a subquery'] as const)
  return {
    rule: `roles.${role.name}.limits.rows`,
    reason: `${describeOperation(operation)} would ${what}`,
    advice: `${how} with LIMIT ${role.rows}`,
  }
}

function maskRefusal(operation: Operation, refused: MaskRefusal): Refusal {
  const field = `"${refused.field}" of "${refused.collection}"`
  return {
    rule: refused.rule,
    reason: `${operation.name} may not ${refused.act} ${field}: it is masked by ${refused.rule}`,
    ...(refused.advice === undefined ? {} : { advice: refused.advice }),
    ...(refused.equality && refused.advice === undefined
      ? {
          advice:
            'compare one masked field with one constant by =, and nothing else, in one request',
        }
      : {}),
  }
}

/** A hold does not concern an operation that the excepted roles held permit by themselves. */
function excepted(hold: HoldRule, roles: readonly CompiledRole[], operation: Operation): boolean {
  if (hold.except.size === 0) return false
  const free = roles.filter((role) => hold.except.has(role.name))
  return free.length > 0 && !('reason' in permittedBy(free, operation))
}

/** Every hold that matches applies. An approved export runs without the roles' row limits. */
function held(
  holds: readonly HoldRule[],
  operation: Operation,
  risks: Risks,
  obligations: Obligations,
  permittedBy: string,
  recent: string,
): Hold {
  const found = allRisks(risks)
  const [first] = holds
  if (first === undefined) throw new Error('a hold without a rule')
  return {
    verdict: 'hold',
    rule: first.rule,
    terms: termsOf(holds) ?? [],
    permittedBy,
    risks: found,
    reason: `${describeHold(first, operation, found)}${recent}`,
    obligations,
  }
}

/** Undefined when one of them names nobody: then it cannot be approved. */
function termsOf(holds: readonly HoldRule[]): readonly ApprovalTerms[] | undefined {
  const terms = holds.flatMap((hold) => (hold.approval === undefined ? [] : [hold.approval]))
  return terms.length === holds.length ? terms : undefined
}

/**
 * Where a read ends that proves no small enough bound: `limits.rows`, or `thresholds.rows` where a deny or a hold on
 * bulk-export matches; the smallest of them. When they are equal: the deny, then the hold.
 */
function rowLimitOf(
  roles: readonly CompiledRole[],
  operation: Operation,
  rules: { readonly denials: readonly Condition[]; readonly holds: readonly HoldRule[] },
  risks: Risks,
  thresholds: Thresholds,
): RowLimit | undefined {
  if (!readsData(operation)) return undefined
  const { rows } = operation.returns
  const limits: RowLimit[] = []
  const asExport: Risks = {
    whole: new Set([...risks.whole, 'bulk-export' as const]),
    byUse: risks.byUse,
  }
  const ends = (rule: Condition): boolean =>
    rule.risks?.has('bulk-export') === true && conditionMet(rule, operation, asExport)
  const denial = rules.denials.find(ends)
  if (denial !== undefined)
    limits.push({ rows: thresholds.rows, rule: denial.rule, because: 'limit' })
  const held = rules.holds.filter(ends)
  const [hold] = held
  if (hold !== undefined) {
    const terms = termsOf(held)
    limits.push({
      rows: thresholds.rows,
      rule: hold.rule,
      because: 'hold',
      ...(terms === undefined ? {} : { terms }),
    })
  }
  for (const role of roles) {
    if (role.rows === undefined) continue
    limits.push({ rows: role.rows, rule: `roles.${role.name}.limits.rows`, because: 'limit' })
  }
  const [smallest] = limits.sort((a, b) => a.rows - b.rows)
  if (smallest === undefined || (rows !== 'unbounded' && rows <= smallest.rows)) return undefined
  return smallest
}

/** The smallest `limits.bytes`. Nothing proves how long a row is: it applies to whatever may give one. */
function byteLimitOf(roles: readonly CompiledRole[], operation: Operation): ByteLimit | undefined {
  if (!readsData(operation) || operation.returns.rows === 0) return undefined
  const limits = roles.flatMap(({ name, bytes }) =>
    bytes === undefined ? [] : [{ bytes, rule: `roles.${name}.limits.bytes` }],
  )
  return limits.sort((a, b) => a.bytes - b.bytes)[0]
}
