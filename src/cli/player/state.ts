// Owns what the player knows between two events: what was shown, what comes, at what pace, and when it is due.

import type { Told } from '../../audit/story.js'
import { weightOf } from '../../audit/timeline.js'
import { type Only, type Pace, pauseMs } from '../play.js'
import type { Goal } from './goal.js'
import type { Survey } from './survey.js'

/** What the player wants from the recording. */
export type Ask =
  | { readonly kind: 'more'; readonly after: number; readonly only: Only | undefined }
  | {
      readonly kind: 'jump'
      readonly goal: Goal
      readonly only: Only | undefined
      /** Number of the record that is shown. */
      readonly from: number
    }
  /** Stop looking. */
  | { readonly kind: 'cancel' }

export interface Prompt {
  readonly kind: 'search' | 'search back' | 'go to'
  readonly text: string
}

export interface PlayerState {
  readonly width: number
  readonly height: number
  /** How many records there are. */
  readonly total: number
  readonly live: boolean
  readonly playing: boolean
  readonly pace: Pace
  readonly only: Only | undefined
  /** What was played; the last is the current one. A window: older ones are read again when they are wanted. */
  readonly shown: readonly Told[]
  readonly upcoming: readonly Told[]
  /** `more` was asked and not yet answered. */
  readonly loading: boolean
  /** Nothing comes after `upcoming`. */
  readonly exhausted: boolean
  /** Show the next record as soon as it comes. */
  readonly stepping: boolean
  /** When the current record was shown, or would have been without a pause. */
  readonly shownAt: number
  /** How long the current record had been shown when it was paused. */
  readonly waited: number
  /** Lines up from where the current record is seen. */
  readonly scroll: number
  readonly prompt: Prompt | undefined
  readonly search: string | undefined
  /** Under way to a goal: in words, what to say when there is none, and the record that is read. */
  readonly busy:
    | { readonly what: string; readonly none: string; readonly record: number }
    | undefined
  /** Keys that were pressed meanwhile. */
  readonly typed: readonly string[]
  readonly message: string | undefined
  readonly help: boolean
  readonly survey: Survey | undefined
  /** Set when it is over. */
  readonly quit: 'quit' | 'interrupted' | undefined
  readonly startedAt: string | undefined
}

export interface Reaction {
  readonly state: PlayerState
  readonly ask?: Ask
}

/** Records that are kept in `shown`. */
export const WINDOW = 200
const WINDOW_CHARACTERS = 8 * 1024 * 1024

/** The player before its first record. */
export function firstState(options: {
  readonly width: number
  readonly height: number
  readonly total: number
  readonly live: boolean
  readonly playing: boolean
  readonly pace: Pace
  readonly only: Only | undefined
  readonly startedAt: string | undefined
}): PlayerState {
  return {
    ...options,
    shown: [],
    upcoming: [],
    loading: false,
    exhausted: false,
    stepping: true,
    shownAt: 0,
    waited: 0,
    scroll: 0,
    prompt: undefined,
    search: undefined,
    busy: undefined,
    typed: [],
    message: undefined,
    help: false,
    survey: undefined,
    quit: undefined,
  }
}

/** Number of the current record; 0 before the first. */
export function currentSeq(state: PlayerState): number {
  return state.shown.at(-1)?.record.seq ?? 0
}

/** When the next record is due; undefined while nothing is. */
export function wakeAt(state: PlayerState): number | undefined {
  const [next] = state.upcoming
  if (!state.playing || state.busy !== undefined || next === undefined) return undefined
  const { at } = state.shown.at(-1)?.record ?? next.record
  return state.shownAt + pauseMs(at, next.record.at, state.pace)
}

/** One record further; waits for it when it is not there yet. */
export function advanced(state: PlayerState, now: number): PlayerState {
  const [next, ...upcoming] = state.upcoming
  if (next === undefined) {
    return state.exhausted
      ? { ...state, stepping: false, message: 'this is the last record' }
      : { ...state, stepping: true }
  }
  return {
    ...state,
    shown: windowOf([...state.shown, next]),
    upcoming,
    stepping: false,
    shownAt: now,
    waited: 0,
    scroll: 0,
    message: undefined,
    startedAt: state.startedAt ?? next.record.at,
  }
}

/** As many of the last records as are kept. */
export function windowOf(records: readonly Told[]): readonly Told[] {
  let characters = 0
  let first = records.length
  while (first > 0 && records.length - first < WINDOW) {
    const told = records[first - 1]
    characters += told === undefined ? 0 : weightOf(told)
    if (characters > WINDOW_CHARACTERS && first < records.length) break
    first -= 1
  }
  return records.slice(first)
}
