// Owns finding telephone numbers: international ones, and national ones by the way they are grouped. Years, dates,
// amounts, addresses of machines and plain identifiers are left alone.

import { digitGroups, isLetterOrDigit, lengthOf, type Span } from './span.js'

/** E.164: at most 15 digits. */
const MAX_DIGITS = 15
const MIN_DIGITS = 7
const MAX_GROUPS = 7
/** +1 and ten digits (ITU-T E.164, zone 1; NANP). */
const NORTH_AMERICA_DIGITS = 11
const NOTHING: Span = { start: 0, end: 0 }

/** What may stand between two groups of one number. */
const SEPARATOR = /^[ ().\-/\u00a0\u2009\u202f\u2010-\u2015\u2212]{1,3}$/
const EXTENSION = /^,?\s{0,2}(?:x|ext\.?|extension|#)\s{0,2}\d{1,6}(?!\d)/i
const ANNOUNCED =
  /(?:tel|telephone|phone|ph|mobile|mobil|cell|fax|call|telefon|handy|whatsapp)\.?(?: ?(?:no|nr|number)\.?)?\s{0,2}[:.=]?\s{0,2}$/i

/** Telephone numbers with at least seven digits. */
export function findPhones(text: string): Span[] {
  const groups = digitGroups(text)
  const linked = groups.map((group, index) => {
    const next = groups[index + 1]
    return (
      next !== undefined &&
      next.start - group.end <= 3 &&
      SEPARATOR.test(text.slice(group.end, next.start))
    )
  })
  const found: Span[] = []
  for (let first = 0; first < groups.length; ) {
    // Most numbers of a text stand alone and are short.
    if (linked[first] !== true && lengthOf(groups[first] ?? NOTHING) < MIN_DIGITS) {
      first += 1
      continue
    }
    const chain = chainFrom(groups, linked, first)
    const span = phoneIn(text, chain)
    if (span === undefined) {
      // A chain that is no number as a whole may hold one after a stray number, as in `3 555-123-4567`.
      first += 1
      continue
    }
    found.push({ start: span.start, end: withExtension(text, span.end) })
    first += span.groups
  }
  return found
}

/** Groups from `first` that may belong together, up to 15 digits. */
function chainFrom(groups: readonly Span[], linked: readonly boolean[], first: number): Span[] {
  const chain: Span[] = []
  let digits = 0
  for (let at = first; at < groups.length && chain.length < MAX_GROUPS; at++) {
    const group = groups[at]
    if (group === undefined || (at > first && linked[at - 1] !== true)) break
    digits += lengthOf(group)
    if (digits > MAX_DIGITS) break
    chain.push(group)
  }
  return chain
}

interface Phone extends Span {
  readonly groups: number
}

/** The longest beginning of the chain that is a number. */
function phoneIn(text: string, chain: readonly Span[]): Phone | undefined {
  const [head] = chain
  let digits = chain.reduce((sum, group) => sum + lengthOf(group), 0)
  if (head === undefined || digits < MIN_DIGITS) return undefined
  const lead = leadOf(text, head.start)
  if (lead === undefined) return undefined
  const most = lead.kind === 'plus' && text[head.start] === '1' ? NORTH_AMERICA_DIGITS : MAX_DIGITS
  for (let length = chain.length; length > 0; length--) {
    if (digits < MIN_DIGITS) return undefined
    const part = chain.slice(0, length)
    const end = part.at(-1)?.end ?? head.end
    const count = digits
    digits -= lengthOf(part.at(-1) ?? NOTHING)
    // What follows a whole number belongs to something else. One group that is too long is no reason to show it.
    if (count > most && length > 1) continue
    if (isLetterOrDigit(text[end]) && !EXTENSION.test(text.slice(end, end + 20))) continue
    if (/^[-/]\w/.test(text.slice(end, end + 2)) && length < chain.length) continue
    if (isPhone(text, part, count, lead)) return { start: lead.start, end, groups: length }
  }
  return undefined
}

interface Lead {
  readonly start: number
  readonly kind: 'plus' | 'parenthesis' | 'announced' | 'none'
}

/** What introduces the first group; undefined where the digits are part of a word, an amount or a longer code. */
function leadOf(text: string, at: number): Lead | undefined {
  const before = text.slice(Math.max(0, at - 3), at)
  const plus = /[+\uff0b] ?\(?$/.exec(before) ?? /\(\+$/.exec(before)
  if (plus !== null) return { start: at - plus[0].length, kind: 'plus' }
  if (before.endsWith('(')) return { start: at - 1, kind: 'parenthesis' }
  if (/[\p{L}\p{N}_$\u20ac\u00a3#]$/u.test(before) || /[\p{L}\p{N}][-./]$|\d:$/u.test(before))
    return undefined
  if (ANNOUNCED.test(text.slice(Math.max(0, at - 32), at))) return { start: at, kind: 'announced' }
  return { start: at, kind: 'none' }
}

function isPhone(text: string, groups: readonly Span[], digits: number, lead: Lead): boolean {
  if (lead.kind === 'plus') return true
  if (isPath(text, groups)) return false
  const first = groups[0]
  if (first === undefined) return false
  const isOfDate = (): boolean => isDate(groups.map(({ start, end }) => text.slice(start, end)))
  const international = text.startsWith('00', first.start) && digits >= 9
  if (lead.kind === 'announced' || international) return !isOfDate()
  if (groups.length === 1) return false
  const shape = groups.map(lengthOf).join('-')
  if (isOfDate() || isMachineAddress(text, groups) || shape === '3-2-4') return false
  if (lead.kind === 'parenthesis') return text[first.end] === ')'
  if (/^(?:1-)?3-3-4$/.test(shape) || (shape === '3-4' && joined(text, groups, /^[-.]$/)))
    return true
  if (text[first.start] === '0') return digits >= 8 && digits <= 13 && lengthOf(first) >= 2
  return isGrouped(text, groups, digits)
}

/** Countries without a trunk prefix: three to five groups of two to four digits, evenly separated. */
function isGrouped(text: string, groups: readonly Span[], digits: number): boolean {
  if (groups.length < 3 || groups.length > 5 || digits < 9 || digits > 12) return false
  if (groups.some((group) => lengthOf(group) < 2 || lengthOf(group) > 4)) return false
  return joined(text, groups, /^[ \u00a0]$/) || joined(text, groups, /^[-\u2010-\u2013]$/)
}

function joined(text: string, groups: readonly Span[], separator: RegExp): boolean {
  return groups.every((group, index) => {
    const next = groups[index + 1]
    return next === undefined || separator.test(text.slice(group.end, next.start))
  })
}

/** Year first or last among two or three groups, such as 2024-01-15, 15.01.2024, 1990-1995. */
function isDate(groups: readonly string[]): boolean {
  const [first, second, third] = groups
  if (first === undefined || second === undefined) return false
  if (isYear(first) && (isYear(second) || second.length <= 2)) return true
  if (third === undefined) return false
  return (
    first.length <= 2 &&
    second.length <= 2 &&
    (isYear(third) || third.length <= 2) &&
    groups.length === 3
  )
}

function isYear(digits: string): boolean {
  return /^(?:1[89]|20|21)\d\d$/.test(digits)
}

/** Numbers between slashes, such as 2002/08/23/1872: a number has one at most, behind its area code. */
function isPath(text: string, groups: readonly Span[]): boolean {
  const [from, to] = [groups[0]?.end ?? 0, groups.at(-1)?.start ?? 0]
  return text.slice(from, to).split('/').length > 2
}

function isMachineAddress(text: string, groups: readonly Span[]): boolean {
  return (
    groups.length === 4 &&
    joined(text, groups, /^\.$/) &&
    groups.every(({ start, end }) => Number(text.slice(start, end)) <= 255)
  )
}

function withExtension(text: string, end: number): number {
  const extension = EXTENSION.exec(text.slice(end, end + 24))
  return extension === null ? end : end + extension[0].length
}
