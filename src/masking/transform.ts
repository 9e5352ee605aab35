// Owns what takes the place of one text: the four transforms. It must never return a hidden part of what it was given.

import { createHmac } from 'node:crypto'
import type { MaskWith } from '../core/decision.js'
import { findEmails } from './email.js'

export const REDACTED = '[masked]'
const STARS = '****'
/** Of a shorter text the last four characters would be most of it. */
const MIN_PARTIAL = 8
/** A longer text is not one address. */
const MAX_ADDRESS = 600

/** The masked form of a text; null for NULL. `hashKey` belongs to one target. */
export function transformText(how: MaskWith, text: string, hashKey: Buffer): string | null {
  switch (how) {
    case 'null':
      return null
    case 'redact':
      return REDACTED
    case 'hash':
      return createHmac('sha256', hashKey).update(text).digest('hex').slice(0, 16)
    case 'partial':
      return partial(text)
  }
}

/** `*@example.org` for an address, else `****` and the last four characters, which a text under eight does not show. */
function partial(text: string): string {
  const trimmed = text.length <= MAX_ADDRESS ? text.trim() : ''
  const [address] = findEmails(trimmed)
  if (address?.start === 0 && address.end === trimmed.length) return `*@${domainOf(trimmed)}`
  // Characters, not halves of them; sixteen units hold at least eight.
  const characters = [...text.slice(-16)]
  return characters.length < MIN_PARTIAL ? STARS : STARS + characters.slice(-4).join('')
}

function domainOf(address: string): string {
  const at = Math.max(address.lastIndexOf('@'), address.lastIndexOf('\uff20'))
  return address.slice(at === -1 ? address.lastIndexOf('%40') + 3 : at + 1)
}
