// Owns what is played of a recording, and at what pace: the rules that the player, the plain form and an asciicast
// share. Executes nothing.

import { setTimeout as wait } from 'node:timers/promises'
import type { Told } from '../audit/story.js'
import type { Test } from '../audit/timeline.js'
import { VgateError } from '../core/errors.js'
import { durationSeconds } from './people.js'

export const ONLY = ['denied', 'held', 'masked'] as const
export type Only = (typeof ONLY)[number]

/** Whether a record is of the kind that was asked for. */
export function testFor(only: Only | undefined): Test {
  return ({ record }) => {
    if (only === undefined) return true
    if (only === 'denied') return record['verdict'] === 'deny'
    if (only === 'held')
      return (
        record['verdict'] === 'hold' ||
        record.type === 'hold.opened' ||
        record.type === 'hold.answered'
      )
    const masked = record['masked']
    return record.type === 'operation.delivered' && typeof masked === 'number' && masked > 0
  }
}

/** Keeps the records that were asked for. */
export async function* onlyRecords(
  records: AsyncIterable<Told>,
  only: Only | undefined,
): AsyncGenerator<Told> {
  const test = testFor(only)
  for await (const told of records) if (test(told)) yield told
}

/** Whether any text, number or key in a record holds these characters, whatever their case. */
export function holdsText(text: string): Test {
  const wanted = text.toLowerCase()
  const found = (value: unknown, named: boolean): boolean => {
    if (typeof value === 'string') return value.toLowerCase().includes(wanted)
    if (typeof value === 'number') return String(value).includes(wanted)
    if (typeof value !== 'object' || value === null) return false
    return Object.entries(value).some(
      ([name, member]) => found(member, false) || (named && found(name, false)),
    )
  }
  return ({ record }) => {
    const { seq: _seq, at: _at, ...said } = record
    // Under `keys` the names of collections stand as names of members.
    return Object.entries(said).some(([name, member]) => found(member, name === 'keys'))
  }
}

export interface Pace {
  /** Times as fast as it was; 0 does not wait. */
  readonly speed: number
  readonly idleMs: number
}

/** The pace that two flags ask for. Throws VGATE_USAGE for what is no number and no duration. */
export function paceOf(speed: string, maxIdle: string): Pace {
  const seconds = durationSeconds(maxIdle)
  const times = Number(speed)
  if (seconds === undefined || speed.trim() === '' || !(times >= 0) || !Number.isFinite(times))
    throw new VgateError('VGATE_USAGE', '--speed takes a number, --max-idle a duration such as 2s')
  return { speed: times, idleMs: seconds * 1000 }
}

/** How long to wait between two records. The wall clock may step back; what is shown never does. */
export function pauseMs(from: string, to: string, pace: Pace): number {
  const gap = Date.parse(to) - Date.parse(from)
  return gap > 0 && pace.speed > 0 ? Math.min(gap / pace.speed, pace.idleMs) : 0
}

/** Waits between records as they came, within the pace. */
export async function* paced(records: AsyncIterable<Told>, pace: Pace): AsyncGenerator<Told> {
  let last: string | undefined
  for await (const told of records) {
    const { at } = told.record
    const ms = pauseMs(last ?? at, at, pace)
    if (ms > 0) await wait(ms)
    if (!Number.isNaN(Date.parse(at))) last = at
    yield told
  }
}
