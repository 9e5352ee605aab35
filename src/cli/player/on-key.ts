// Owns what each key does to the player.

import { ONLY } from '../play.js'
import { type Goal, goalOf } from './goal.js'
import { advanced, currentSeq, type PlayerState, type Prompt, type Reaction } from './state.js'

/** Speeds that + and - go through; 0 stands for no waiting and comes last. */
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128]
const KNOWN_SPEEDS = [...SPEEDS, Number.POSITIVE_INFINITY]
const MOST_TYPED = 256
const PROMPTS: Readonly<Record<string, Prompt['kind']>> = {
  '/': 'search',
  '?': 'search back',
  g: 'go to',
  ':': 'go to',
}

/** The keys, for the help page: what to press, what it does. */
export const KEYS: readonly (readonly [string, string])[] = [
  ['space', 'play, pause'],
  ['n →', 'step on'],
  ['b ←', 'step back'],
  ['PgDn PgUp', 'ten records on, back'],
  ['Home End', 'first, last record'],
  ['g', 'go to 120, 50%, 1:30, +30s'],
  ['/ ?', 'search on, back'],
  ['m M', 'next, previous match'],
  ['o', 'filter: denied, held, masked'],
  ['+ -', 'faster, slower'],
  ['↑ ↓', 'scroll'],
  ['Esc', 'stop looking'],
  ['h', 'these keys'],
  ['q', 'quit'],
]

/** What a key does. */
export function onKey(before: PlayerState, key: string, now: number): Reaction {
  if (key === 'ctrl-c') return { state: { ...before, quit: 'interrupted' } }
  // What is typed ahead is taken in its order: a q in it may belong to a text.
  if (before.busy !== undefined && (before.typed.length > 0 || key !== 'q'))
    return onBusyKey(before, key)
  const state: PlayerState = { ...before, message: undefined }
  if (state.prompt !== undefined) return onPromptKey(state, state.prompt, key)
  if (key === 'q' || key === 'ctrl-d') return { state: { ...state, quit: 'quit' } }
  if (state.help) return { state: { ...state, help: false } }
  const prompt = PROMPTS[key]
  if (prompt !== undefined)
    return { state: { ...paused(state, now), prompt: { kind: prompt, text: '' } } }
  const goal = goalOfKey(state, key)
  if (goal !== undefined) return jump(paused(state, now), goal)
  return { state: changed(state, key, now) }
}

function changed(state: PlayerState, key: string, now: number): PlayerState {
  switch (key) {
    case ' ':
      return state.playing ? paused(state, now) : resumed(state, now)
    case 'n':
    case 'l':
    case 'right':
    case 'enter':
      return advanced(paused(state, now), now)
    case 'up':
    case 'k':
      return { ...paused(state, now), scroll: state.scroll + 1 }
    case 'down':
    case 'j':
      return { ...state, scroll: state.scroll - 1 }
    case '+':
    case '=':
      return withSpeed(state, 1)
    case '-':
    case '_':
      return withSpeed(state, -1)
    case 'h':
      return { ...paused(state, now), help: true }
    default:
      return state
  }
}

/** Keys that lead to another place; stepping back within what was shown needs no reading. */
function goalOfKey(state: PlayerState, key: string): Jump | undefined {
  const here = currentSeq(state)
  switch (key) {
    case 'b':
    case 'left':
      return { goal: { kind: 'previous' }, what: 'going back', none: 'this is the first record' }
    case 'pageup':
      return to(Math.max(1, here - 10))
    case 'pagedown':
      return to(here + 10)
    case 'home':
    case '0':
      return to(1)
    case 'end':
    case 'G':
      return to(state.total)
    case 'm':
    case 'M':
      return state.search === undefined ? undefined : match(state.search, key === 'M')
    case 'o': {
      const next = ONLY[state.only === undefined ? 0 : ONLY.indexOf(state.only) + 1]
      return { ...to(Math.max(1, here)), only: { only: next } }
    }
    default:
      return undefined
  }
}

interface Jump {
  readonly goal: Goal
  readonly what: string
  readonly none?: string
  readonly only?: { readonly only: PlayerState['only'] }
  readonly search?: string
}

