// Owns finding e-mail addresses. No regular expression with choices runs over the text: from each `@` it walks out to
// both sides, never past the previous one, so that the time is linear.

import type { Span } from './span.js'

/** RFC 5321 §4.5.3.1: 64 before the @ and 255 after it; more before it is still hidden. */
const MAX_LOCAL = 256
const MAX_DOMAIN = 255

/** Addresses in `text`: ASCII and international ones, plus tags, quoted local parts, and `%40` of links. */
export function findEmails(text: string): Span[] {
  const found: Span[] = []
  let floor = 0
  for (const sign of text.matchAll(/[@\uff20]|%40/g)) {
    const after = sign.index + sign[0].length
    const reach = sign.index - MAX_LOCAL
    const start = localStart(text, sign.index, {
      word: Math.max(floor, reach),
      // A quoted local part may hold an @ of its own.
      quote: Math.max(found.at(-1)?.end ?? 0, reach),
    })
    floor = after
    if (start === sign.index) continue
    const end = domainEnd(text, after)
    if (end === after) continue
    found.push({ start, end })
    floor = end
  }
  return found
}

/** Where the local part that ends at `at` begins; `at` itself when there is none. */
function localStart(
  text: string,
  at: number,
  floor: { readonly word: number; readonly quote: number },
): number {
  if (text[at - 1] === '"') {
    const quote = text.lastIndexOf('"', at - 2)
    if (quote >= floor.quote && quote < at - 2 && !text.slice(quote, at).includes('\n'))
      return quote
  }
  let start = at
  while (start > floor.word && isLocal(text.charCodeAt(start - 1))) start -= 1
  while (start < at && /['.|*]/.test(text[start] ?? '')) start += 1
  return start
}

/** Characters of an unquoted local part (RFC 5322 §3.2.3), less those that end a word of running text or a link. */
function isLocal(code: number): boolean {
  if (code > 0x7f)
    return code >= 0xd800 && code <= 0xdfff ? true : isWord(String.fromCharCode(code))
  return LOCAL[code] === 1
}

const LOCAL = new Uint8Array(128)
for (const character of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%'*+-=^_|~.") {
  LOCAL[character.charCodeAt(0)] = 1
}

function isWord(character: string): boolean {
  return /[\p{L}\p{N}\p{M}]/u.test(character)
}

/** Where the domain that begins at `from` ends; `from` itself when there is none. */
function domainEnd(text: string, from: number): number {
  const window = text.slice(from, from + MAX_DOMAIN)
  const literal = /^\[[0-9a-fA-F:.]{2,45}\]/.exec(window)
  if (literal !== null) return from + literal[0].length
  const run = /^[\p{L}\p{N}\p{M}._-]+/u.exec(window)?.[0] ?? ''
  const labels: string[] = []
  for (const label of run.split('.')) {
    if (label === '') break
    labels.push(label)
  }
  while (labels.length > 0 && !isTopLevel(labels.at(-1) ?? '')) {
    const last = trimmed(labels.pop() ?? '')
    if (isTopLevel(last)) {
      labels.push(last)
      break
    }
  }
  return labels.length < 2 ? from : from + labels.join('.').length
}

/** A top-level domain has letters and no hyphen, but for punycode. */
function isTopLevel(label: string): boolean {
  return /^xn--[a-z0-9-]{1,59}$/i.test(label) || /^[\p{L}\p{M}]{2,63}$/u.test(label)
}

/** `org-` or `com_x` as running text leaves them: the part up to the first sign. */
function trimmed(label: string): string {
  return /^[\p{L}\p{M}]*/u.exec(label)?.[0] ?? ''
}
