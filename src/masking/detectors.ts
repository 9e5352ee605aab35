// Owns the table of detectors by name, and joining what they find.

import { RE2JS } from 're2js'
import type { MaskWith } from '../core/decision.js'
import { VgateError } from '../core/errors.js'
import { findEmails } from './email.js'
import { findCards, findIbans, findSsns } from './numbers.js'
import { findPhones } from './phone.js'
import { type Detector, foldDigits, type Span } from './span.js'
import { strictest } from './strictness.js'

const TABLE: ReadonlyMap<string, Detector> = new Map([
  ['email', findEmails],
  ['phone', findPhones],
  ['card', findCards],
  ['iban', findIbans],
  ['ssn', findSsns],
])

/** A detector and what happens to what it finds. */
export interface Detection {
  readonly detector: Detector
  readonly with: MaskWith
}

/** A place to mask. */
export interface Finding extends Span {
  readonly with: MaskWith
}

/** The detector of a name, or of `re2:PATTERN` (linear time). Throws a VgateError for any other. */
export function detectorNamed(name: string): Detector {
  const known = TABLE.get(name)
  if (known !== undefined) return (text, folded = foldDigits(text)) => known(folded)
  if (!name.startsWith('re2:')) {
    throw new VgateError('VGATE_CONFIG_INVALID', `unknown detector "${name.slice(0, 40)}"`)
  }
  try {
    const pattern = RE2JS.compile(name.slice('re2:'.length))
    return (text) => findPattern(pattern, text)
  } catch (cause) {
    throw new VgateError('VGATE_CONFIG_INVALID', 'a detector is not valid RE2 syntax', { cause })
  }
}

function findPattern(pattern: RE2JS, text: string): Span[] {
  const found: Span[] = []
  const matcher = pattern.matcher(text)
  while (matcher.find()) {
    const [start, end] = [matcher.start(), matcher.end()]
    if (end > start) found.push({ start, end })
  }
  return found
}

/** What all detections find in a text, in order; findings that overlap become one, under the stricter mask. */
export function findAll(detections: readonly Detection[], text: string): Finding[] {
  const folded = foldDigits(text)
  const all = detections.flatMap((detection) =>
    detection.detector(text, folded).map((span) => ({ ...span, with: detection.with })),
  )
  all.sort((a, b) => a.start - b.start || b.end - a.end)
  const joined: Finding[] = []
  for (const next of all) {
    const last = joined.at(-1)
    if (last === undefined || next.start >= last.end) joined.push(next)
    else {
      joined[joined.length - 1] = {
        start: last.start,
        end: Math.max(last.end, next.end),
        with: strictest(last.with, next.with),
      }
    }
  }
  return joined
}
