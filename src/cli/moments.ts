// Owns what bounds a search on the command line: moments (so long ago, or a date) and how many.

import * as Flags from '@oclif/core/flags'
import { VgateError } from '../core/errors.js'
import { durationSeconds } from './people.js'

const DATE = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?)?$/

/** Flags that bound a search in time. */
export const timeFlags = {
  since: Flags.string({
    description: 'not before: so long ago, or a date (UTC unless it names a zone)',
    helpValue: '2h|DATE',
  }),
  until: Flags.string({
    description: 'before: so long ago, or a date (UTC unless it names a zone)',
    helpValue: '1h|DATE',
  }),
}

/** `--limit` of what the gateway answers at most. */
export const limitFlag = (description: string) =>
  Flags.integer({ description, min: 1, max: 1000, default: 50, helpValue: 'N' })

/** `2h`, `2026-11-01`, `2026-11-01T10:00` or with a zone as ISO 8601. Throws VGATE_USAGE for anything else. */
export function momentOf(text: string, now: number, flag: string): string {
  const seconds = durationSeconds(text)
  if (seconds !== undefined) return isoOf(now - seconds * 1000, flag)
  const match = DATE.exec(text)
  if (match === null) throw unusable(flag)
  const zoned = match[1] !== undefined || text.length === 10
  return isoOf(Date.parse(`${text.replace(' ', 'T')}${zoned ? '' : 'Z'}`), flag)
}

/** Both bounds, as far as they are given. */
export function timesOf(
  flags: { readonly since?: string | undefined; readonly until?: string | undefined },
  now: number,
): { readonly since?: string; readonly until?: string } {
  return {
    ...(flags.since === undefined ? {} : { since: momentOf(flags.since, now, 'since') }),
    ...(flags.until === undefined ? {} : { until: momentOf(flags.until, now, 'until') }),
  }
}

function isoOf(at: number, flag: string): string {
  // What is no date at all, or lies before the year 0 or behind 9999, no gateway knows.
  if (!(at >= -62_167_219_200_000 && at < 253_402_300_800_000)) throw unusable(flag)
  return new Date(at).toISOString()
}

function unusable(flag: string): VgateError {
  return new VgateError('VGATE_USAGE', `--${flag} takes a duration or a date`, {
    hint: 'for instance 2h, 7d, 2026-11-01 or 2026-11-01T10:00+01:00',
  })
}
