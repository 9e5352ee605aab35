// Owns finding payment cards, IBANs and social security numbers: numbers that prove themselves by a checksum or a form.

import { digitGroups, isLetterOrDigit, lengthOf, type Span } from './span.js'

/** Payment cards: 13 to 19 digits, together or in groups, with a right check digit (ISO/IEC 7812-1, Luhn). */
export function findCards(text: string): Span[] {
  const groups = digitGroups(text)
  const found: Span[] = []
  for (let first = 0; first < groups.length; first++) {
    // No card begins with so short a group, and a text has many.
    if (lengthOf(groups[first] ?? { start: 0, end: 0 }) < 4) continue
    const last = cardFrom(text, groups, first)
    const [start, end] = [groups[first]?.start, groups[last ?? -1]?.end]
    if (last === undefined || start === undefined || end === undefined) continue
    found.push({ start, end })
    first = last
  }
  return found
}

/** Index of the last group of the longest card that begins with group `first`. */
function cardFrom(
  text: string,
  groups: ReturnType<typeof digitGroups>,
  first: number,
): number | undefined {
  let digits = ''
  let best: number | undefined
  for (let at = first; at < groups.length; at++) {
    const group = groups[at]
    if (group === undefined || digits.length + lengthOf(group) > 19) break
    const before = groups[at - 1]
    if (
      at > first &&
      (before === undefined ||
        !/^(?:[ .\u00a0-]| {2}|\u2013)$/.test(text.slice(before.end, group.start)))
    )
      break
    digits += text.slice(group.start, group.end)
    if (digits.length >= 13 && isCard(digits)) best = at
    // Groups inside a card have four to seven digits; only the last may be shorter.
    if (lengthOf(group) < 4) break
  }
  return best
}

function isCard(digits: string): boolean {
  if (digits.startsWith('0')) return false
  // Thirteen digits with a leading one are a time in milliseconds.
  if (digits.length === 13 && digits.startsWith('1')) return false
  if (/^(\d)\1*$/.test(digits)) return false
  let sum = 0
  for (let at = 0; at < digits.length; at++) {
    const digit = Number(digits[digits.length - 1 - at])
    const doubled = at % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}

/** Lengths of the countries' IBANs (SWIFT IBAN registry); others are tried from 15 to 34. */
const IBAN_LENGTHS: Readonly<Record<string, number>> = {
  AD: 24,
  AE: 23,
  AL: 28,
  AT: 20,
  AZ: 28,
  BA: 20,
  BE: 16,
  BG: 22,
  BH: 22,
  BR: 29,
  CH: 21,
  CR: 22,
  CY: 28,
  CZ: 24,
  DE: 22,
  DK: 18,
  DO: 28,
  EE: 20,
  EG: 29,
  ES: 24,
  FI: 18,
  FO: 18,
  FR: 27,
  GB: 22,
  GE: 22,
  GI: 23,
  GL: 18,
  GR: 27,
  HR: 21,
  HU: 28,
  IE: 22,
  IL: 23,
  IS: 26,
  IT: 27,
  JO: 30,
  KW: 30,
  KZ: 20,
  LB: 28,
  LI: 21,
  LT: 20,
  LU: 20,
  LV: 21,
  MC: 27,
  MD: 24,
  ME: 22,
  MK: 19,
  MT: 31,
  NL: 18,
  NO: 15,
  PK: 24,
  PL: 28,
  PS: 29,
  PT: 25,
  QA: 29,
  RO: 24,
  RS: 22,
  SA: 24,
  SE: 24,
  SI: 19,
  SK: 24,
  SM: 27,
  TN: 24,
  TR: 26,
  UA: 29,
  XK: 20,
}

/** International bank account numbers (ISO 13616), together or in groups, with right check digits (mod 97). */
export function findIbans(text: string): Span[] {
  const found: Span[] = []
  let floor = 0
  for (const head of text.matchAll(/[A-Za-z]{2}\d{2}/g)) {
    if (head.index < floor || isLetterOrDigit(text[head.index - 1])) continue
    const end = ibanEnd(text, head.index)
    if (end === undefined) continue
    found.push({ start: head.index, end })
    floor = end
  }
  return found
}

function ibanEnd(text: string, start: number): number | undefined {
  const ends: number[] = []
  let compact = ''
  for (let at = start; at < text.length && compact.length < 34; at++) {
    const character = text[at] ?? ''
    if (/[A-Za-z0-9]/.test(character)) {
      compact += character.toUpperCase()
      ends.push(at + 1)
    } else if (!/[ \u00a0-]/.test(character) || !/[A-Za-z0-9]/.test(text[at + 1] ?? '')) break
  }
  const known = IBAN_LENGTHS[compact.slice(0, 2)]
  // Running text may happen to have right check digits; in groups of four it hardly does.
  if (known === undefined && !inFours(text.slice(start, ends.at(-1)))) return undefined
  const lengths =
    known === undefined ? Array.from({ length: 20 }, (_, index) => 34 - index) : [known]
  for (const length of lengths) {
    const end = ends[length - 1]
    if (end === undefined || /[A-Za-z0-9]/.test(text[end] ?? '')) continue
    if (remainder97(compact.slice(4, length) + compact.slice(0, 4)) === 1) return end
  }
  return undefined
}

/** Without separators, or printed as IBANs are: groups of four, the last one shorter. */
function inFours(text: string): boolean {
  const groups = text.split(/[ \u00a0-]/)
  return (
    groups.length === 1 ||
    groups.every(
      (group, index) => group.length === 4 || (index === groups.length - 1 && group.length < 4),
    )
  )
}

function remainder97(text: string): number {
  let remainder = 0
  for (const character of text) {
    for (const digit of String(Number.parseInt(character, 36))) {
      remainder = (remainder * 10 + Number(digit)) % 97
    }
  }
  return remainder
}

/**
 * United States social security numbers, NNN-NN-NNNN. Area 000 and 666, group 00 and serial 0000 are never given out;
 * areas from 900 are tax numbers of the same form and are found.
 */
export function findSsns(text: string): Span[] {
  const found: Span[] = []
  for (const match of text.matchAll(/\d{3}([-\u2010-\u2013 ])\d{2}\1\d{4}/g)) {
    const end = match.index + match[0].length
    const digits = match[0].replace(/\D/g, '')
    if (/^(?:000|666)|^.{3}00|0000$/.test(digits)) continue
    if (isLetterOrDigit(text[match.index - 1]) || isLetterOrDigit(text[end])) continue
    if (/\d[-.]$/.test(text.slice(Math.max(0, match.index - 2), match.index))) continue
    if (/^[-.]\d/.test(text.slice(end, end + 2))) continue
    found.push({ start: match.index, end })
  }
  return found
}
