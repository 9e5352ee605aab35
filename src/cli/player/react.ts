// Owns the player as a machine without a terminal: a state and an event make the next state, and at most one question
// to the recording. Time comes with the events. It must never read, write or wait.

import type { Told } from '../../audit/story.js'
import type { Only } from '../play.js'
import { onKey } from './on-key.js'
import { advanced, currentSeq, type PlayerState, type Reaction, wakeAt, windowOf } from './state.js'
import type { Survey } from './survey.js'

export type PlayerEvent = { readonly now: number } & (
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'tick' }
  | { readonly kind: 'resize'; readonly width: number; readonly height: number }
  /** The answer to `more`; nothing means that there is no more. */
  | { readonly kind: 'more'; readonly records: readonly Told[] }
  /** The answer to `jump`: the records up to the goal, or undefined when there is none. */
  | { readonly kind: 'arrived'; readonly records: readonly Told[] | undefined }
  | { readonly kind: 'progress'; readonly record: number }
  | { readonly kind: 'surveyed'; readonly survey: Survey }
  /** A live session went on, or ended. */
  | { readonly kind: 'grown'; readonly total: number; readonly live: boolean }
)

/** Fewer records than this that come, and more are asked for. */
const FEW = 16

/** The next state, and what is asked of the recording. */
export function react(state: PlayerState, event: PlayerEvent): Reaction {
  switch (event.kind) {
    case 'key':
      return refill(onKey(state, event.key, event.now))
    case 'tick':
      return refill({ state: played(state, event.now) })
    case 'resize':
      return { state: { ...state, width: event.width, height: event.height, scroll: 0 } }
    case 'more':
      return refill({ state: loaded(state, event.records, event.now) })
    case 'arrived':
      return refill(typedAhead(arrived(state, event.records, event.now), event.now))
    case 'progress':
      return {
        state:
          state.busy === undefined
            ? state
            : { ...state, busy: { ...state.busy, record: event.record } },
      }
    case 'surveyed':
      return { state: { ...state, survey: event.survey } }
    case 'grown':
      return refill({
        state: { ...state, total: event.total, live: event.live, exhausted: false },
      })
  }
}

function played(state: PlayerState, now: number): PlayerState {
  let next = state
  for (let due = wakeAt(next); due !== undefined && due <= now; due = wakeAt(next)) {
    // As if it had come at its time: else every late wake-up would make the whole longer.
    next = advanced(next, next.pace.speed === 0 ? now : Math.max(due, now - next.pace.idleMs))
  }
  const over = next.exhausted && next.upcoming.length === 0 && next.shown.length > 0
  if (!next.playing || !over || next.live) return next
  return { ...next, playing: false, message: 'the end' }
}

function loaded(state: PlayerState, records: readonly Told[], now: number): PlayerState {
  const next: PlayerState = {
    ...state,
    loading: false,
    exhausted: records.length === 0,
    upcoming: [...state.upcoming, ...records],
  }
  if (!next.stepping) return played(next, now)
  if (records.length > 0) return played(advanced(next, now), now)
  const nothing = next.shown.length === 0 && !next.live
  return { ...next, ...(nothing ? { stepping: false, message: nothingOf(next.only) } : {}) }
}

function nothingOf(only: Only | undefined): string {
  return only === undefined ? 'there are no records' : `nothing was ${only}`
}

function arrived(
  state: PlayerState,
  records: readonly Told[] | undefined,
  now: number,
): PlayerState {
  const next = { ...state, busy: undefined, loading: false, shownAt: now, waited: 0 }
  if (records === undefined) return { ...next, message: state.busy?.none }
  return {
    ...next,
    shown: windowOf(records),
    upcoming: [],
    exhausted: false,
    stepping: false,
    scroll: 0,
    message: records.length === 0 ? nothingOf(state.only) : undefined,
  }
}

/** Takes the keys that were pressed on the way, as far as none of them leads elsewhere again. */
function typedAhead(state: PlayerState, now: number): Reaction {
  let reaction: Reaction = { state: { ...state, typed: [] } }
  for (const [index, key] of state.typed.entries()) {
    reaction = onKey(reaction.state, key, now)
    if (reaction.ask === undefined) continue
    const typed = state.typed.slice(index + 1)
    return { ...reaction, state: { ...reaction.state, typed } }
  }
  return reaction
}

/** Asks for more in time, and for nothing while a jump is under way. */
function refill(reaction: Reaction): Reaction {
  const { state } = reaction
  const enough = state.upcoming.length >= FEW || state.loading || state.exhausted
  if (reaction.ask !== undefined || enough || state.busy !== undefined) return reaction
  if (state.quit !== undefined) return reaction
  const after = state.upcoming.at(-1)?.record.seq ?? currentSeq(state)
  return {
    state: { ...state, loading: true },
    ask: { kind: 'more', after, only: state.only },
  }
}
