// Owns what the timeline shows of the whole recording: where something was refused or held, how often, how long it
// took. Made in one pass beside the playing.

import { setImmediate as turn } from 'node:timers/promises'
import type { StoredRecord } from '../../audit/records.js'

export const MARKS = 256
export type Mark = 'denied' | 'held'

export interface Survey {
  readonly startedAt: string | undefined
  readonly endedAt: string | undefined
  readonly denied: number
  readonly held: number
  readonly masked: number
  /** The records in MARKS equal parts: what is worst in each. */
  readonly marks: readonly (Mark | undefined)[]
}

/** Counts and marks of `total` records. Rejects with the signal's reason. */
export async function surveyOf(
  records: AsyncIterable<StoredRecord>,
  total: number,
  signal: AbortSignal,
): Promise<Survey> {
  let startedAt: string | undefined
  let endedAt: string | undefined
  let [denied, held, masked] = [0, 0, 0]
  const marks: (Mark | undefined)[] = Array.from({ length: MARKS }, () => undefined)
  for await (const record of records) {
    startedAt ??= record.at
    endedAt = record.at
    const part = Math.floor(((record.seq - 1) * MARKS) / Math.max(1, total))
    if (record['verdict'] === 'deny') {
      denied += 1
      marks[part] = 'denied'
    } else if (record['verdict'] === 'hold') {
      held += 1
      marks[part] ??= 'held'
    }
    const count = record['masked']
    if (typeof count === 'number' && count > 0) masked += 1
    // Playing goes first.
    if (record.seq % 256 === 0) await turn(undefined, { signal })
  }
  return { startedAt, endedAt, denied, held, masked, marks }
}
