// Owns what an access rule may not say of whom it is for: unknown providers, claims that never match, workload rules
// without an owner or an end, and rules that everybody in the world could meet.

import { nearestName } from '../core/nearest.js'
import { UNMATCHED_CLAIMS } from '../core/principal.js'
import type { ConfigPath } from '../core/strict-yaml.js'
import type { CompiledPolicy, CompileOptions } from './compile.js'
import { groupProblem } from './groups.js'
import type { PolicyDocument, PolicyFile } from './schema.js'
import { opennessProblem, ownerClaims, placeWarning } from './shared-issuers.js'
import { ruleEnds, ruleEndText } from './until.js'

type Entry = PolicyFile['access'][number]
export type Report = (path: ConfigPath, message: string, hint?: string) => void

/** Checks `who`, `owner` and `until` of one access rule. */
export function checkWho(
  path: ConfigPath,
  entry: Entry,
  options: CompileOptions,
  report: Report,
): void {
  const { group, provider } = entry.who
  const known = options.workloadProviders ?? []
  const ofWorkloads =
    provider !== undefined ||
    known.some(({ name }) => group?.startsWith(`${name}:`) && group.length > name.length + 1)
  if (group !== undefined && !ofWorkloads)
    checkPeople([...path, 'who', 'group'], group, options, report)
  if (provider !== undefined) checkClaims(path, entry, provider, options, report)
  if (ofWorkloads) {
    const missing = (['owner', 'until'] as const).filter((key) => entry[key] === undefined)
    for (const key of missing) {
      report(
        path,
        `${key} is missing: a rule for workloads names who answers for it, and when it ends`,
        key === 'owner' ? 'owner: corp:ana@example.com' : 'until: 2027-06-30',
      )
    }
    if (entry.owner !== undefined) checkPeople([...path, 'owner'], entry.owner, options, report)
  } else if (entry.owner !== undefined) {
    report([...path, 'owner'], 'expected owner in a rule for workloads only', 'remove it')
  }
}

/** A group of people, or a person: a provider of workloads is never meant. */
export function checkPeople(
  path: ConfigPath,
  name: string,
  options: CompileOptions,
  report: Report,
): void {
  const workloads = (options.workloadProviders ?? []).map((provider) => provider.name)
  const problem = groupProblem(name, options.peopleProviders, workloads)
  if (problem !== undefined) report(path, problem.message, problem.hint)
}

function checkClaims(
  path: ConfigPath,
  entry: Entry,
  provider: string,
  options: CompileOptions,
  report: Report,
): void {
  const known = options.workloadProviders ?? []
  const found = known.find(({ name }) => name === provider)
  const at = [...path, 'who', 'provider']
  if (found === undefined) {
    const names = known.map(({ name }) => name)
    const near = nearestName(provider, names)
    const message = options.peopleProviders.includes(provider)
      ? `"${provider}" is a provider of people: only workloads are named by claims`
      : `unknown provider "${provider}"`
    const listed = names.length === 0 ? 'none is configured' : names.join(', ')
    report(
      at,
      message,
      near === undefined ? `providers of workloads: ${listed}` : `did you mean "${near}"?`,
    )
    return
  }
  const claims = entry.who.claims ?? {}
  for (const name of Object.keys(claims)) {
    if (!UNMATCHED_CLAIMS.has(name)) continue
    report(
      [...path, 'who', 'claims', name],
      `the claim "${name}" is never compared here`,
      'the provider fixes issuer and audience; name what the platform says of the workload',
    )
  }
  const open = opennessProblem(found.issuer, claims)
  if (open !== undefined) {
    report([...path, 'who', 'claims'], open, `one of ${ownerClaims(found.issuer).join(', ')}`)
  }
}

/** What a policy that stands should still say to people: rules that end soon or have ended, rules that are wide. */
export function policyWarnings(
  document: PolicyDocument,
  compiled: CompiledPolicy,
  options: CompileOptions,
  now: number,
): string[] {
  const wide = document.value.access.flatMap((entry, index) => {
    const found = options.workloadProviders?.find(({ name }) => name === entry.who.provider)
    const warning =
      found === undefined ? undefined : placeWarning(found.issuer, entry.who.claims ?? {})
    return warning === undefined ? [] : [`access[${index}] ${warning}`]
  })
  return [...ruleEnds(compiled, now).map(ruleEndText), ...wide]
}
