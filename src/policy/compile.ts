// Owns the policy as it is decided on: names resolved, patterns compiled, defaults filled in. It must never be built
// from a document with an open issue.

import type { ApprovalTerms } from '../core/approval.js'
import type { FieldTransform, RecordLevel, ScoreTransform } from '../core/decision.js'
import type { Access, Risk } from '../core/operation.js'
import type { Principal } from '../core/principal.js'
import { ConfigError, inFileOrder } from '../core/strict-yaml.js'
import type { Rate } from '../core/units.js'
import type { BudgetRule } from './budgets.js'
import { checkPolicy } from './check.js'
import { type ClaimRule, compileClaim } from './claims.js'
import {
  DEFAULT_APPROVAL_MS,
  DEFAULT_GRANT_MAX_MS,
  DEFAULT_GRANT_MS,
  DEFAULT_IN_TRANSACTION_MS,
  DEFAULT_RECORD,
  DEFAULT_SCORES,
  DEFAULT_THRESHOLDS,
  type Thresholds,
} from './defaults.js'
import { functionKey } from './function-key.js'
import { compilePattern, type Pattern } from './glob.js'
import { qualifiedGroup } from './groups.js'
import type { MaskEntry, PolicyDocument, PolicyFile, RoleEntry } from './schema.js'
import { parseUntil } from './until.js'
import { type Windows, windowsOf } from './windows.js'

export type Level = Exclude<Access, 'none'>

export interface AllowRule {
  readonly rule: string
  readonly access: Level | undefined
  readonly operations: ReadonlySet<string> | undefined
  readonly collections: readonly Pattern[]
}

/** What a deny or a hold matches; absent conditions hold for everything. */
export interface Condition {
  readonly rule: string
  readonly risks: ReadonlySet<Risk> | undefined
  readonly access: Level | undefined
  readonly operations: ReadonlySet<string> | undefined
  readonly collections: readonly Pattern[] | undefined
}

export interface MaskRule {
  readonly rule: string
  readonly collections: readonly Pattern[]
  /** Undefined: every field that holds an embedding. */
  readonly fields: readonly string[] | undefined
  readonly transform: FieldTransform
  /** What happens to distances of a masked embedding. */
  readonly scores: ScoreTransform
  readonly equality: boolean
}

export interface CompiledRole {
  readonly name: string
  readonly allow: readonly AllowRule[]
  readonly deny: readonly Condition[]
  readonly masks: readonly MaskRule[]
  readonly rows: number | undefined
  readonly bytes: number | undefined
  readonly rate: Rate | undefined
  readonly budgets: readonly BudgetRule[]
  readonly functions: ReadonlySet<string>
  readonly record: RecordLevel
  readonly thresholds: Thresholds
}

export interface AccessRule {
  readonly rule: string
  /** `provider:name`; undefined for a rule that names a workload by its claims. */
  readonly group: string | undefined
  /** The workload it is for; undefined for a rule that names a group. */
  readonly workload:
    | { readonly provider: string; readonly claims: readonly ClaimRule[] }
    | undefined
  /** Of whom it speaks: a rule for people never serves a workload, nor the other way. */
  readonly kind: Principal['kind']
  /** `provider:name` of the person who answers for a workload rule. */
  readonly owner: string | undefined
  /** The rule gives nothing from here on. Milliseconds since the epoch. */
  readonly until: number | undefined
  readonly role: string
  readonly targets: readonly Pattern[]
  readonly defaultMs: number
  readonly maxMs: number
  readonly reason: 'required' | 'optional' | undefined
  readonly ticket: 'required' | 'optional' | undefined
  /** Who must approve before a grant is given. */
  readonly approval: ApprovalTerms | undefined
}

export interface HoldRule extends Condition {
  /** Roles whose own permit is not held. */
  readonly except: ReadonlySet<string>
  /** Absent: nobody can approve, so that what it matches is refused. */
  readonly approval: ApprovalTerms | undefined
}

export interface DenyRule extends Condition {
  readonly targets: readonly Pattern[] | undefined
}

export interface CompiledPolicy {
  readonly hash: string
  /** Every action name that exists; any other is refused. */
  readonly actions: ReadonlySet<string>
  readonly roles: ReadonlyMap<string, CompiledRole>
  readonly access: readonly AccessRule[]
  readonly holds: readonly HoldRule[]
  readonly deny: readonly DenyRule[]
  /** How writes are counted over time; undefined where no rule asks about it. */
  readonly windows: Windows | undefined
}

export interface WorkloadProvider {
  readonly name: string
  readonly issuer: string
}

export interface CompileOptions {
  /** Action names of the operation tables. */
  readonly actions: readonly string[]
  /** Names of the configured providers of people. */
  readonly peopleProviders: readonly string[]
  /** The configured issuers of workloads' tokens. */
  readonly workloadProviders?: readonly WorkloadProvider[]
  /** Names of the configured targets; when given, a pattern that matches none of them is an issue. */
  readonly targets?: readonly string[]
}

/** Compiles a policy. Throws a ConfigError that lists everything that one part says wrongly of another. */
export function compilePolicy(document: PolicyDocument, options: CompileOptions): CompiledPolicy {
  const issues = checkPolicy(document, options)
  if (issues.length > 0) throw new ConfigError(inFileOrder(issues))
  const file = document.value
  const roles = new Map<string, CompiledRole>()
  for (const [name, entry] of Object.entries(file.roles)) {
    roles.set(name, compileRole(name, entry, file.thresholds))
  }
  const holds = (file.holds ?? []).map((entry) => ({
    ...condition(`holds.${entry.name}`, entry.match),
    except: new Set((entry.except ?? []).map((exception) => exception.role)),
    approval: termsOf(`holds.${entry.name}`, entry, options.peopleProviders),
  }))
  const deny = (file.deny ?? []).map((entry, index) => ({
    ...condition(`deny[${index}]`, entry.match),
    targets: entry.targets?.map(compilePattern),
  }))
  return {
    hash: document.hash,
    actions: new Set(options.actions),
    roles,
    access: file.access.map((entry, index) => compileAccess(entry, index, options)),
    holds,
    deny,
    windows: windowsOf([...roles.values()], [...holds, ...deny]),
  }
}

