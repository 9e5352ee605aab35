// Owns playing a verified recording to a terminal: which records, at what pace. Executes nothing.

import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import type { StoredRecord } from '../audit/records.js'
import { VgateError } from '../core/errors.js'
import { durationSeconds } from './people.js'

export const ONLY = ['denied', 'held', 'masked'] as const
export type Only = (typeof ONLY)[number]

/** Keeps the records that were asked for. */
export async function* onlyRecords(
  records: AsyncIterable<StoredRecord>,
  only: Only | undefined,
): AsyncGenerator<StoredRecord> {
  for await (const record of records) if (only === undefined || matches(record, only)) yield record
}

function matches(record: StoredRecord, only: Only): boolean {
  if (only === 'denied') return record['verdict'] === 'deny'
  if (only === 'held') return record['verdict'] === 'hold'
  const masked = record['masked']
  return record.type === 'operation.delivered' && typeof masked === 'number' && masked > 0
}

/** The pace that two flags ask for. Throws VGATE_USAGE for what is no number and no duration. */
export function paceOf(
  speed: string,
  maxIdle: string,
): { readonly speed: number; readonly idleMs: number } {
  const seconds = durationSeconds(maxIdle)
  if (seconds === undefined || !(Number(speed) >= 0))
    throw new VgateError('VGATE_USAGE', '--speed takes a number, --max-idle a duration such as 2s')
  return { speed: Number(speed), idleMs: seconds * 1000 }
}

/** Waits between records as they came, `speed` times as fast, never longer than `maxIdleMs`. Speed 0 waits not at all. */
export async function* paced(
  records: AsyncIterable<StoredRecord>,
  speed: number,
  maxIdleMs: number,
): AsyncGenerator<StoredRecord> {
  let last: number | undefined
  for await (const record of records) {
    const at = Date.parse(record.at)
    // The wall clock may step back; what is shown never does.
    if (last !== undefined && at > last && speed > 0)
      await wait(Math.min((at - last) / speed, maxIdleMs))
    if (!Number.isNaN(at)) last = at
    yield record
  }
}

/** Waits for Enter before each record but the first. Ends with the input. */
export async function* stepped(
  records: AsyncIterable<StoredRecord>,
  input: NodeJS.ReadableStream,
): AsyncGenerator<StoredRecord> {
  const lines = createInterface({ input })
  const enter = lines[Symbol.asyncIterator]()
  let first = true
  try {
    for await (const record of records) {
      if (!first && (await enter.next()).done === true) return
      first = false
      yield record
    }
  } finally {
    lines.close()
  }
}
