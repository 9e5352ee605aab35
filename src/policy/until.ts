// Owns the end of an access rule: the form of its date, and what is said before and after it.

import type { AccessRule, CompiledPolicy } from './compile.js'

/** How long before its end a rule is spoken of. */
export const UNTIL_WARNING_MS = 7 * 86_400_000

/** `2027-06-30` (00:00 UTC of that day) or `2027-06-30T18:00:00Z` → milliseconds since the epoch; else undefined. */
export function parseUntil(text: string): number | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}:\d{2})Z)?$/.exec(text)
  if (match === null) return undefined
  const whole = `${match[1]}T${match[2] ?? '00:00:00'}.000Z`
  const at = Date.parse(whole)
  // A day that does not exist, such as 30 February, would roll over into the next month.
  return Number.isNaN(at) || new Date(at).toISOString() !== whole ? undefined : at
}

/** True while the rule has not ended. */
export function stands(rule: Pick<AccessRule, 'until'>, now: number): boolean {
  return rule.until === undefined || now < rule.until
}

export interface RuleEnd {
  /** `access[2]`. */
  readonly rule: string
  readonly role: string
  /** Milliseconds since the epoch. */
  readonly until: number
  readonly owner?: string
  readonly ended: boolean
}

/** The rules that have ended, or end within a week. */
export function ruleEnds(policy: CompiledPolicy, now: number): RuleEnd[] {
  return policy.access.flatMap(({ rule, role, until, owner }) =>
    until === undefined || until - now > UNTIL_WARNING_MS
      ? []
      : [{ rule, role, until, ended: until <= now, ...(owner === undefined ? {} : { owner }) }],
  )
}

/** One sentence for people. */
export function ruleEndText(end: RuleEnd): string {
  const day = new Date(end.until).toISOString().replace('T00:00:00.000Z', '').replace('.000Z', 'Z')
  const who = end.owner === undefined ? '' : `; its owner is ${end.owner}`
  return end.ended
    ? `${end.rule} (role ${end.role}) ended on ${day} and gives nothing any more: renew it or remove it${who}`
    : `${end.rule} (role ${end.role}) ends on ${day}: renew it, or let it end${who}`
}