function compileRole(
  name: string,
  entry: RoleEntry,
  shared: PolicyFile['thresholds'],
): CompiledRole {
  const own = entry.thresholds
  return {
    name,
    allow: entry.allow.map((rule, index) => ({
      rule: `roles.${name}.allow[${index}]`,
      access: rule.access,
      operations: setOf(rule.operations),
      collections: rule.collections.map(compilePattern),
    })),
    deny: (entry.deny ?? []).map((rule, index) => condition(`roles.${name}.deny[${index}]`, rule)),
    masks: (entry.mask ?? []).map((rule, index) =>
      compileMask(`roles.${name}.mask[${index}]`, rule),
    ),
    rows: entry.limits?.rows,
    bytes: entry.limits?.bytes,
    rate: entry.limits?.rate,
    budgets: (entry.budget ?? []).map((budget, index) => ({
      rule: `roles.${name}.budget[${index}]`,
      role: name,
      collections: budget.collections.map(compilePattern),
      rows: budget.rows,
      vectors: budget.vectors,
      probes: budget.probes,
      share: budget.share,
      perMs: budget.per,
    })),
    functions: new Set((entry.functions ?? []).map(functionKey)),
    record: entry.record ?? DEFAULT_RECORD,
    thresholds: {
      ids: own?.ids ?? shared?.ids ?? DEFAULT_THRESHOLDS.ids,
      rows: own?.rows ?? shared?.rows ?? DEFAULT_THRESHOLDS.rows,
      perMs: own?.per ?? shared?.per ?? DEFAULT_THRESHOLDS.perMs,
    },
  }
}

function compileMask(rule: string, entry: MaskEntry): MaskRule {
  return {
    rule,
    collections: entry.collections.map(compilePattern),
    fields: entry.vectors === undefined ? (entry.fields ?? []) : undefined,
    transform: transformOf(entry),
    scores: entry.scores ?? DEFAULT_SCORES,
    equality: entry.filter === 'equality',
  }
}

function transformOf(entry: MaskEntry): FieldTransform {
  if (entry.vectors !== undefined) return { kind: 'vector' }
  const how = entry.with ?? 'null'
  return entry.detect === undefined
    ? { kind: 'value', with: how }
    : { kind: 'detect', detectors: entry.detect, with: how }
}

function compileAccess(
  entry: PolicyFile['access'][number],
  index: number,
  options: CompileOptions,
): AccessRule {
  const { group, provider, claims } = entry.who
  const people = options.peopleProviders
  const workload = isWorkloadRule(entry, options)
  const maxMs = entry.grant?.max ?? DEFAULT_GRANT_MAX_MS
  return {
    rule: `access[${index}]`,
    group: group === undefined ? undefined : qualifiedGroup(group, people),
    workload:
      provider === undefined
        ? undefined
        : {
            provider,
            claims: Object.entries(claims ?? {}).map(([name, wanted]) =>
              compileClaim(name, wanted),
            ),
          },
    kind: workload ? 'workload' : 'person',
    owner: entry.owner === undefined ? undefined : qualifiedGroup(entry.owner, people),
    until: entry.until === undefined ? undefined : parseUntil(entry.until),
    role: entry.role,
    targets: entry.targets.map(compilePattern),
    // Nobody sits beside a job to ask again: without a default it gets what the rule allows.
    defaultMs: entry.grant?.default ?? (workload ? maxMs : Math.min(DEFAULT_GRANT_MS, maxMs)),
    maxMs,
    reason: entry.grant?.reason,
    ticket: entry.grant?.ticket,
    approval: termsOf(`access[${index}]`, entry.grant ?? {}, people),
  }
}

function termsOf(
  rule: string,
  entry: {
    readonly approval?: NonNullable<PolicyFile['holds']>[number]['approval']
    readonly inTransaction?: number | undefined
  },
  providers: readonly string[],
): ApprovalTerms | undefined {
  const { approval } = entry
  if (approval === undefined) return undefined
  return {
    rule,
    by: approval.by.map((group) => qualifiedGroup(group, providers)),
    count: approval.count ?? 1,
    expiresMs: approval.expires ?? DEFAULT_APPROVAL_MS,
    inTransactionMs: entry.inTransaction ?? DEFAULT_IN_TRANSACTION_MS,
  }
}

/** True for a rule by claims, and for one of a group that a provider of workloads names. */
export function isWorkloadRule(
  entry: PolicyFile['access'][number],
  options: Pick<CompileOptions, 'workloadProviders'>,
): boolean {
  const { group, provider } = entry.who
  if (provider !== undefined) return true
  const named = group?.split(':', 1)[0]
  return (options.workloadProviders ?? []).some(
    ({ name }) => group?.includes(':') && name === named,
  )
}

function condition(
  rule: string,
  match: {
    readonly risk?: readonly Risk[] | undefined
    readonly access?: Level | undefined
    readonly operations?: readonly string[] | undefined
    readonly collections?: readonly string[] | undefined
  },
): Condition {
  return {
    rule,
    risks: setOf(match.risk),
    access: match.access,
    operations: setOf(match.operations),
    collections: match.collections?.map(compilePattern),
  }
}

function setOf<T>(values: readonly T[] | undefined): ReadonlySet<T> | undefined {
  return values === undefined ? undefined : new Set(values)
}
