// Owns where a jump may lead, how people write it, and finding it in a recording.

import type { Told } from '../../audit/story.js'
import type { Test, Timeline, Travel } from '../../audit/timeline.js'
import { durationSeconds } from '../people.js'
import { holdsText } from '../play.js'

export type Goal =
  /** This record, or the last one before it that is not filtered out. */
  | { readonly kind: 'record'; readonly record: number }
  /** The first record from so many milliseconds after the start on. */
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'match'; readonly text: string; readonly back: boolean }
  /** The one before the current one. */
  | { readonly kind: 'previous' }

/**
 * `120` or `#120` is a record, `50%` one in the middle; `1:30` and `90s` are times from the start, `+30s` and `-30s`
 * from here. Undefined for anything else.
 */
export function goalOf(
  text: string,
  here: { readonly total: number; readonly ms: number },
): Goal | undefined {
  const [, record] = /^#?(\d{1,15})$/.exec(text) ?? []
  if (record !== undefined) return { kind: 'record', record: Number(record) }
  const [, percent] = /^(\d{1,3})%$/.exec(text) ?? []
  if (percent !== undefined) {
    return { kind: 'record', record: Math.max(1, Math.round((here.total * Number(percent)) / 100)) }
  }
  const [, sign = '', rest = ''] = /^([+-]?)(.*)$/.exec(text) ?? []
  const ms = millisecondsOf(rest)
  if (ms === undefined) return undefined
  const from = sign === '' ? 0 : here.ms
  return { kind: 'time', ms: Math.max(0, sign === '-' ? from - ms : from + ms) }
}

function millisecondsOf(text: string): number | undefined {
  const clock = /^(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2})(?:\.(\d{1,3}))?$/.exec(text)
  if (clock === null) {
    const seconds = durationSeconds(text)
    return seconds === undefined ? undefined : seconds * 1000
  }
  const [, hours = '0', minutes = '0', seconds = '0', point = ''] = clock
  const whole = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)
  return whole * 1000 + Number(point.padEnd(3, '0'))
}

/** The records up to the goal, the goal last; undefined when there is none. */
export async function travelTo(
  timeline: Timeline,
  goal: Goal,
  from: {
    readonly record: number
    readonly test: Test
    readonly window: number
    readonly startedAt: string | undefined
  },
  travel: Travel,
): Promise<readonly Told[] | undefined> {
  const { record, test, window } = from
  const upTo = (number: number): Promise<readonly Told[]> =>
    timeline.last(number, window, test, travel)
  if (goal.kind === 'previous') {
    const found = await upTo(record - 1)
    return found.length === 0 ? undefined : found
  }
  if (goal.kind === 'match') {
    const holds = holdsText(goal.text)
    const hit: Test = (told) => test(told) && holds(told)
    const [found] = goal.back
      ? await timeline.last(record - 1, 1, hit, travel)
      : await timeline.next(record, 1, hit, travel)
    if (found === undefined) return undefined
    return goal.back ? upTo(found.record.seq) : timeline.recent(found.record.seq, window, test)
  }
  const target =
    goal.kind === 'record' ? goal.record : await recordAt(timeline, goal.ms, from, travel)
  const found = await upTo(target)
  if (found.length > 0) return found
  // Only found on the way forward, or nothing before it is shown: what comes first, then.
  const again = await upTo(target)
  return again.length > 0 ? again : timeline.next(0, 1, test, travel)
}

async function recordAt(
  timeline: Timeline,
  ms: number,
  from: { readonly record: number; readonly startedAt: string | undefined },
  travel: Travel,
): Promise<number> {
  const time = Date.parse(from.startedAt ?? '') + ms
  const [here] = timeline.recent(from.record, 1, () => true)
  const isAhead = here !== undefined && Date.parse(here.record.at) < time
  const [found] = await timeline.next(
    isAhead ? from.record : 0,
    1,
    (told) => Date.parse(told.record.at) >= time,
    travel,
  )
  return found?.record.seq ?? Number.MAX_SAFE_INTEGER
}
