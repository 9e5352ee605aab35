// Owns what a policy may not say although its form is right: names that lead nowhere, and controls that could never
// take effect. Every issue has a line and a column.

import { RE2JS } from 're2js'
import { nearestName } from '../core/nearest.js'
import type { ConfigIssue, ConfigPath } from '../core/strict-yaml.js'
import { checkPeople, checkWho, type Report } from './check-who.js'
import type { CompileOptions } from './compile.js'
import { DEFAULT_GRANT_MAX_MS } from './defaults.js'
import { compilePattern, covers, overlaps } from './glob.js'
import type { PolicyDocument, RoleEntry } from './schema.js'

/** A longer pattern of a detector is refused. Characters. */
const MAX_DETECTOR_LENGTH = 1000

/** Every issue of a policy whose form is right. */
export function checkPolicy(document: PolicyDocument, options: CompileOptions): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  const report: Report = (path, message, hint) => {
    issues.push(document.issueAt(path, message, hint))
  }
  const check = new Checker(report, options, Object.keys(document.value.roles))
  for (const [name, role] of Object.entries(document.value.roles)) check.role(['roles', name], role)
  checkAccess(document, options, check, report)
  checkHolds(document, check, report)
  document.value.deny?.forEach((entry, index) => {
    check.operations(['deny', index, 'match', 'operations'], entry.match.operations)
    check.targets(['deny', index, 'targets'], entry.targets)
  })
  return issues
}

class Checker {
  readonly #report: Report
  readonly #options: CompileOptions
  readonly #roles: readonly string[]

  constructor(report: Report, options: CompileOptions, roles: readonly string[]) {
    this.#report = report
    this.#options = options
    this.#roles = roles
  }

  role(path: ConfigPath, role: RoleEntry): void {
    role.allow.forEach((rule, index) => {
      this.operations([...path, 'allow', index, 'operations'], rule.operations)
    })
    role.deny?.forEach((rule, index) => {
      this.operations([...path, 'deny', index, 'operations'], rule.operations)
    })
    const allowed = role.allow.flatMap((rule) => rule.collections.map(compilePattern))
    const demandAllowed = (at: ConfigPath, what: string, collections: readonly string[]): void =>
      collections.forEach((collection, item) => {
        const pattern = compilePattern(collection)
        if (allowed.some((other) => overlaps(pattern, other))) return
        this.#report(
          [...at, 'collections', item],
          `the ${what} could never apply: this role allows nothing on "${collection}"`,
          `correct the name, or remove the ${what}`,
        )
      })
    role.budget?.forEach((budget, index) => {
      demandAllowed([...path, 'budget', index], 'budget', budget.collections)
    })
    role.mask?.forEach((mask, index) => {
      const at = [...path, 'mask', index]
      demandAllowed(at, 'mask', mask.collections)
      mask.detect?.forEach((detector, item) => {
        const problem = detectorProblem(detector)
        if (problem !== undefined) this.#report([...at, 'detect', item], problem)
      })
      mask.fields?.forEach((field, item) => {
        if (/^[^.]+(\.[^.]+)*$/.test(field) && field === field.trim() && !field.includes('*'))
          return
        this.#report([...at, 'fields', item], 'expected a field, or a path such as meta.phone')
      })
    })
  }

  operations(path: ConfigPath, names: readonly string[] | undefined): void {
    names?.forEach((name, index) => {
      if (this.#options.actions.includes(name)) return
      const near = nearestName(name, this.#options.actions)
      this.#report(
        [...path, index],
        `unknown operation "${name}"`,
        near === undefined
          ? 'operation names are listed in docs/policy.md'
          : `did you mean "${near}"?`,
      )
    })
  }

  roleName(path: ConfigPath, name: string): void {
    if (this.#roles.includes(name)) return
    const near = nearestName(name, this.#roles)
    const hint = near === undefined ? `roles: ${this.#roles.join(', ')}` : `did you mean "${near}"?`
    this.#report(path, `unknown role "${name}"`, hint)
  }

  group(path: ConfigPath, group: string): void {
    checkPeople(path, group, this.#options, this.#report)
  }

  targets(path: ConfigPath, patterns: readonly string[] | undefined): void {
    const known = this.#options.targets
    if (known === undefined) return
    patterns?.forEach((source, index) => {
      const pattern = compilePattern(source)
      if (known.some((target) => covers(pattern, target))) return
      const near = nearestName(source, known)
      this.#report(
        [...path, index],
        `no target matches "${source}"`,
        near === undefined ? `targets: ${known.join(', ')}` : `did you mean "${near}"?`,
      )
    })
  }
}

function checkAccess(
  document: PolicyDocument,
  options: CompileOptions,
  check: Checker,
  report: Report,
): void {
  document.value.access.forEach((entry, index) => {
    const path = ['access', index]
    checkWho(path, entry, options, report)
    check.roleName([...path, 'role'], entry.role)
    check.targets([...path, 'targets'], entry.targets)
    entry.grant?.approval?.by.forEach((group, item) => {
      check.group([...path, 'grant', 'approval', 'by', item], group)
    })
    const max = entry.grant?.max ?? DEFAULT_GRANT_MAX_MS
    if (entry.grant?.default !== undefined && entry.grant.default > max) {
      report(
        [...path, 'grant', 'default'],
        'the default is longer than the maximum',
        'raise max, or lower default',
      )
    }
  })
}

function checkHolds(document: PolicyDocument, check: Checker, report: Report): void {
  const seen = new Set<string>()
  document.value.holds?.forEach((entry, index) => {
    const path = ['holds', index]
    if (seen.has(entry.name))
      report([...path, 'name'], `a second hold named "${entry.name}"`, 'give it another name')
    seen.add(entry.name)
    check.operations([...path, 'match', 'operations'], entry.match.operations)
    entry.except?.forEach((exception, item) => {
      check.roleName([...path, 'except', item, 'role'], exception.role)
    })
    entry.approval?.by.forEach((group, item) => {
      check.group([...path, 'approval', 'by', item], group)
    })
  })
}

/** `re2:` patterns must compile in linear-time syntax and must not match where there is nothing. */
function detectorProblem(detector: string): string | undefined {
  if (!detector.startsWith('re2:')) return undefined
  const source = detector.slice('re2:'.length)
  if (source.length > MAX_DETECTOR_LENGTH)
    return `the pattern is longer than ${MAX_DETECTOR_LENGTH}`
  try {
    const compiled = RE2JS.compile(source)
    return compiled.matcher('').find() ? 'the pattern matches empty text' : undefined
  } catch {
    return 'the pattern is not valid RE2 syntax: no look-around, no back-references'
  }
}