function to(record: number): Jump {
  return { goal: { kind: 'record', record }, what: `going to record ${record}` }
}

function match(text: string, back: boolean): Jump {
  return { goal: { kind: 'match', text, back }, what: `looking for ${text}`, search: text }
}

function jump(state: PlayerState, { goal, what, none, only, search }: Jump): Reaction {
  const here = currentSeq(state)
  const before = state.shown.slice(0, -1)
  if (goal.kind === 'previous' && before.length > 0) {
    // What comes is read again from there; it is still near.
    const upcoming = [...state.shown.slice(-1), ...state.upcoming]
    return { state: { ...state, shown: before, upcoming, scroll: 0, stepping: false } }
  }
  const next: PlayerState = {
    ...state,
    ...only,
    search: search ?? state.search,
    busy: { what, none: none ?? 'not found', record: 0 },
    stepping: false,
  }
  return { state: next, ask: { kind: 'jump', goal, only: next.only, from: here } }
}

function onBusyKey(state: PlayerState, key: string): Reaction {
  if (key !== 'escape') {
    return state.typed.length < MOST_TYPED
      ? { state: { ...state, typed: [...state.typed, key] } }
      : { state }
  }
  return {
    state: {
      ...state,
      busy: undefined,
      typed: [],
      upcoming: [],
      loading: false,
      exhausted: false,
      message: 'stopped',
    },
    ask: { kind: 'cancel' },
  }
}

function onPromptKey(state: PlayerState, prompt: Prompt, key: string): Reaction {
  const closed: PlayerState = { ...state, prompt: undefined }
  if (key === 'escape' || (key === 'backspace' && prompt.text === '')) return { state: closed }
  if (key === 'enter') return submitted(closed, prompt)
  if (key === 'ctrl-u') return { state: { ...state, prompt: { ...prompt, text: '' } } }
  if (key === 'backspace') {
    return {
      state: { ...state, prompt: { ...prompt, text: [...prompt.text].slice(0, -1).join('') } },
    }
  }
  // Names of keys have several letters; what is typed is one character.
  if ([...key].length > 1 || prompt.text.length > 200) return { state }
  return { state: { ...state, prompt: { ...prompt, text: prompt.text + key } } }
}

function submitted(state: PlayerState, prompt: Prompt): Reaction {
  if (prompt.kind === 'go to') {
    const goal = goalOf(prompt.text.trim(), { total: state.total, ms: elapsedMs(state) })
    if (goal !== undefined) return jump(state, { goal, what: `going to ${prompt.text.trim()}` })
    const message = prompt.text === '' ? undefined : 'a record (120), 50% or a time (1:30, +30s)'
    return { state: { ...state, message } }
  }
  const text = prompt.text === '' ? state.search : prompt.text
  if (text === undefined) return { state }
  return jump(state, match(text, prompt.kind === 'search back'))
}

/** From the start to the current record. */
export function elapsedMs(state: PlayerState): number {
  const at = Date.parse(state.shown.at(-1)?.record.at ?? '')
  return Math.max(0, at - Date.parse(state.startedAt ?? '')) || 0
}

function paused(state: PlayerState, now: number): PlayerState {
  return state.playing ? { ...state, playing: false, waited: now - state.shownAt } : state
}

function resumed(state: PlayerState, now: number): PlayerState {
  if (state.exhausted && state.upcoming.length === 0 && !state.live)
    return { ...state, message: 'this is the last record' }
  return { ...state, playing: true, scroll: 0, shownAt: now - state.waited }
}

function withSpeed(state: PlayerState, by: 1 | -1): PlayerState {
  const speed = state.pace.speed === 0 ? Number.POSITIVE_INFINITY : state.pace.speed
  const next =
    by === 1 ? KNOWN_SPEEDS.find((one) => one > speed) : KNOWN_SPEEDS.findLast((one) => one < speed)
  if (next === undefined) return state
  return { ...state, pace: { ...state.pace, speed: Number.isFinite(next) ? next : 0 } }
}
