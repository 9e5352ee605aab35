// Owns which of two masks hides more.

import type { MaskWith } from '../core/decision.js'

const ORDER: readonly MaskWith[] = ['null', 'redact', 'hash', 'partial']

/** null, then redact, then hash, then partial. */
export function strictest(a: MaskWith, b: MaskWith): MaskWith {
  return ORDER.indexOf(a) <= ORDER.indexOf(b) ? a : b
}
