// Owns how a name in the policy matches a collection or a target: a literal name, or one `*`.
// Linear in the name's length: no regular expression is built from the policy.

import { CATALOG, isTemporary, TEMPORARY } from '../core/operation.js'

export interface Pattern {
  readonly source: string
  readonly prefix: string
  /** Undefined for a literal name. */
  readonly suffix: string | undefined
  /** What follows `public.`, PostgreSQL's default schema, which operations leave out. */
  readonly inPublic: Pattern | undefined
}

/** Compiles a pattern that `patternProblem` found nothing wrong with. */
export function compilePattern(source: string): Pattern {
  const star = source.indexOf('*')
  const rest = source.startsWith('public.') ? source.slice('public.'.length) : ''
  return {
    source,
    prefix: star === -1 ? source : source.slice(0, star),
    suffix: star === -1 ? undefined : source.slice(star + 1),
    inPublic: rest === '' ? undefined : compilePattern(rest),
  }
}

/** What is wrong with a pattern, or undefined. */
export function patternProblem(source: string): string | undefined {
  if (source === '') return 'expected a name'
  if (source !== source.trim()) return 'expected a name without space around it'
  if (/[\p{Cc}\p{Cf}]/u.test(source)) return 'expected a name without control characters'
  if (source.includes('?')) return 'expected a name; `?` is not a wildcard, `*` is'
  if (source.split('*').length > 2) return 'expected at most one `*`'
  if (source.startsWith('$') && source !== CATALOG && source !== TEMPORARY)
    return `expected a name; only ${CATALOG} and ${TEMPORARY} begin with $`
  return undefined
}

/**
 * A pattern that restricts (deny, mask, hold, target): `*` stands for anything. The catalogue is matched only by its
 * own name, and so is what belongs to a session.
 */
export function covers(pattern: Pattern, name: string): boolean {
  return matches(pattern, name, true)
}

/** A pattern that permits: beside other characters `*` stays within one part of a name (no `.` and no `/`). */
export function permits(pattern: Pattern, name: string): boolean {
  return matches(pattern, name, false)
}

function matches(pattern: Pattern, name: string, wide: boolean): boolean {
  if (name === CATALOG) return pattern.source === CATALOG
  if (isTemporary(name)) return pattern.source === TEMPORARY
  if (
    pattern.inPublic !== undefined &&
    !name.includes('.') &&
    matches(pattern.inPublic, name, wide)
  ) {
    return true
  }
  const { prefix, suffix } = pattern
  if (suffix === undefined) return name === prefix
  if (prefix === '' && suffix === '') return true
  if (name.length < prefix.length + suffix.length) return false
  if (!name.startsWith(prefix) || !name.endsWith(suffix)) return false
  return wide || !/[./]/.test(name.slice(prefix.length, name.length - suffix.length))
}

/** True when it stands for every name. */
export function isEverything(pattern: Pattern): boolean {
  return pattern.prefix === '' && pattern.suffix === ''
}

/** True when some name is matched by both. */
export function overlaps(a: Pattern, b: Pattern): boolean {
  if (a.inPublic !== undefined && overlaps(a.inPublic, b)) return true
  if (b.inPublic !== undefined && overlaps(a, b.inPublic)) return true
  if (a.suffix === undefined) return covers(b, a.prefix)
  if (b.suffix === undefined) return covers(a, b.prefix)
  const prefix = a.prefix.startsWith(b.prefix) || b.prefix.startsWith(a.prefix)
  const suffix = a.suffix.endsWith(b.suffix) || b.suffix.endsWith(a.suffix)
  return prefix && suffix
}
