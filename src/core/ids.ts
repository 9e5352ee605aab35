// Owns identifiers: prefixed, random, safe in paths, URLs and terminals.

import { randomBytes } from 'node:crypto'

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz' // Crockford base 32: no i, l, o, u

export type IdPrefix = 'grt' | 'ses' | 'con' | 'req' | 'op' | 'key' | 'log'

/** A new id such as `ses_2v8k…`: prefix and 100 random bits in Crockford base 32. */
export function newId(prefix: IdPrefix): string {
  let text = `${prefix}_`
  for (const byte of randomBytes(20)) text += ALPHABET[byte & 31]
  return text
}

/** True for the form that `newId` makes with this prefix; a check before an id becomes part of a path. */
export function isId(prefix: IdPrefix, text: string): boolean {
  return (
    text.startsWith(`${prefix}_`) && /^[0-9a-hjkmnp-tv-z]{20}$/.test(text.slice(prefix.length + 1))
  )
}
